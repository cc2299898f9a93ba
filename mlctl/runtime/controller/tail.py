"""Follows prediction logs as they grow: what is new since last time, whole lines only, from offsets that outlive a process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlctl.files.day_logs import day_files, parsed

_AT_ONCE = 4 * 1024 * 1024  # bytes of one file at a time: memory stays bounded however far behind we are
_LONGEST = 16 * 1024 * 1024  # a line that does not end within so many bytes is none


class Tail:
    """The files `YYYY-MM-DD.jsonl` of some folders, from a day on. `offsets` says how far each was read, by its path."""

    def __init__(self, folders: Iterable[Path], offsets: Mapping[str, int] | None = None, first_day: str = "") -> None:
        self._folders = list(folders)
        self._first_day = first_day
        self.offsets = dict(offsets or {})
        self.torn = 0  # lines that are no JSON object: somebody was killed while writing

    def skip(self) -> None:
        """Leave out what there is now: only what comes after counts."""
        for path in self._paths():
            try:
                self.offsets[str(path)] = path.stat().st_size
            except OSError:
                continue

    def read(self) -> list[dict[str, Any]]:
        """What is new, up to some megabytes of each file; empty when all is read."""
        found: list[dict[str, Any]] = []
        paths = self._paths()
        for path in paths:
            for line in self._lines(path):
                record = parsed(line)
                if record is None:
                    self.torn += 1
                else:
                    found.append(record)
        names = {str(path) for path in paths}
        self.offsets = {name: offset for name, offset in self.offsets.items() if name in names}
        return found

    def _paths(self) -> list[Path]:
        return sorted(path for folder in self._folders for path in day_files(folder, self._first_day))

    def _lines(self, path: Path) -> list[bytes]:
        offset = self.offsets.get(str(path), 0)
        try:
            size = path.stat().st_size
            if size == offset:
                return []
            with path.open("rb") as stream:
                stream.seek(0 if size < offset else offset)  # a shorter file is another one
                offset = stream.tell()
                data = stream.read(_AT_ONCE)
                while b"\n" not in data and len(data) < _LONGEST and (more := stream.read(_AT_ONCE)):
                    data += more
        except OSError:
            return []  # removed or not readable for now: next time
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) >= _LONGEST:
            whole = len(data)
        self.offsets[str(path)] = offset + whole
        return [line for line in data[:whole].split(b"\n") if line]
