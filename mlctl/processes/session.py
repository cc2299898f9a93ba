"""The processes of a session that one of ours began: what is left of them when it has died, and the end of them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import psutil

_POLL_SECONDS = 0.05


def members(session: int, since: float) -> list[psutil.Process]:
    """The living processes of a session, a zombie is none. `since` is when its leader began (Unix time): what is older is a
    stranger whose session was given the same number."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) != session or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.create_time() >= since - 1:
                found.append(process)
    return found


def end(session: int, since: float, grace_seconds: float) -> None:
    """Ask all members of a session to end (SIGTERM), and end them (SIGKILL) when the grace is over. Returns when none is left."""
    deadline = time.monotonic() + grace_seconds
    number = signal.SIGTERM
    while left := members(session, since):
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        for process in left:
            with suppress(psutil.Error):
                process.send_signal(number)
        psutil.wait_procs(left, timeout=min(1.0, max(_POLL_SECONDS, deadline - time.monotonic())))
