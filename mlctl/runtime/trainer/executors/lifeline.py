"""Tie processes to the one that watches them, so that none goes on training after it is gone."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Collection

import psutil

PARENT_VARIABLE = "MLCTL_TRAINER_PARENT"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def die_with_parent(expected: int | None = None) -> None:
    """Have the kernel kill this process when its parent ends. With `expected`, leave at once if that parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if expected is not None and os.getppid() != expected:
        os._exit(1)


def take_in_orphans() -> None:
    """Become the parent of what descendants leave behind, so that `end_descendants` finds it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_descendants(sparing: Collection[int] = ()) -> None:
    """Kill every process that descends from this one, but for some with all of theirs, and wait until they are gone."""
    own = psutil.Process()
    spared = {pid for pid in sparing if psutil.pid_exists(pid)}
    spared |= {child.pid for pid in spared for child in _descendants(psutil.Process(pid))}
    found = [child for child in _descendants(own) if child.pid not in spared]
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass
    psutil.wait_procs(found, timeout=10)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found
