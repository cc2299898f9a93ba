"""A session that a job began and may leave behind when it is killed: noted in the job's folder, and ended by whoever comes next."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mlctl.files import atomic
from mlctl.processes.engine import boot

NOTE_FILE = "session.json"  # {"session", "since", "boot"}, for as long as it may be alive
_START_SECONDS = 60.0  # a leader that is younger than the note by more than this was given the number anew


def note(folder: Path, leader: int) -> None:
    """Write down that a session has begun."""
    atomic.write_json(folder / NOTE_FILE, {"session": leader, "since": time.time(), "boot": boot()})


def end(folder: Path, grace_seconds: float) -> None:
    """End what is left of a session that is noted in a folder, if anything is; a stranger with its number is left alone."""
    from mlctl.processes import session

    found = atomic.read_object(folder / NOTE_FILE)
    if found is None:
        return
    leader, since = int(found["session"]), float(found["since"])
    if found["boot"] == boot() and leader != os.getsid(0) and not _is_stranger(leader, since):
        session.end(leader, since - _START_SECONDS, grace_seconds)
    (folder / NOTE_FILE).unlink(missing_ok=True)


def _is_stranger(leader: int, since: float) -> bool:
    import psutil

    try:
        return bool(psutil.Process(leader).create_time() > since + _START_SECONDS)
    except psutil.Error:
        return False  # the leader is gone; those that it left have its number, and nobody else can be given it
