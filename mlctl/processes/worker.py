"""A worker program as a process of its own: started with a folder and a lock on it, found by that lock, and stopped.

The process inherits the lock and holds it for as long as it lives. So there is no moment in which a second copy could
start, a recycled pid cannot pass for the program, and neither can a zombie, which has let go of its files.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.lock import FileLock, is_locked
from mlctl.processes.environment import worker_environment
from mlctl.types import job as contract
from mlctl.types.jobs.llm import ENGINE_FILE
from mlctl.types.secret import ENVIRONMENT, Secrets

_POLL_SECONDS = 0.02
_STALE = (contract.RESULT_FILE, contract.EVENTS_FILE, contract.PROCESS_FILE)

# What this very process has started. It may outlive us; while we live we have to reap what ended.
_children: list[subprocess.Popen[bytes]] = []
_children_lock = threading.Lock()


def spawn(
    job: Mapping[str, Any],
    folder: Path,
    lock: FileLock,
    root: Path,
    secrets: Secrets,
    environment: Mapping[str, str] | None = None,
    stale: Collection[str] = (),
) -> None:
    """Start `python -m mlctl.runtime PROGRAM FOLDER` in a session of its own, and hand it the lock that is held. It works in `root`.

    `stale` names files of an earlier run, beside those of every program, that must not be taken for this one's. Secrets
    are sealed in the job file; their values go through the process's environment, which only its user can read.
    """
    job = secrets.masked(dict(job))
    for name in (*_STALE, *stale):
        (folder / name).unlink(missing_ok=True)
    atomic.write_json(folder / contract.JOB_FILE, job)
    told = {ENVIRONMENT: json.dumps(dict(secrets.values))} if secrets else {}
    with open(folder / contract.LOG_FILE, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlctl.runtime", job["program"], str(folder)],
            cwd=root,
            env=worker_environment({**(environment or {}), **told}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock.handle,),
        )
    with _children_lock:
        _children.append(process)
    # the program writes the same as its first act, so that neither a kill right here nor a full disk costs it its pid
    with suppress(OSError):
        atomic.write_json(folder / contract.PROCESS_FILE, {"pid": process.pid, "started": time.time()})


def running(folder: Path) -> bool:
    """Whether the program of a folder lives."""
    with _children_lock:
        _children[:] = [process for process in _children if process.poll() is None]
    return is_locked(folder / contract.LOCK_FILE)


def stop(folder: Path, grace_seconds: float, at_once: Callable[[], bool] = lambda: False) -> None:
    """Ask a running program to end (SIGTERM), and end it (SIGKILL to its session) when the grace is over or `at_once` says so.

    Returns when nothing of it runs any more; not running is success.
    """
    deadline = time.monotonic() + grace_seconds
    asked = False
    while running(folder):
        if time.monotonic() > deadline or at_once():
            _signal(folder, signal.SIGKILL)
        elif not asked:
            asked = _signal(folder, signal.SIGTERM)
        time.sleep(_POLL_SECONDS)
    if (folder / ENGINE_FILE).exists():  # of a server that could not end its engine itself
        from mlctl.processes import engine

        engine.sweep(folder)


def log_tail(folder: Path) -> str:
    """The last lines a program wrote, for a message about its end."""
    log = folder / contract.LOG_FILE
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-12:]) if log.exists() else ""


def _signal(folder: Path, number: signal.Signals) -> bool:
    """Signal the program's session; False while its pid is not written yet. The lock is held, so the pid is its own."""
    pid = (atomic.read_object(folder / contract.PROCESS_FILE) or {}).get("pid")
    if pid is None:
        return False
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass  # it ended meanwhile; the lock tells
    return True
