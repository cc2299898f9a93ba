"""The event log of a view, as far as others than its writer need to know it: its files, how many events they hold, and what was asked of them.

The log is a folder of files with one JSON event a line, which are only ever appended to. Each event has a number, so that
"the first N events" is the same table whenever it is read.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import BinaryIO

from mlctl.files import atomic
from mlctl.types.jobs.stream import SEQUENCE

_SEGMENT = re.compile(r"events-(\d{6})\.jsonl")
_ASKED = "asked.json"  # {"events": N}: somebody wants the first N events in the snapshots of the view
_BLOCK = 65_536


def segment(folder: Path, number: int) -> Path:
    """One file of an event log, counted from 1."""
    return folder / f"events-{number:06d}.jsonl"


def segments(folder: Path) -> list[Path]:
    """The files of an event log, oldest first. Only the last line of the last one may be torn."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name))


def count(folder: Path) -> int:
    """How many events a log holds: the number of the last whole one. Raises OSError, ValueError or KeyError for no log of ours."""
    for path in reversed(segments(folder)):
        with open(path, "rb") as stream:
            end = end_of_lines(stream, stream.seek(0, os.SEEK_END))
            if end:
                start = end_of_lines(stream, end - 1)
                stream.seek(start)
                return int(json.loads(stream.read(end - start))[SEQUENCE])
    return 0


def end_of_lines(stream: BinaryIO, size: int) -> int:
    """How many of the first `size` bytes are whole lines."""
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def ask(folder: Path) -> None:
    """Ask for the snapshots of the view to be made anew with the events there are. Nothing happens without a log."""
    if segments(folder):
        atomic.write_json(folder / _ASKED, {"events": count(folder)})


def asked(folder: Path) -> int:
    """How many events the snapshots of the view should hold; 0 when nobody asked."""
    try:
        return int(json.loads((folder / _ASKED).read_bytes())["events"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
