"""Days of rewards that are over, packed: they are evidence, and nothing of them goes, but nobody reads them day by day.

`2026-11-22.jsonl` becomes `2026-11-22.jsonl.gz` beside it. Where both are there, a kill came between the two, and the first counts.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.day_logs import DAY, day_files

_PACKED = ".gz"
_PART = ".part"


def pack(folder: Path, before: str, read: dict[str, int]) -> None:
    """Pack the days before one, as far as they were read to their end: `read` says how far, by the file's name. Raises OSError."""
    for path in day_files(folder):
        if path.stem < before and path.name in read and not _lines_after(path, read[path.name]):
            _pack(path)


def unread(folder: Path, read: dict[str, int]) -> list[Path]:
    """Days that are packed and were never read, or not by this index: it was lost, and is made again."""
    packed = (path for path in sorted(folder.glob(DAY + _PACKED)))
    return [path for path in packed if (name := name_of(path)) not in read and not (folder / name).exists()]


def name_of(packed: Path) -> str:
    """How the file of that day was called."""
    return packed.name.removesuffix(_PACKED)


def records(packed: Path) -> Iterator[dict[str, Any]]:
    """What a packed day holds."""
    with gzip.open(packed, "rb") as stream:
        for line in stream:
            with suppress(ValueError, RecursionError):
                value = json.loads(line)
                if isinstance(value, dict):
                    yield value


def _pack(path: Path) -> None:
    packed = path.with_name(path.name + _PACKED)
    part = packed.with_name(packed.name + _PART)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as file:
            with path.open("rb") as plain, gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as stream:
                shutil.copyfileobj(plain, stream)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, packed)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    atomic.sync_folder(path.parent)
    path.unlink()


def _lines_after(path: Path, offset: int) -> bool:
    """Whether whole lines follow; half of one is what a kill left."""
    with path.open("rb") as stream:
        stream.seek(offset)
        return b"\n" in stream.read()
