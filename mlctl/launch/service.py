"""Start a program that outlives the command, find it again, and stop it.

Same folder, files and lock as a job (`mlctl.launch.job`); what it adds is being ready, and not being waited for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files.lock import FileLock
from mlctl.launch import process
from mlctl.provider import Context
from mlctl.types import job as contract
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.job import JobResult
from mlctl.types.jobs.server import READY_FILE

_POLL_SECONDS = 0.02


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
        job = {"program": program, "params": dict(params)}
        process.spawn(job, folder, lock, ctx, environment, stale=[READY_FILE])
    finally:
        lock.release()


def find(folder: Path) -> ServiceState:
    """Look at a service without touching it."""
    running = process.running(folder)
    started = process.read_object(folder / contract.PROCESS_FILE) or {}
    job = process.read_object(folder / contract.JOB_FILE) or {}
    log = folder / contract.LOG_FILE
    return ServiceState(
        running=running,
        pid=started.get("pid"),
        started=started.get("started"),
        last_sign=log.stat().st_mtime if log.exists() else None,
        params=job.get("params"),
        ready=process.read_object(folder / READY_FILE) if running else None,
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
            process.stop(folder, grace_seconds=5)
            raise MlctlError.of(
                "service.stopped",
                "the service was stopped before it was ready",
                "mlctl was interrupted",
                "run `mlctl apply` again",
                exit_code=ExitCode.INTERRUPTED,
            )
        if time.monotonic() > deadline:
            process.stop(folder, grace_seconds=5)
            raise MlctlError.of(
                "service.not-ready",
                f"the service was not ready within {timeout_seconds:g} s",
                f"the end of its log:\n{process.log_tail(folder)}",
                f"see the whole log in {folder / contract.LOG_FILE}",
            )
        time.sleep(_POLL_SECONDS)


def _died(folder: Path) -> MlctlError:
    stored = process.read_object(folder / contract.RESULT_FILE)
    if stored is not None:
        result = JobResult.from_json(stored)
        if result.diagnostics:
            return MlctlError(result.diagnostics)
    return MlctlError.of(
        "service.died",
        "the service ended before it was ready",
        f"it was killed, ran out of memory, or crashed; the end of its log:\n{process.log_tail(folder)}",
        f"see the whole log in {folder / contract.LOG_FILE}; then run `mlctl apply` again",
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
