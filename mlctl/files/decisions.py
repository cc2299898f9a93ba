"""The ledger of decisions: a folder for each, which is there whole or not at all, and is never changed afterwards.

decisions/ID/decision.json    what was decided, of what, by which rule (`mlctl.types.decision`)
decisions/ID/...              the files that it was made of
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlctl.files import atomic
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import MlctlError, did_you_mean

FOLDER = "decisions"
_FILE = "decision.json"


def keep(home: Path, decision: Decision, files: Mapping[str, bytes | Path] | None = None) -> str:
    """Put a decision into the ledger below an environment's home, with its files, and give its id. A repeat changes nothing."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / decision.id
    if target.exists():
        return decision.id
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        for name, content in (files or {}).items():
            data = content.read_bytes() if isinstance(content, Path) else content
            atomic.write_bytes(beside / name, data)
        atomic.write_json(beside / _FILE, decision.to_json())
        os.rename(beside, target)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        if not (target / _FILE).is_file():  # else somebody kept the very same at this moment
            raise
    atomic.sync_folder(folder)
    return decision.id


def forget(home: Path, kind: str, address: str, verdict: str, keep_newest: int) -> None:
    """Remove the oldest decisions that came out so, about one resource: those that nothing follows from would fill the disk."""
    found = [item.id for item in kept(home) if (item.kind, item.address, item.verdict) == (kind, address, verdict)]
    for name in found[: max(len(found) - keep_newest, 0)]:
        shutil.rmtree(home / FOLDER / name, ignore_errors=True)


def find(home: Path, name: str) -> tuple[Decision, Path]:
    """A decision by its id, or by as much of it as tells it from the others, with its folder. Raises MlctlError."""
    known = [path.name for path in _folders(home)]
    matching = [item for item in known if item == name] or [item for item in known if name and item.startswith(name)]
    if len(matching) != 1:
        many = len(matching) > 1
        raise MlctlError.of(
            "decision.ambiguous" if many else "decision.unknown",
            f"`{name}` {'begins several decisions' if many else 'is no decision'}",
            ", ".join(matching[:5]) if many else "decisions are kept below the state of their environment",
            "give more of it" if many else did_you_mean(name, known) or "see `mlctl decisions list`",
        )
    folder = home / FOLDER / matching[0]
    try:
        return Decision.from_json(json.loads((folder / _FILE).read_bytes())), folder
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MlctlError.of(
            "decision.broken",
            f"the decision {matching[0]} cannot be read",
            f"{type(error).__name__}: {error}",
            f"look at {folder / _FILE}",
        ) from None


def kept(home: Path) -> Iterator[Decision]:
    """All decisions that can be read, oldest first: by their moments, of which names hold the seconds alone."""
    found = (_read(folder) for folder in _folders(home))
    yield from sorted((item for item in found if item is not None), key=lambda item: item.at)


def unreadable(home: Path) -> list[Path]:
    """Folders of the ledger that hold no decision that can be read: whoever counts on all of them must not go on without."""
    return [folder for folder in _folders(home) if _read(folder) is None]


def _read(folder: Path) -> Decision | None:
    try:
        return Decision.from_json(json.loads((folder / _FILE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _folders(home: Path) -> list[Path]:
    folder = home / FOLDER
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
