"""The journal: one line for each intent and each outcome, durable before and after a tool is touched.

Line 1 is a header with the lineage and the serial of the state it belongs to. Every line is the CRC-32 of its JSON in
hex, a space, and the JSON: `{"key": ..., "record": {...} | null}`; null says that the object is gone. A line that does
not match its checksum is dropped: as the last one it was cut off by a kill before the tool was touched, and anywhere
else the file was damaged or the disk was full for a moment, which is reported and the damaged file kept.
"""

from __future__ import annotations

import json
import os
import threading
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record


@dataclass(frozen=True, slots=True)
class Entries:
    """What a journal holds: records by key in the order written (None: gone), and how many lines inside were damaged."""

    lineage: str
    serial: int
    records: list[tuple[ObjectKey, Record | None]] = field(default_factory=list)
    damaged: int = 0


class Journal:
    """Appends to a journal file that it creates with its first line. Safe to use from several threads."""

    def __init__(self, path: Path, lineage: str, serial: int) -> None:
        self.path = path
        self._header = {"lineage": lineage, "serial": serial}
        self._handle: int | None = None
        self._lock = threading.Lock()
        self._torn = False  # whether the last line may be there in part
        self.begun = False  # whether the file was made

    def append(self, key: ObjectKey, record: Record | None) -> None:
        """Write one line and make it durable. Raises OSError; the line then counts as not written."""
        line = _line({"key": str(key), "record": None if record is None else record.to_json()})
        with self._lock:
            if self._handle is None:
                self._handle = self._begin()
                self.begun = True
            torn, self._torn = self._torn, True
            _write(self._handle, b"\n" + line if torn else line)
            self._torn = False
            os.fdatasync(self._handle)

    def _begin(self) -> int:
        """Make the file with its header, or leave none behind."""
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write(handle, _line(self._header))
            atomic.sync_folder(self.path.parent)
        except OSError:
            os.close(handle)
            self.path.unlink(missing_ok=True)
            raise
        return handle

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def read(path: Path) -> Entries | None:
    """What a journal file holds; None when there is no file, or nothing but a part of a header. Raises OSError."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return None
    header = _parse(lines[0])
    if (
        not isinstance(header, dict)
        or not isinstance(header.get("lineage"), str)
        or not isinstance(header.get("serial"), int)
    ):
        lost = sum(1 for line in lines if line)
        return Entries("", 0, damaged=lost) if lost > 1 else None
    records: list[tuple[ObjectKey, Record | None]] = []
    bad: list[int] = []
    body = [line for line in lines[1:] if line]
    for number, line in enumerate(body):
        entry = _entry(line)
        if entry is None:
            bad.append(number)
        else:
            records.append(entry)
    damaged = sum(1 for number in bad if number != len(body) - 1)
    return Entries(header["lineage"], header["serial"], records, damaged)


def _entry(line: bytes) -> tuple[ObjectKey, Record | None] | None:
    value = _parse(line)
    try:
        key = ObjectKey.parse(value["key"])
        return key, None if value["record"] is None else Record.from_json(key, value["record"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _line(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> Any:
    mark, _, text = line.partition(b" ")
    try:
        return json.loads(text) if int(mark, 16) == zlib.crc32(text) and len(mark) == 8 else None
    except ValueError:
        return None


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
