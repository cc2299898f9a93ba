"""Run a worker program to its end, or join one that an earlier mlctl started, or take the result it left behind."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.lock import FileLock
from mlctl.processes import worker
from mlctl.provider import Context
from mlctl.types import job as contract
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError
from mlctl.types.event import Progress
from mlctl.types.interrupt import Manner
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.secret import settled

_POLL_SECONDS = 0.05
STOP_GRACE_SECONDS = 45.0  # a rank may be in the middle of a step and then has a checkpoint to write


class JobState(StrEnum):
    """What a job's folder tells."""

    ABSENT = "absent"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"  # it ended without a result: killed, or the machine went down


def fresh_folder(parent: Path, moment: datetime) -> Path:
    """A new folder for a job, named by a moment, so that names sort by age. Two jobs in one microsecond get two."""
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = parent / moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            moment += timedelta(microseconds=1)


def state(folder: Path) -> JobState:
    """Look at a job without touching it."""
    if not (folder / contract.JOB_FILE).exists():
        return JobState.ABSENT
    if worker.running(folder):
        return JobState.RUNNING
    result = _result(folder)
    if result is None or result.status is JobStatus.PREEMPTED:
        return JobState.DEAD
    return JobState.DONE if result.status is JobStatus.DONE else JobState.FAILED


def run(
    program: str,
    params: Mapping[str, Any],
    folder: Path,
    ctx: Context,
    *,
    environment: Mapping[str, str] | None = None,
    detachable: bool = False,
) -> JobResult:
    """Run `python -m mlctl.runtime PROGRAM FOLDER` and wait, handing its progress to `ctx.progress`.

    A job of the same parameters that still runs is joined; one that was done is not run again. The working directory is
    the project's. Raises MlctlError with the program's own diagnostics when it failed, `job.died` when it left no result,
    and exit code 130 when `ctx.stop` was set: `job.stopped` once the program has ended or, for one that is `detachable`
    and an end that lets it go on, `job.detached` at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    job = ctx.secrets.masked({"program": program, "params": dict(params)})
    wanted = settled(json.loads(json.dumps(job)))  # a secret that was rotated makes no other job
    lock = FileLock(folder / contract.LOCK_FILE)
    while not lock.acquire():
        if settled(atomic.read_object(folder / contract.JOB_FILE)) == wanted:
            break
        worker.stop(folder, STOP_GRACE_SECONDS)  # what runs there is of other parameters, and its result would be too
    else:
        try:
            done = _result(folder)
            same = settled(atomic.read_object(folder / contract.JOB_FILE)) == wanted
            if done is not None and done.status is JobStatus.DONE and same:
                return done
            worker.spawn(job, folder, lock, ctx.root, ctx.secrets, environment)
        finally:
            lock.release()
    if not _wait(folder, ctx, detachable=detachable):
        raise _detached(program)
    result = _result(folder)
    if result is None and not ctx.stop.is_set():
        raise _died(program, folder)
    if result is None or result.status is JobStatus.PREEMPTED:
        raise MlctlError.of(
            "job.stopped",
            f"the {program} program was stopped",
            "it was asked to stop",
            "run `mlctl apply` again: it goes on from there",
            exit_code=ExitCode.INTERRUPTED,
        )
    if result.status is JobStatus.FAILED:
        raise MlctlError([*result.diagnostics, *_without(ctx.secrets.missing(job))])
    return result


def _without(names: Collection[str]) -> Iterator[Diagnostic]:
    """What is to be said of a program that failed and was not given some secrets: it may not have needed them."""
    if names:
        yield Diagnostic(
            "secret.missing",
            f"it had no value for {', '.join(f'`{name}`' for name in sorted(names))}",
            "the object was made with it, and mlctl keeps no secret",
            "set it as for `mlctl apply`",
        )


def discard(folder: Path) -> None:
    """Stop a job if it runs, and remove its folder. Gone already is success."""
    worker.stop(folder, STOP_GRACE_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def _wait(folder: Path, ctx: Context, *, detachable: bool) -> bool:
    """Wait for the end of a program, or bring it about in the manner that was asked for. False when it goes on alone."""
    events = progress_of(folder)
    while True:
        running = worker.running(folder)
        for event in events:
            if event is None:
                break
            ctx.progress(event)
        if not running:
            return True
        if ctx.stop.is_set():
            if detachable and ctx.stop.manner is Manner.DETACH:
                return False
            worker.stop(folder, STOP_GRACE_SECONDS, at_once=lambda: ctx.stop.manner is Manner.KILL)
        time.sleep(_POLL_SECONDS)


def progress_of(folder: Path) -> Iterator[Progress | None]:
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
            yield from filter(None, map(_event, lines))
        yield None


def _event(line: bytes) -> Progress | None:
    """A line of progress; None for one that a full disk cut short, and for the one it ran into."""
    try:
        stored = json.loads(line)
        return Progress(stored["message"], stored["done"], stored["total"], stored["unit"], stored["metrics"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _result(folder: Path) -> JobResult | None:
    try:
        return JobResult.from_json(json.loads((folder / contract.RESULT_FILE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _detached(program: str) -> MlctlError:
    return MlctlError.of(
        "job.detached",
        f"the {program} program goes on alone",
        "this command was asked to let it",
        "`mlctl status` shows how far it is; the next `mlctl apply` joins it or takes its result",
        exit_code=ExitCode.INTERRUPTED,
    )


def _died(program: str, folder: Path) -> MlctlError:
    return MlctlError.of(
        "job.died",
        f"the {program} program ended without a result",
        f"it was killed, ran out of memory, or crashed; the end of its log:\n{worker.log_tail(folder)}",
        f"see the whole log in {folder / contract.LOG_FILE}; then run `mlctl apply` again",
    )
