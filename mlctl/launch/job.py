"""Run a worker program to its end, or join one that an earlier mlctl started, or take the result it left behind.

The program holds a lock on its folder for as long as it lives; it inherits the lock, so there is no moment in which a
second copy could start, and none in which a dead one looks alive (a recycled pid would).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.lock import FileLock, is_locked
from mlctl.launch.environment import worker_environment
from mlctl.provider import Context
from mlctl.types import job as contract
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Progress
from mlctl.types.job import JobResult, JobStatus

_POLL_SECONDS = 0.05
_STOP_GRACE_SECONDS = 45.0


class JobState(StrEnum):
    """What a job's folder tells."""

    ABSENT = "absent"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"  # it ended without a result: killed, or the machine went down


def state(folder: Path) -> JobState:
    """Look at a job without touching it."""
    if not (folder / contract.JOB_FILE).exists():
        return JobState.ABSENT
    if is_locked(folder / contract.LOCK_FILE):
        return JobState.RUNNING
    result = _result(folder)
    if result is None or result.status is JobStatus.PREEMPTED:
        return JobState.DEAD
    return JobState.DONE if result.status is JobStatus.DONE else JobState.FAILED


def run(
    program: str, params: Mapping[str, Any], folder: Path, ctx: Context, *, environment: Mapping[str, str] | None = None
) -> JobResult:
    """Run `python -m mlctl.runtime PROGRAM FOLDER` and wait, handing its progress to `ctx.progress`.

    A job of the same parameters that still runs is joined; one that was done is not run again. The working directory is
    the project's. Raises MlctlError with the program's own diagnostics when it failed, `job.died` when it left no result,
    and exit code 130 when `ctx.stop` was set and the program could be stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = json.loads(json.dumps({"program": program, "params": dict(params)}))
    lock = FileLock(folder / contract.LOCK_FILE)
    process = None
    while not lock.acquire():
        if _stored(folder) == wanted:
            break
        stop(folder)  # what runs there is of other parameters, and its result would be too
    else:
        done = _result(folder)
        if done is not None and done.status is JobStatus.DONE and _stored(folder) == wanted:
            lock.release()
            return done
        process = _start(program, wanted, folder, lock, ctx, environment)
        lock.release()
    _wait(folder, ctx, process)
    result = _result(folder)
    if result is None:
        raise _died(program, folder, process)
    if result.status is JobStatus.PREEMPTED:
        raise MlctlError.of(
            "job.stopped",
            f"{program} was stopped at a checkpoint",
            "it was asked to stop",
            "run `mlctl apply` again: it goes on from there",
            exit_code=ExitCode.INTERRUPTED,
        )
    if result.status is JobStatus.FAILED:
        raise MlctlError(result.diagnostics)
    return result


def discard(folder: Path) -> None:
    """Stop a job if it runs, and remove its folder. Gone already is success."""
    stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def stop(folder: Path, grace_seconds: float = _STOP_GRACE_SECONDS) -> None:
    """Ask a running job to stop, then make it. Returns when nothing of it runs any more."""
    deadline = time.monotonic() + grace_seconds
    asked = False
    while is_locked(folder / contract.LOCK_FILE):
        late = time.monotonic() > deadline
        if late or not asked:
            asked = _signal(folder, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(_POLL_SECONDS)


def _start(
    program: str,
    wanted: dict[str, Any],
    folder: Path,
    lock: FileLock,
    ctx: Context,
    environment: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    for name in (contract.RESULT_FILE, contract.EVENTS_FILE, contract.PROCESS_FILE):
        (folder / name).unlink(missing_ok=True)
    atomic.write_json(folder / contract.JOB_FILE, wanted)
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
    return process


def _wait(folder: Path, ctx: Context, process: subprocess.Popen[bytes] | None) -> None:
    events = _events(folder)
    while True:
        running = is_locked(folder / contract.LOCK_FILE)
        for event in events:
            if event is None:
                break
            ctx.progress(event)
        if not running:
            break
        if ctx.stop.is_set():
            stop(folder)
        time.sleep(_POLL_SECONDS)
    if process is not None:
        process.wait()


def _events(folder: Path) -> Iterator[Progress | None]:
    """Whole lines of the event file as they come, None whenever there is no more for now. Never ends."""
    path = folder / contract.EVENTS_FILE
    rest, offset = b"", 0
    while True:
        if path.exists():
            with open(path, "rb") as stream:
                stream.seek(offset)
                data = stream.read()
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                stored = json.loads(line)
                yield Progress(stored["message"], stored["done"], stored["total"], stored["unit"], stored["metrics"])
        yield None


def _stored(folder: Path) -> Any:
    try:
        return json.loads((folder / contract.JOB_FILE).read_bytes())
    except (OSError, ValueError):
        return None


def _result(folder: Path) -> JobResult | None:
    try:
        return JobResult.from_json(json.loads((folder / contract.RESULT_FILE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _signal(folder: Path, number: signal.Signals) -> bool:
    """Signal the job's own session; False while it has not said its pid. The lock is held, so the pid is no recycled one."""
    try:
        pid = json.loads((folder / contract.PROCESS_FILE).read_bytes())["pid"]
        os.killpg(pid, number)
    except (OSError, ValueError, KeyError):
        return False
    return True


def _died(program: str, folder: Path, process: subprocess.Popen[bytes] | None) -> MlctlError:
    log = folder / contract.LOG_FILE
    tail = log.read_text(errors="replace").strip().splitlines()[-12:] if log.exists() else []
    how = f"exit code {process.returncode}" if process is not None else "it was started by an earlier command"
    return MlctlError.of(
        "job.died",
        f"the {program} program ended without a result ({how})",
        "it was killed, ran out of memory, or crashed; the end of its log:\n" + "\n".join(tail),
        f"see the whole log in {log}; then run `mlctl apply` again",
    )
