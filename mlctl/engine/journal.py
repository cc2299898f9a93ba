"""The journal: one line for each intent and each outcome, durable before and after a tool is touched.

Line 1 is a header with the lineage and the serial of the state it belongs to. Every line is the CRC-32 of its JSON in
hex, a space, and the JSON: `{"key": ..., "record": {...} | null}`, where null says that the object is gone; `{"edits": [...]}`
for several objects at once, of which a reader sees all or none; or `{"held": {...} | null}`. A line that does not match
its checksum is dropped: as the last one it was cut off by a kill before the tool was touched, and anywhere else the file
was damaged or the disk was full for a moment, which is reported and the damaged file kept.
"""

from __future__ import annotations

import json
import os
import threading
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.types.address import ObjectKey
from mlctl.types.state import Held, Record

Edit = tuple[ObjectKey, Record | None]  # an object as it is from now on; None: it is gone


@dataclass(frozen=True, slots=True)
class Entry:
    """What one line says: some objects, all of them at once, or (`holds`) what is held from now on."""

    edits: tuple[Edit, ...] = ()
    held: Held | None = None
    holds: bool = False

    def encode(self) -> bytes:
        """The line, with its checksum and its line break."""
        if self.holds:
            return _line({"held": None if self.held is None else asdict(self.held)})
        edits = [
            {"key": str(key), "record": None if record is None else record.to_json()} for key, record in self.edits
        ]
        return _line(edits[0] if len(edits) == 1 else {"edits": edits})

    @classmethod
    def decode(cls, line: bytes) -> Entry | None:
        """Read a line without its line break; None when it is not one that was written whole."""
        value = _parse(line)
        try:
            if "held" in value:
                return cls(held=None if value["held"] is None else Held(**value["held"]), holds=True)
            edits = value.get("edits", [value])
            return cls(tuple(_edit(item) for item in edits))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Entries:
    """What a journal holds: objects in the order written, what is held, and how many lines inside were damaged."""

    lineage: str
    serial: int
    records: list[Edit] = field(default_factory=list)
    damaged: int = 0
    held: Held | None = None
    holds: bool = False  # whether it says anything of `held`

    @classmethod
    def of(cls, lineage: str, serial: int, entries: Iterable[Entry], damaged: int = 0) -> Entries:
        """The lines of a journal as one."""
        lines = list(entries)
        held = [entry for entry in lines if entry.holds]
        records = [edit for entry in lines for edit in entry.edits]
        return cls(lineage, serial, records, damaged, held[-1].held if held else None, bool(held))


class Journal:
    """Appends to a journal file that it creates with its first line. Safe to use from several threads."""

    def __init__(self, path: Path, lineage: str, serial: int) -> None:
        self.path = path
        self._header = header(lineage, serial)
        self._handle: int | None = None
        self._lock = threading.Lock()
        self._torn = False  # whether the last line may be there in part
        self.begun = False  # whether the file was made

    def append(self, entry: Entry) -> None:
        """Write one line and make it durable. Raises OSError; the line then counts as not written."""
        line = entry.encode()
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
            _write(handle, self._header)
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
        return parse(path.read_bytes())
    except FileNotFoundError:
        return None


def parse(data: bytes) -> Entries | None:
    """What the bytes of a journal say; None when they are nothing but a part of a header."""
    lines = data.split(b"\n")
    first = _parse(lines[0])
    if (
        not isinstance(first, dict)
        or not isinstance(first.get("lineage"), str)
        or not isinstance(first.get("serial"), int)
    ):
        lost = sum(1 for line in lines if line)
        return Entries("", 0, damaged=lost) if lost > 1 else None
    body = [Entry.decode(line) for line in lines[1:] if line]
    damaged = sum(1 for entry in body[:-1] if entry is None)
    return Entries.of(first["lineage"], first["serial"], (entry for entry in body if entry is not None), damaged)


def header(lineage: str, serial: int, writer: str = "") -> bytes:
    """The first line of a journal; `writer` is the lock it is written under, where that is not plain."""
    return _line({"lineage": lineage, "serial": serial, **({"writer": writer} if writer else {})})


def _edit(value: Any) -> Edit:
    key = ObjectKey.parse(value["key"])
    return key, None if value["record"] is None else Record.from_json(key, value["record"])


def _line(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> Any:
    mark, _, text = line.partition(b" ")
    try:
        return json.loads(text) if int(mark, 16) == zlib.crc32(text) and len(mark) == 8 else None
    except (ValueError, RecursionError):
        return None


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
