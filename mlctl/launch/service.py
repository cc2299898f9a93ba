"""Start a program that outlives the command, find it again, and stop it.

Same folder and files as a job (`mlctl.launch.job`), and the same lock: the process inherits it and holds it for as long
as it lives. So a recycled pid cannot pass for the service, and neither can a zombie, which has let go of its files.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.lock import FileLock, is_locked
from mlctl.launch.environment import worker_environment
from mlctl.provider import Context
from mlctl.types import job as contract
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.job import JobResult
from mlctl.types.jobs.server import READY_FILE

_POLL_SECONDS = 0.02

# Services this very process has started. They outlive it; while it lives it has to reap those that ended.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What a service's folder tells. `ready` is what the program said of itself once it could serve, while it runs."""

    running: bool
    pid: int | None
    started: float | None
    last_sign: float | None  # when it last wrote to its log
    params: Mapping[str, Any] | None
    ready: Mapping[str, Any] | None

    def epitaph(self) -> str:
        """`pid 123 is gone; it started ... and last wrote to its log ...`, for a service that should run and does not."""
        began = "" if self.started is None else f"; it started {_moment(self.started)}"
        last = "" if self.last_sign is None else f" and last wrote to its log {_moment(self.last_sign)}"
        return f"pid {self.pid or 'unknown'} is gone{began}{last}"


def start(
    program: str, params: Mapping[str, Any], folder: Path, ctx: Context, *, environment: Mapping[str, str] | None = None
) -> None:
    """Start `python -m mlctl.runtime PROGRAM FOLDER` in a session of its own. Nothing happens when it runs already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(folder / contract.LOCK_FILE)
    if not lock.acquire():
        return
    try:
        for name in (contract.RESULT_FILE, contract.EVENTS_FILE, contract.PROCESS_FILE, READY_FILE):
            (folder / name).unlink(missing_ok=True)
        atomic.write_json(folder / contract.JOB_FILE, {"program": program, "params": dict(params)})
        with open(folder / contract.LOG_FILE, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlctl.runtime", program, str(folder)],
                cwd=ctx.root,
                env=worker_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock.handle,),
            )
        _children.append(process)
        # The program writes the same as its first act, so that a kill right here does not leave a service without a pid.
        atomic.write_json(folder / contract.PROCESS_FILE, {"pid": process.pid, "started": time.time()})
    finally:
        lock.release()


def find(folder: Path) -> ServiceState:
    """Look at a service without touching it."""
    _reap()
    running = is_locked(folder / contract.LOCK_FILE)
    process = _read(folder / contract.PROCESS_FILE) or {}
    job = _read(folder / contract.JOB_FILE) or {}
    log = folder / contract.LOG_FILE
    return ServiceState(
        running=running,
        pid=process.get("pid"),
        started=process.get("started"),
        last_sign=log.stat().st_mtime if log.exists() else None,
        params=job.get("params"),
        ready=_read(folder / READY_FILE) if running else None,
    )


def wait_ready(folder: Path, ctx: Context, timeout_seconds: float) -> Mapping[str, Any]:
    """Wait until the service says it is ready. Raises MlctlError when it ends before that, is late (it is then stopped),
    or `ctx.stop` is set (it is then stopped too)."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        state = find(folder)
        if not state.running:
            raise _died(folder)
        if state.ready is not None:
            return state.ready
        if ctx.stop.is_set():
            stop(folder, grace_seconds=5)
            raise MlctlError.of(
                "service.stopped",
                "the service was stopped before it was ready",
                "mlctl was interrupted",
                "run `mlctl apply` again",
                exit_code=ExitCode.INTERRUPTED,
            )
        if time.monotonic() > deadline:
            stop(folder, grace_seconds=5)
            raise MlctlError.of(
                "service.not-ready",
                f"the service was not ready within {timeout_seconds:g} s",
                f"the end of its log:\n{_tail(folder)}",
                f"see the whole log in {folder / contract.LOG_FILE}",
            )
        time.sleep(_POLL_SECONDS)


def stop(folder: Path, grace_seconds: float) -> None:
    """Ask a running service to end (SIGTERM), and end it (SIGKILL to its session) when the grace is over.

    Returns when nothing of it runs any more; not running is success.
    """
    deadline = time.monotonic() + grace_seconds
    asked = False
    while is_locked(folder / contract.LOCK_FILE):
        if time.monotonic() > deadline:
            _signal(folder, signal.SIGKILL)
        elif not asked:
            asked = _signal(folder, signal.SIGTERM)
        time.sleep(_POLL_SECONDS)
        _reap()


def _signal(folder: Path, number: signal.Signals) -> bool:
    """Signal the service's session; False while its pid is not written yet. The lock is held, so the pid is its own."""
    pid = (_read(folder / contract.PROCESS_FILE) or {}).get("pid")
    if pid is None:
        return False
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass  # it ended meanwhile; the lock tells
    return True


def _reap() -> None:
    """Collect children that have ended, so that none stays a zombie while this process lives."""
    _children[:] = [process for process in _children if process.poll() is None]


def _died(folder: Path) -> MlctlError:
    stored = _read(folder / contract.RESULT_FILE)
    if stored is not None:
        result = JobResult.from_json(stored)
        if result.diagnostics:
            return MlctlError(result.diagnostics)
    return MlctlError.of(
        "service.died",
        "the service ended before it was ready",
        f"it was killed, ran out of memory, or crashed; the end of its log:\n{_tail(folder)}",
        f"see the whole log in {folder / contract.LOG_FILE}; then run `mlctl apply` again",
    )


def _tail(folder: Path) -> str:
    log = folder / contract.LOG_FILE
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-12:]) if log.exists() else ""


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None when there is none yet. Files are swapped in whole, so what is there can be read."""
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return stored if isinstance(stored, dict) else None


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
