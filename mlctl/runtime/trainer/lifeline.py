"""Tie a process to its parent, so that none goes on training after the one that watches it is gone."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT_VARIABLE = "MLCTL_TRAINER_PARENT"
_PR_SET_PDEATHSIG = 1


def die_with_parent(expected: int | None = None) -> None:
    """Have the kernel kill this process when its parent ends. With `expected`, leave at once if that parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if expected is not None and os.getppid() != expected:
        os._exit(1)
