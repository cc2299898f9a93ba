"""Messages that get no prediction, in a file. Of a flood of them only the last are kept."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

_MOST_BYTES = 64 * 2**20  # of one file; there are two of them at most


def append_letters(path: Path, letters: Sequence[Mapping[str, str]]) -> None:
    """Add letters, a line each, on the disk when this returns. What a kill left of a line is ended first. Raises OSError."""
    if path.exists() and path.stat().st_size >= _MOST_BYTES:
        os.replace(path, path.with_name(f"{path.name}.1"))
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        lines = "".join(json.dumps(dict(letter), ensure_ascii=False) + "\n" for letter in letters)
        data = (b"\n" if torn else b"") + lines.encode("utf-8", "surrogatepass")
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)
