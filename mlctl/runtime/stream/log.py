"""The event log of a view: what a stream brought, kept for good before the broker is told that it may forget it.

Lines are appended and flushed to the disk, and never changed. The files belong to the view and outlive the stream: a
materialization reads them beside the files of the dataset, see `relation_with`.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.files.atomic import sync_folder
from mlctl.files.event_log import count, end_of_lines, segment, segments
from mlctl.files.lock import FileLock
from mlctl.runtime.profile.database import literal, quote
from mlctl.runtime.profile.source import relation
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import StreamLog
from mlctl.types.jobs.profile import Source
from mlctl.types.jobs.stream import DEAD_LETTERS, SEQUENCE

_LOCK_SECONDS = 5.0
_SEGMENT_BYTES = 64 * 2**20
_DEAD_LETTER_BYTES = 64 * 2**20  # of one file; there are two of them at most
_BODY_BYTES = 10_000  # of a message that is kept with the dead letters


class EventLog:
    """Appends events to the files of a folder. One process has it open at a time, and holds a lock for that."""

    def __init__(self, folder: Path) -> None:
        """Open the log, and take off what a kill has left of a line: the broker will send that event again. Raises MlctlError."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(folder / "lock")
        if not _acquired(self._lock):
            raise MlctlError.of(
                "stream.log-taken",
                f"another worker writes the event log {folder}",
                "a view has one log of events, and one worker that writes it",
                "end the other one first, for example by `mlctl destroy` of the stream it belongs to",
            )
        found = segments(folder)
        self._number = max(len(found), 1)
        self._path = segment(folder, self._number)
        if found:
            _mend(found[-1])
        self.sequence = count(folder)

    def close(self) -> None:
        """Let another worker write."""
        self._lock.release()

    def append(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Add events, in order; on the disk when this returns. Raises OSError, and then none of them is there."""
        lines = [
            json.dumps({SEQUENCE: self.sequence + index, **event}, ensure_ascii=False, allow_nan=False)
            for index, event in enumerate(events, start=1)
        ]
        if not lines:
            return
        if self._path.exists() and self._path.stat().st_size >= _SEGMENT_BYTES:
            self._number += 1
            self._path = segment(self._folder, self._number)
        _append(self._path, lines)
        self.sequence += len(lines)

    def bury(self, letters: Iterable[Mapping[str, Any]]) -> None:
        """Keep messages that are no events, with the reasons. Of a flood of them only the last are kept."""
        lines = [json.dumps(dict(letter), ensure_ascii=False) for letter in letters]
        path = self._folder / DEAD_LETTERS
        if not lines:
            return
        if path.exists() and path.stat().st_size >= _DEAD_LETTER_BYTES:
            os.replace(path, path.with_name(f"{DEAD_LETTERS}.1"))
        if path.exists():
            _mend(path)
        _append(path, lines)


def _acquired(lock: FileLock) -> bool:
    """A worker that was just killed, or told to stop, may hold it for a moment still."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while not lock.acquire():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def dead_letter(body: bytes, reason: str, at: str) -> dict[str, str]:
    """How a message that is no event is kept."""
    return {"at": at, "reason": reason, "body": body[:_BODY_BYTES].decode("utf-8", "backslashreplace")}


def _append(path: Path, lines: Sequence[str]) -> None:
    """Add whole lines, or, when the disk is full, nothing."""
    fresh = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(handle).st_size
        data = ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
        try:
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, before)
            raise
    finally:
        os.close(handle)
    if fresh:
        sync_folder(path.parent)


def _mend(path: Path) -> None:
    """Cut a torn last line off a file."""
    with open(path, "r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        keep = end_of_lines(stream, size)
        if keep < size:
            stream.truncate(keep)
            os.fsync(stream.fileno())


def log_relation(files: Sequence[Path], source: Source) -> str:
    """The events of log files as a table with the source's columns and types, and the sequence.

    The last line may be torn or still being written; it is left out.
    """
    columns = {**source.columns, SEQUENCE: "bigint"}
    struct = ", ".join(f"{quote(name)}: {literal(kind)}" for name, kind in columns.items())
    listed = ", ".join(literal(str(path)) for path in files)
    table = f"read_json([{listed}], format='newline_delimited', records=true, ignore_errors=true, columns={{{struct}}})"
    return f"(SELECT * FROM {table} WHERE {SEQUENCE} IS NOT NULL)"


def relation_with(source: Source, log: StreamLog | None) -> str:
    """The dataset and the first events of the log of its stream as one table: each event once, by the dataset's key.

    Where both have an event, the dataset's counts; of two in the log, the first.
    """
    files = [] if log is None or log.events == 0 else segments(Path(log.folder))
    if log is None or not files:
        return relation(source)
    names = ", ".join(map(quote, source.columns))
    key = ", ".join(map(quote, source.key))
    table = relation(source)
    streamed = f"(SELECT * FROM {log_relation(files, source)} WHERE {SEQUENCE} <= {log.events})"
    # The log is far smaller than the dataset: it is the side that is held in memory.
    known = f"SELECT {key} FROM {table} SEMI JOIN {streamed} USING ({key})"
    fresh = (
        f"SELECT {names} FROM {streamed} ANTI JOIN ({known}) USING ({key}) "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {SEQUENCE}) = 1"
    )
    return f"(SELECT {names} FROM {table} UNION ALL {fresh})"
