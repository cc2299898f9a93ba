"""Logs that have a file for each day: which files there are, and lines found by an id in them, the newest first: by their bytes, so
that only what may match is parsed."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_DIGIT = "[0-9]"
DAY = f"{_DIGIT * 4}-{_DIGIT * 2}-{_DIGIT * 2}.jsonl"


@dataclass
class Hits:
    """What was found, and how much was looked through for it."""

    rows: list[tuple[Path, dict[str, Any]]] = field(default_factory=list)
    files: int = 0
    bytes: int = 0


def day_files(folder: Path, first: str = "", last: str = "9999-12-31") -> list[Path]:
    """The files of a log from a day to a day, the oldest first; none of a folder that is not there."""
    return sorted(path for path in folder.glob(DAY) if first <= path.stem <= last)


def search(folders: Iterable[Path], ids: Sequence[str], fields: Sequence[str], day: str = "") -> Hits:
    """The lines in which one of the fields is one of the ids. The search ends with the day that has some, and the one before it:
    what belongs together may lie on both sides of a midnight."""
    hits = Hits()
    wanted = {id for id in ids if id}
    needles = [json.dumps(id, ensure_ascii=False).encode("utf-8", "surrogatepass") for id in sorted(wanted)]
    by_day: dict[str, list[Path]] = {}
    for folder in folders:
        for path in day_files(folder, day, day) if day else day_files(folder):
            by_day.setdefault(path.stem, []).append(path)
    found_before = False
    for stem in sorted(by_day, reverse=True):
        for path in sorted(by_day[stem]):
            for line in _lines(path, needles, hits):
                row = parsed(line)
                if row is not None and any(row.get(name) in wanted for name in fields):
                    hits.rows.append((path, row))
        if found_before:
            break
        found_before = bool(hits.rows)
    hits.rows.sort(key=lambda item: str(item[1].get("ts", "")))
    return hits


def first_after(folder: Path, text: str, ts: str, wanted: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any] | None:
    """The earliest line later than a moment that has a text in it and is wanted. Lines of two days may be on either side of midnight."""
    needle, hits = text.encode("utf-8", "surrogatepass"), Hits()
    first: dict[str, Any] | None = None
    for path in day_files(folder, ts[:10]):
        if first is not None:
            break
        for line in _lines(path, [needle], hits):
            row = parsed(line)
            if (
                row is not None
                and wanted(row)
                and ts < str(row.get("ts", "")) < ("~" if first is None else str(first["ts"]))
            ):
                first = row
    return first


def _lines(path: Path, needles: Sequence[bytes], hits: Hits) -> Iterator[bytes]:
    """Lines that have one of the needles in them, each once. A file that is removed meanwhile has none."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            hits.files, hits.bytes = hits.files + 1, hits.bytes + size
            if not size:
                return
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                told: set[int] = set()
                for needle in needles:
                    at = data.find(needle)
                    while at >= 0:
                        start = data.rfind(b"\n", 0, at) + 1
                        end = data.find(b"\n", at)
                        end = size if end < 0 else end
                        if start not in told:
                            told.add(start)
                            yield bytes(data[start:end])
                        at = data.find(needle, end)
    except (OSError, ValueError):  # gone, or cut shorter while we look
        return


def parsed(line: bytes) -> dict[str, Any] | None:
    """The object that a line of such a log is; None for what is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
