"""The ranks of a training, wherever they run: started or found again, followed, started anew after a death, stopped.

An executor knows how to start them and how to find those that an earlier program started; each start is an attempt, whose ranks
end together. All the rest is the same everywhere: they work in the job's folder, and tell by its files how far they are and how
they ended. A rank that raised an error would raise it again, so only after a death, or a stop that nobody here asked for, are
they started anew, from the newest checkpoint.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from mlctl.files import atomic
from mlctl.runtime import secrets
from mlctl.runtime.trainer.executors import failures
from mlctl.runtime.trainer.executors.failures import End as End
from mlctl.runtime.trainer.plan import ENDED_FILE, ERRORS_FOLDER, PLAN_FILE, PROGRESS_FILE
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.executors import PLACED_FILE
from mlctl.types.jobs.executors import Executor as Params
from mlctl.types.jobs.recipe import Recipe
from mlctl.types.jobs.train import CHECKPOINTS, TrainJob
from mlctl.types.secret import settled

SUBMITTED_FILE = "submitted.json"  # an executor's own note of what it submitted
LOGS_FOLDER = "ranks"  # `NAME/.../RANK/stderr.log` of each attempt, where there are several ranks
_TRAINED = ("done", "stopped_early")
_POLL_SECONDS = 0.1
_EXECUTOR: TypeAdapter[Params] = TypeAdapter(Params)
_STEP = re.compile(r"step-(\d+)\.json")

# Each module has `executor(job) -> Executor`.
_ROOMS = {
    "local": "mlctl.runtime.trainer.executors.local",
    "torchrun": "mlctl.runtime.trainer.executors.torchrun",
    "slurm": "mlctl.runtime.trainer.executors.slurm",
    "ray": "mlctl.runtime.trainer.executors.ray",
    "kubernetes": "mlctl.runtime.trainer.executors.kubernetes",
    "skypilot": "mlctl.runtime.trainer.executors.skypilot",
}


class Attempt(Protocol):
    """Ranks that were started together."""

    @property
    def word(self) -> str:
        """Where they stand, for those who wait; empty where there is nothing to say."""
        ...

    @property
    def running(self) -> bool:
        """Whether any of them may still be at work, or has yet to begin. Asked ten times a second."""
        ...

    def ask_to_stop(self) -> None:
        """Have all ranks save and leave. Returns at once."""
        ...

    def kill(self) -> None:
        """End them now; returns when none is left."""
        ...

    def end(self) -> End:
        """How they ended, apart from what they wrote themselves. Asked once they are gone."""
        ...


class Executor(Protocol):
    """A place where ranks can be started."""

    restarts: int  # how often in a row, without a newer checkpoint between
    stop_seconds: float  # what ranks are given to save and leave
    outlives: bool  # its ranks go on when this program is killed
    needs_plan: bool  # cannot start before the plan and its data are there; others start early and wait for it

    def start(self, folder: Path) -> Attempt:
        """Start the ranks. What is to be found again by `rejoin` is noted before this returns. Raises MlctlError."""
        ...

    def rejoin(self, folder: Path) -> Attempt | None:
        """The ranks that an earlier program started and that may be at work still; None when there are none."""
        ...


def executor_of(job: TrainJob) -> Executor:
    """The executor that a job names."""
    made: Executor = importlib.import_module(_ROOMS[job.executor.type]).executor(job)
    return made


def how_ended(folder: Path) -> dict[str, Any] | None:
    """What rank 0 left behind as its last act, or None when it did not get that far."""
    try:
        stored: dict[str, Any] = json.loads((folder / ENDED_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return stored


def trained(folder: Path) -> bool:
    """Whether the ranks went through to the end."""
    ended = how_ended(folder)
    return ended is not None and ended["status"] in _TRAINED


def start_ranks(job: TrainJob, folder: Path) -> Ranks:
    """Find the ranks that are at work in a job's folder, or start them. Raises MlctlError."""
    return Ranks(job, folder, find(job, folder))


def find(job: TrainJob, folder: Path) -> Attempt | None:
    """The ranks that an earlier program started for this very training; those of another recipe or executor are stopped."""
    stored = _placed(folder)
    if stored is None:
        return None
    if settled(stored) == settled(_placement(job)):
        return executor_of(job).rejoin(folder)
    stop_left(job, folder)
    return None


def stop_left(job: TrainJob, folder: Path) -> None:
    """Have ranks that outlived their program save and leave, and end them if they do not. None left is success."""
    stored = _placed(folder)
    if stored is not None:
        then = secrets.known().opened(stored)  # the recipe too: by it an executor shares its processes out
        as_it_was = {
            "executor": _EXECUTOR.validate_python(then["executor"]),
            "recipe": Recipe.model_validate(then["recipe"]),
        }
        left = executor_of(job.model_copy(update=as_it_was))
        attempt = left.rejoin(folder)
        if attempt is not None:
            _stop(attempt, left.stop_seconds)
    (folder / PLACED_FILE).unlink(missing_ok=True)


def _placement(job: TrainJob) -> dict[str, Any]:
    found = {"executor": job.executor.model_dump(mode="json"), "recipe": job.recipe.model_dump(mode="json")}
    return dict(secrets.known().masked(found))


def _placed(folder: Path) -> dict[str, Any] | None:
    try:
        stored: dict[str, Any] = json.loads((folder / PLACED_FILE).read_bytes())
    except FileNotFoundError:
        return None
    return stored


def _stop(attempt: Attempt, seconds: float) -> None:
    attempt.ask_to_stop()
    _wait(attempt, seconds)


def _wait(attempt: Attempt, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while attempt.running and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    attempt.kill()


class Ranks:
    """The ranks of one training, over all attempts. They begin once their plan is written."""

    def __init__(self, job: TrainJob, folder: Path, attempt: Attempt | None = None) -> None:
        self.folder = folder
        self._job, self._executor = job, executor_of(job)
        self._asked = False
        self._said = ""
        self._left = self._executor.restarts
        self._reached = self._newest_step()
        self._attempt = attempt
        self.attempts = 1  # over this program's life
        if attempt is None:
            for name in (PLAN_FILE, PROGRESS_FILE):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / LOGS_FOLDER, ignore_errors=True)
            self._clear()
            if not self._executor.needs_plan:
                self._attempt = self._start()

    def begin(self) -> None:
        """The plan is written: start the ranks where they could not be before. Raises MlctlError."""
        if self._attempt is None:
            self._attempt = self._start()

    @property
    def running(self) -> bool:
        """Whether any rank may still be at work, or is about to be started anew."""
        return self._attempt is not None and (self._attempt.running or self._goes_on())

    def ask_to_stop(self) -> None:
        """Have all ranks save and leave, or end them if they have nothing to save yet. To be called once."""
        self._asked = True
        if self._attempt is None or not self._attempt.running:
            return
        if (self.folder / PLAN_FILE).exists():
            self._attempt.ask_to_stop()
        else:
            self._attempt.kill()

    def wait(self) -> None:
        """Wait for the end of ranks that were asked to stop, and end them if they do not."""
        if self._attempt is not None:
            _wait(self._attempt, self._executor.stop_seconds)
            (self.folder / PLACED_FILE).unlink(missing_ok=True)

    def lines(self) -> Iterator[dict[str, Any] | None]:
        """What rank 0 reports, line by line as it comes; None whenever there is no more for now. Ends once the ranks are gone.

        Looks after the ranks between two lines, and puts in lines of its own: `{"type": "placed", "what"}` where an executor has
        something to say, and `{"type": "restarted", "why", "left", "attempt"}` where they are started anew.
        """
        rest, offset = b"", 0
        path = self.folder / PROGRESS_FILE
        over = False
        while not over:
            over = not self.running  # asked before what they wrote is read, so that nothing is left unread
            if path.exists():
                with open(path, "rb") as stream:
                    stream.seek(offset)
                    data = stream.read()
                offset += len(data)
                *lines, rest = (rest + data).split(b"\n")
                yield from filter(None, map(_line, lines))
            if self._attempt is not None and not self._attempt.running and self._goes_on():
                yield self._again()
            if self._attempt is not None and self._attempt.word != self._said:
                self._said = self._attempt.word
                yield {"type": "placed", "what": self._said}
            yield None

    def failure(self) -> MlctlError:
        """Why the ranks ended without a result."""
        limit = None if self._attempt is None else self._attempt.end().limit
        if limit is not None and failures.own_error(self.folder) is None:
            return failures.spent(limit)
        if how_ended(self.folder) is not None:
            return MlctlError.of(
                "training.stopped-elsewhere",
                "the ranks of the training were asked to stop, and saved what they had",
                "nobody asked for it here: the machine or the cluster wants its place back",
                "run `mlctl apply` again: it goes on from the last checkpoint",
            )
        end = End(True, "they were never started") if self._attempt is None else self._attempt.end()
        return failures.explained(self.folder, end)

    def _start(self) -> Attempt:
        """Ranks that outlive this program are noted first, so that they are looked for whenever it is killed."""
        if self._executor.outlives:
            atomic.write_json(self.folder / PLACED_FILE, _placement(self._job))
        return self._executor.start(self.folder)

    def _goes_on(self) -> bool:
        """Whether ranks that ended are to be started anew."""
        if self._asked or trained(self.folder) or self._attempt is None or self._attempt.running:
            return False
        if self._attempt.end().limit is not None:
            return False
        if how_ended(self.folder) is None and not self._died():
            return False
        return self._left > 0 or self._newest_step() > self._reached

    def _died(self) -> bool:
        if self._attempt is None or failures.own_error(self.folder) is not None:
            return False
        end = self._attempt.end()
        return end.died and not end.final

    def _again(self) -> dict[str, Any]:
        """Start the ranks anew; those that got further than the last ones have all their tries again."""
        assert self._attempt is not None  # noqa: S101
        why = "they were asked to stop" if how_ended(self.folder) is not None else self._attempt.end().why
        reached = self._newest_step()
        self._left = self._executor.restarts if reached > self._reached else self._left
        self._left -= 1
        self._reached = reached
        self._attempt.kill()  # what is left of them, such as processes they started
        self._clear()
        if (self.folder / PROGRESS_FILE).exists():
            _end_line(self.folder / PROGRESS_FILE)
        self._attempt = None  # a start that fails may still come through: what it noted is looked for the next time
        self._attempt = self._start()
        self.attempts += 1
        return {"type": "restarted", "why": why, "left": self._left, "attempt": self.attempts}

    def _clear(self) -> None:
        """Away with what the ranks before left about their end."""
        shutil.rmtree(self.folder / ERRORS_FOLDER, ignore_errors=True)
        (self.folder / ENDED_FILE).unlink(missing_ok=True)

    def _newest_step(self) -> int:
        names = (path.name for path in (self.folder / CHECKPOINTS).glob("step-*.json"))
        return max((int(match[1]) for name in names if (match := _STEP.fullmatch(name))), default=0)


def _line(line: bytes) -> dict[str, Any] | None:
    """A line of progress; None for one that a kill or a full disk cut short."""
    try:
        stored = json.loads(line)
    except ValueError:
        return None
    return stored if isinstance(stored, dict) and "type" in stored else None


def _end_line(path: Path) -> None:
    """Close a line that a killed rank did not get to the end of, so that the next one is not lost with it."""
    with open(path, "rb+") as stream:
        if stream.seek(0, 2) and stream.seek(-1, 2) is not None and stream.read(1) != b"\n":
            stream.write(b"\n")
