"""Start a program that outlives the command, and wait until it can serve."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.launch.job import progress_of
from mlctl.processes import service, worker
from mlctl.provider import Context
from mlctl.types import job as contract
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.job import JobResult

_POLL_SECONDS = 0.02


def start(
    program: str, params: Mapping[str, Any], folder: Path, ctx: Context, *, environment: Mapping[str, str] | None = None
) -> None:
    """Start `python -m mlctl.runtime PROGRAM FOLDER` in a session of its own. Nothing happens when it runs already."""
    service.start(program, params, folder, ctx.root, ctx.secrets, environment=environment)


def wait_ready(folder: Path, ctx: Context, timeout_seconds: float) -> Mapping[str, Any]:
    """Wait until the service says it is ready. Raises MlctlError when it ends before that, is late (it is then stopped),
    or `ctx.stop` is set (it is then stopped too)."""
    deadline = time.monotonic() + timeout_seconds
    events = progress_of(folder)
    while True:
        state = service.find(folder)
        if not state.running:
            raise _died(folder)
        if state.ready is not None:
            return state.ready
        for event in iter(events.__next__, None):
            ctx.progress(event)
        if ctx.stop.is_set():
            worker.stop(folder, grace_seconds=5)
            raise MlctlError.of(
                "service.stopped",
                "the service was stopped before it was ready",
                "mlctl was interrupted",
                "run `mlctl apply` again",
                exit_code=ExitCode.INTERRUPTED,
            )
        if time.monotonic() > deadline:
            worker.stop(folder, grace_seconds=5)
            raise MlctlError.of(
                "service.not-ready",
                f"the service was not ready within {timeout_seconds:g} s",
                f"the end of its log:\n{worker.log_tail(folder)}",
                f"see the whole log in {folder / contract.LOG_FILE}",
            )
        time.sleep(_POLL_SECONDS)


def _died(folder: Path) -> MlctlError:
    stored = atomic.read_object(folder / contract.RESULT_FILE)
    if stored is not None:
        result = JobResult.from_json(stored)
        if result.diagnostics:
            return MlctlError(result.diagnostics)
    return MlctlError.of(
        "service.died",
        "the service ended before it was ready",
        f"it was killed, ran out of memory, or crashed; the end of its log:\n{worker.log_tail(folder)}",
        f"see the whole log in {folder / contract.LOG_FILE}; then run `mlctl apply` again",
    )
