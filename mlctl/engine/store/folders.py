"""The generations of a state and the documents beside it, as files."""

from __future__ import annotations

import re
from pathlib import Path

from mlctl.engine.store import format
from mlctl.engine.store.protocol import GENERATIONS, Generation, document_name
from mlctl.files import atomic
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.state import State

_NAME = re.compile(r"(\d{8,})\.json")


class Generations:
    """Copies of the state, each under its serial; the newest is a copy of the present one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, serial: int, data: bytes) -> None:
        """Keep one, and drop the oldest beyond the number that is kept. Raises OSError."""
        self.folder.mkdir(exist_ok=True)
        atomic.write_bytes(self.folder / f"{serial:08d}.json", data)
        for old in sorted(self._files())[:-GENERATIONS]:
            self._path(old).unlink(missing_ok=True)

    def newest(self) -> int:
        """The highest serial, 0 when there is none."""
        return max(self._files(), default=0)

    def newest_good(self) -> Path | None:
        """The newest file that can be read."""
        for serial in sorted(self._files(), reverse=True):
            try:
                format.decode(self._path(serial).read_bytes())
            except (OSError, format.DamagedError, MlctlError):
                continue
            return self._path(serial)
        return None

    def all(self, present: Path) -> list[Generation]:
        """All of them and the present one, the newest first; an older mlctl did not copy the present one. Raises OSError."""
        found = {serial: _look(self._path(serial), serial) for serial in self._files()}
        if present.exists():
            now = _look(present, 0)
            if not now.damaged and now.serial not in found:
                found[now.serial] = now
        return [found[serial] for serial in sorted(found, reverse=True)]

    def get(self, serial: int, present: Path) -> State:
        """One of them. Raises OSError, and MlctlError when there is none or it is damaged."""
        path = self._path(serial)
        if serial not in self._files():
            if present.exists() and _look(present, 0).serial == serial:
                path = present
            else:
                raise no_generation(serial, [item.serial for item in self.all(present)])
        try:
            return format.decode(path.read_bytes())
        except format.DamagedError as error:
            raise damaged_generation(serial, str(path), error) from error

    def _files(self) -> set[int]:
        try:
            return {int(match[1]) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))}
        except FileNotFoundError:
            return set()

    def _path(self, serial: int) -> Path:
        return self.folder / f"{serial:08d}.json"


class Documents:
    """Small named blobs, one file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, data: bytes) -> None:
        """Keep one. Raises OSError, and MlctlError for a bad name."""
        path = self.folder / document_name(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, data)

    def get(self, name: str) -> bytes | None:
        """Read one; None when there is none. Raises OSError, and MlctlError for a bad name."""
        try:
            return (self.folder / document_name(name)).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Drop one. Raises OSError, and MlctlError for a bad name."""
        (self.folder / document_name(name)).unlink(missing_ok=True)

    def names(self, prefix: str) -> list[str]:
        """The names that begin with a text, sorted."""
        found = (
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )
        return sorted(name for name in found if name.startswith(prefix))


def no_generation(serial: int, known: list[int]) -> MlctlError:
    """The error of a serial that is not kept."""
    return MlctlError.of(
        "state.no-generation",
        f"there is no generation {serial} of the state",
        f"the last {GENERATIONS} are kept",
        did_you_mean(str(serial), map(str, known)) or "see them with `mlctl state log`",
    )


def damaged_generation(serial: int, where: str, error: Exception) -> MlctlError:
    """The error of a generation that cannot be read."""
    return MlctlError.of(
        "state.damaged-generation",
        f"generation {serial} of the state is damaged",
        f"{where}: {error}",
        "see the others with `mlctl state log`",
    )


def described(head: format.Head, size: int, serial: int = 0) -> Generation:
    """A generation by the first line of its file, under the serial of its name if it has one."""
    wrote = head.written
    counts = wrote.get("changes")
    return Generation(
        serial or head.serial, size, str(wrote.get("at", "")), str(wrote.get("by", "")), str(wrote.get("operation", "")),
        dict(counts) if isinstance(counts, dict) else {}, head.lineage,
    )  # fmt: skip


def _look(path: Path, serial: int) -> Generation:
    """A generation by the first line of its file alone: a listing does not read megabytes."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as stream:
            return described(format.head(stream.readline()), size, serial)
    except (format.DamagedError, MlctlError):
        return Generation(serial, size, damaged=True)
