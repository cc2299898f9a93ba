"""What the verdict of a monitor was made of: how much of the prediction log there was, and what was frozen.

A log only grows. So a run notes for each of its files how many bytes there were and their digest: whoever replays the verdict
reads just those, and finds out when they are not the same any more. Frozen files are kept once for each content, since the
next apply may freeze others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.day_logs import day_files
from mlctl.files.decisions import FOLDER
from mlctl.provider import Context
from mlctl.types.state import Record

_FROZEN = ".frozen"  # beside the decisions, which outlive the monitor
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """The first `size` bytes of a file, and their SHA-256."""

    size: int
    sha256: str


def sizes(folder: Path, parts: Mapping[str, Any], until: datetime) -> dict[str, int]:
    """How long each file of the log is now, of those that can hold a row which the parts look at."""
    back = looks_back(parts)
    low = "" if back is None or back > until.timestamp() else _day(until - timedelta(seconds=back), -1)
    high = _day(until, 1)
    found = {}
    for path in day_files(folder, low, high):
        with suppress(FileNotFoundError):  # it became older than `log.keep` meanwhile
            found[path.name] = path.stat().st_size
    return found


def looks_back(parts: Mapping[str, Any]) -> float | None:
    """How many seconds before its moment a run can look; None when a part names no time, so that it may look at all.

    Rather too far than not far enough: windows, delays and baselines are added up.
    """
    spans = [sum(_times(part)) for part in parts.values() if part is not None]
    return max(spans) if spans and all(spans) else None


def digests(folder: Path, known: Mapping[str, int]) -> dict[str, Part]:
    """The digest of so many bytes of each file. Raises OSError."""
    return {name: Part(size, _sha256(folder / name, size)) for name, size in known.items()}


def files_of(parts: Mapping[str, Any], ctx: Context, frozen: Iterable[str]) -> dict[str, str]:
    """Digests of files that the parts read beside the log and what is frozen, such as labels."""
    left = set(frozen)
    found = {}
    for text in sorted({item for item in _texts(parts) if item not in left}):
        path = ctx.root / text
        if text and len(text) < 1000 and "\n" not in text and "\0" not in text and path.is_file():
            found[text] = ctx.digests.file(path)
    return found


def frozen_paths(record: Record, ctx: Context) -> dict[str, str]:
    """What is frozen, by the path that the parts know it by, with its digest."""
    files: Mapping[str, str] = record.outputs.get("files", {})
    folder = ctx.folder(record.key)
    return {os.path.relpath(folder / name, ctx.root): known for name, known in files.items()}


def keep_frozen(record: Record, ctx: Context) -> None:
    """Have each frozen file in the archive. Raises OSError."""
    for path, known in frozen_paths(record, ctx).items():
        kept = archived(ctx.home, known)
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(kept, (ctx.root / path).read_bytes())


def archived(home: Path, known: str) -> Path:
    """Where a frozen file of this digest is kept."""
    return home / FOLDER / _FROZEN / known


def sha256_of(path: Path, size: int) -> str | None:
    """The digest of so many bytes; None when there are fewer, or no file."""
    try:
        return _sha256(path, size) if path.stat().st_size >= size else None
    except OSError:
        return None


def _sha256(path: Path, size: int) -> str:
    found = hashlib.sha256()
    left = size
    with open(path, "rb") as stream:
        while left and (data := stream.read(min(_CHUNK, left))):
            found.update(data)
            left -= len(data)
    return found.hexdigest()


def _times(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if str(name).endswith("_seconds") and isinstance(item, int | float):
                yield float(item)
            else:
                yield from _times(item)
    elif isinstance(value, list):
        for item in value:
            yield from _times(item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _day(moment: datetime, days: int) -> str:
    return (moment.astimezone(UTC) + timedelta(days=days)).date().isoformat()
