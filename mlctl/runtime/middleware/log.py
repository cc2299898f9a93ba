"""The prediction log: one JSON line for each prediction, in one file for each day (UTC).

A request never waits for it: rows go through a bounded queue to a thread of its own, and are counted when dropped.
Lines reach the operating system at least once a second, so a kill loses at most that; they are not fsync'd, since a
prediction log is a sample to learn from and not a ledger.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

_FLUSH_SECONDS = 0.5
_DAY_FILES = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].jsonl"
_CAPACITY = 10_000
_MOST_BYTES = 64 * 1024 * 1024  # of prompts and answers that wait to be written
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # made once, not for each row


Row = Mapping[str, Any]
_Item = tuple[Row | Callable[[], Row], int]
_LATE: _Item = ({}, 0)


class PredictionWriter:
    """Writes rows to `FOLDER/YYYY-MM-DD.jsonl`. Two servers may write to one folder at once: each write appends whole lines.

    With `keep_days` the files of days that are longer ago are removed when a day begins, and when this does.
    """

    def __init__(
        self, folder: Path, on_drop: Callable[[int], None], capacity: int = _CAPACITY, keep_days: int | None = None
    ) -> None:
        self._folder = folder
        self._keep_days = keep_days
        self._today = ""
        self._on_drop = on_drop
        self._queue: queue.Queue[_Item | None] = queue.Queue(capacity)
        self._put = self._taken = 0  # bytes; each is counted by one thread alone
        self._failing = False
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def write(self, row: Row | Callable[[], Row], size: int = 0) -> None:
        """Queue a row, or what makes one and holds so many bytes; its `ts` says which day's file it goes to. Never blocks and
        never raises."""
        if self._put + size - self._taken > _MOST_BYTES:
            self._on_drop(1)
            return
        try:
            self._queue.put_nowait((row, size))
            self._put += size
        except queue.Full:
            self._on_drop(1)

    def close(self) -> None:
        """Write what is queued, and end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        item = self._queue.get()
        while item is not None:
            rows: dict[str, list[str]] = {}
            deadline = time.monotonic() + _FLUSH_SECONDS
            while item is not None:
                self._encode(item, rows)
                item = self._next(deadline)
                if item is _LATE:
                    break
            for day, lines in rows.items():
                self._append(self._folder / f"{day}.jsonl", lines)
                self._forget(day)
            if item is _LATE:
                item = self._queue.get()

    def _next(self, deadline: float) -> _Item | None:
        """The next row, None at the end, `_LATE` when it is time to write what there is."""
        left = deadline - time.monotonic()
        try:
            return self._queue.get(timeout=left) if left > 0 else _LATE
        except queue.Empty:
            return _LATE

    def _encode(self, item: _Item, rows: dict[str, list[str]]) -> None:
        given, size = item
        self._taken += size
        try:
            row = given() if callable(given) else given
            line = _ENCODER.encode(row)
        except (TypeError, ValueError):  # a row that JSON cannot hold must not end the log
            self._on_drop(1)
            return
        except Exception as error:  # nor one that cannot be made
            self._on_drop(1)
            print(f"a row of the prediction log could not be made: {type(error).__name__}: {error}", flush=True)
            return
        rows.setdefault(row["ts"][:10], []).append(line)

    def _append(self, path: Path, lines: list[str]) -> None:
        """Add lines to a file. When that fails they are dropped and counted: serving goes on with a full disk."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                data = ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
                if _torn(handle):
                    data = (
                        b"\n" + data
                    )  # somebody was killed, or the disk was full, in the middle of a line: it stays alone
                written = os.write(handle, data)
                if written < len(data):
                    raise OSError(f"only {written} of {len(data)} bytes fitted")
            finally:
                os.close(handle)
            self._failing = False
        except OSError as error:
            self._on_drop(len(lines))
            if not self._failing:
                print(f"the prediction log cannot be written: {error}", flush=True)
            self._failing = True

    def _forget(self, day: str) -> None:
        """Remove what is older than may be kept on a new day. Another process of this server may be at it too."""
        if self._keep_days is None or day <= self._today:
            return
        self._today = day
        first = date.fromisoformat(day) - timedelta(days=self._keep_days)
        for path in self._folder.glob(_DAY_FILES):
            if path.stem < first.isoformat():
                with suppress(OSError):
                    path.unlink()


def _torn(handle: int) -> bool:
    """Whether a file does not end with a whole line."""
    size = os.fstat(handle).st_size
    return size > 0 and os.pread(handle, 1, size - 1) != b"\n"
