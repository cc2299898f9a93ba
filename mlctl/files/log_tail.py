"""The newest lines of a log that has a file for each day, read from their end: of a large log, no more than is asked for."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlctl.files.day_logs import day_files, parsed


def newest(folder: Path, most: int) -> Iterator[dict[str, Any]]:
    """The last lines, the newest first. What is no object is passed over, and a file that is removed meanwhile has none."""
    left = most
    for path in reversed(day_files(folder)):
        for line in _backwards(path):
            if left <= 0:
                return
            left -= 1
            row = parsed(line)
            if row is not None:
                yield row


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file from its end."""
    try:
        with path.open("rb") as stream:
            if not stream.seek(0, 2):
                return
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                end = len(data)
                while end > 0:
                    start = data.rfind(b"\n", 0, end) + 1
                    if start < end:
                        yield data[start:end]
                    end = start - 1
    except (OSError, ValueError):  # gone, or cut shorter while we look
        return
