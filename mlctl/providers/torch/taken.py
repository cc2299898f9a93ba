"""For how long a training that is not done has had its devices so far, over all lives of its job: what a budget counts of it when an
apply goes on with it.

Here, the program's life counts, from its job file to its last word. Where others keep the devices (a cluster, a cloud) a job may
wait for them for days, so that what its ranks tell of themselves counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.launch import job
from mlctl.launch.job import JobState
from mlctl.types import job as contract
from mlctl.types.jobs.search import TRIALS

# {"before", "life", "seconds"}: of all lives but one, and of that one, by what it is told from others.
_NOTE_FILE = "taken.json"
_ROUNDED = 0.1  # seconds
_PROGRESS = "ranks.jsonl"  # what rank 0 tells, line by line
_SIGNS = (contract.LOG_FILE, contract.EVENTS_FILE, contract.RESULT_FILE, contract.PROCESS_FILE, _PROGRESS)


def seconds(folder: Path, batch: int | None = None) -> float:
    """All lives together, up to now. `batch` are the rows of a step, given for ranks that others than this machine run."""
    earlier, _, last = _counted(folder, batch)
    return earlier + last


def before(folder: Path, batch: int | None = None) -> float:
    """All lives but the last."""
    return _counted(folder, batch)[0]


def note(folder: Path, batch: int | None = None) -> None:
    """Keep the count, before another life takes the place of what it is made from. A kill before or after counts nothing twice."""
    earlier, life, last = _counted(folder, batch)
    if earlier + last > 0:
        atomic.write_json(folder / _NOTE_FILE, {"before": round(earlier, 1), "life": life, "seconds": round(last, 1)})


def _counted(folder: Path, batch: int | None) -> tuple[float, str, float]:
    """Seconds of earlier lives, the name of the last one, and its seconds."""
    stored: dict[str, Any] = atomic.read_object(folder / _NOTE_FILE) or {}
    earlier, noted = (_number(stored.get(name)) for name in ("before", "seconds"))
    life, last = _lived(folder) if batch is None else _told(folder, batch)
    # a file of ranks may have the number of one that is gone, and then tells of less than was noted
    if life == stored.get("life") and (batch is None or last >= noted - _ROUNDED):
        return earlier, life, max(last, noted)
    return earlier + noted, life, last


def _lived(folder: Path) -> tuple[str, float]:
    """The program that was started last, from its job file to its last sign of life."""
    try:
        begun = (folder / contract.JOB_FILE).stat()
    except OSError:
        return "", 0.0
    ended = time.time() if job.state(folder) is JobState.RUNNING else max(_signs(folder), default=begun.st_mtime)
    return str(begun.st_mtime_ns), max(0.0, ended - begun.st_mtime)


def _signs(folder: Path) -> Iterator[float]:
    for name in _SIGNS:
        try:
            yield (folder / name).stat().st_mtime
        except OSError:
            continue


def _told(folder: Path, batch: int) -> tuple[str, float]:
    """What the ranks told of the time in their steps; of a search, those of all trials."""
    own = folder / _PROGRESS
    try:
        life = str(own.stat().st_ino)
    except OSError:
        life = ""
    found = [own, *sorted((folder / TRIALS).glob(f"*/{_PROGRESS}"))]
    return life, sum(_in_steps(path, batch) for path in found)


def _in_steps(path: Path, batch: int) -> float:
    """Whole epochs, and the part of the one that was under way."""
    whole = part = 0.0
    first = 0.0  # the step before those of the epoch under way
    for told in _lines(path):
        step, rate = _number(told.get("step")), _number(told.get("rows_per_second"))
        if told.get("type") == "epoch":
            whole, part, first = whole + _number(told.get("seconds")), 0.0, step
        elif told.get("type") == "resumed":
            whole, part, first = whole + part, 0.0, step
        elif told.get("type") == "step" and rate:
            part = max(0.0, step - first) * batch / rate
    return whole + part


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:  # torn by a kill
            continue
        if isinstance(told, dict):
            yield told


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else 0.0
