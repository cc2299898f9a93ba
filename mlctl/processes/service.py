"""A worker program that is not waited for: it says when it is ready, and runs until it is told to stop.

Same folder, files and lock as every worker (`mlctl.processes.worker`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.lock import FileLock
from mlctl.processes import worker
from mlctl.types import job as contract
from mlctl.types.jobs.server import READY_FILE
from mlctl.types.secret import Secrets

_START_SECONDS = 60.0  # between the beginning of a process and its saying so, at most


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
        if (elsewhere := self._elsewhere()) is not None:
            return f"pid {self.pid} runs, and belongs to {elsewhere}, of which this folder is a copy{began}"
        return f"pid {self.pid or 'unknown'} is gone{began}{last}"

    def _elsewhere(self) -> str | None:
        """Where the process works, if it lives although the lock of this folder is free: then the folder was copied from another."""
        if self.pid is None or self.started is None:
            return None
        import psutil

        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - self.started) > _START_SECONDS:
                return None  # dead, or a stranger that was given the number anew
            return f"`{process.cwd()}`"
        except psutil.NoSuchProcess:
            return None
        except psutil.Error:
            return "another folder"


def start(
    program: str,
    params: Mapping[str, Any],
    folder: Path,
    root: Path,
    secrets: Secrets,
    *,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start `python -m mlctl.runtime PROGRAM FOLDER` in a session of its own, at work in `root`. Nothing happens when it runs already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(folder / contract.LOCK_FILE)
    if not lock.acquire():
        return
    try:
        job = {"program": program, "params": dict(params)}
        worker.spawn(job, folder, lock, root, secrets, environment, stale=[READY_FILE])
    finally:
        lock.release()


def find(folder: Path) -> ServiceState:
    """Look at a service without touching it."""
    running = worker.running(folder)
    started = atomic.read_object(folder / contract.PROCESS_FILE) or {}
    job = atomic.read_object(folder / contract.JOB_FILE) or {}
    log = folder / contract.LOG_FILE
    return ServiceState(
        running=running,
        pid=started.get("pid"),
        started=started.get("started"),
        last_sign=log.stat().st_mtime if log.exists() else None,
        params=job.get("params"),
        ready=atomic.read_object(folder / READY_FILE) if running else None,
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
