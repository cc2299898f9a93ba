"""Prove on a project's own training that kills lose nothing: train a shortened copy twice, once undisturbed and once killed at
random steps, and compare every step's loss and the model.

The copies are whole trainings of this program's own kind, on this machine, with their folders and their tracking below this one.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mlctl.files import atomic
from mlctl.runtime import secrets
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.executors.lifeline import end_descendants, take_in_orphans
from mlctl.runtime.trainer.plan import PROGRESS_FILE
from mlctl.runtime.trainer.progress import read_curve
from mlctl.runtime.trainer.stop import StopSignal
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.executors import LocalExecutor
from mlctl.types.jobs.kill_test import Kill, KillTestJob, KillTestReport
from mlctl.types.jobs.train import TrainJob

_POLL_SECONDS = 0.002  # a step of a small model takes no longer
_ORPHAN_SECONDS = 10.0
_WAIT_SECONDS = 900.0  # for a start; a large model takes minutes
# of the copy, where nobody says how many steps: so many, or as take so long for each kill
_STEPS, _MOST_STEPS, _SECONDS = 60, 20_000, 1.5
_TOLERANCE = 1e-3  # of a loss, where the same bits are not promised
_RANK, _AGENT = "mlctl.runtime.trainer.worker", "mlctl.runtime.trainer.executors.agent"


class Stopped(Exception):
    """This program was asked to stop."""


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Run the test; its findings are the outputs."""
    job, stop = KillTestJob.model_validate(params), StopSignal()
    take_in_orphans()
    try:
        return JobResult(JobStatus.DONE, _test(job, report, stop).model_dump(mode="json"))
    except Stopped:
        return JobResult(JobStatus.PREEMPTED)
    finally:
        end_descendants()


def shortened(training: TrainJob, folder: Path, steps: int, kills: int) -> TrainJob:
    """The same training, but of fewer steps, saved more often, on this machine, and tracked in a folder of its own."""
    recipe = training.recipe
    checkpoint = {"every": f"{max(steps // 10, 1)} steps", "keep": 2, "storage": None}
    changed = {
        "epochs": max(recipe.epochs, steps),  # however few rows there are
        "max_steps": steps,
        "early_stopping": None,
        "checkpoint": recipe.checkpoint.model_copy(update=checkpoint),
    }
    uri = f"sqlite:///{folder.resolve() / 'mlflow.db'}"
    return training.model_copy(
        update={
            "recipe": recipe.model_copy(update=changed),
            "executor": LocalExecutor(restarts=kills + 1),
            "tracking": training.tracking.model_copy(update={"uri": uri, "labels": {}}),
            "search": None,
        }
    )


def _test(job: KillTestJob, report: Report, stop: StopSignal) -> KillTestReport:
    started = time.monotonic()
    short = shortened(job.training, report.folder, job.steps or _STEPS, job.kills)
    report.progress("training once, undisturbed")
    plain, took = _undisturbed(report.folder, short, stop)
    enough = _SECONDS * (job.kills + 1)
    if job.steps is None and took < enough:  # a kill has to find it at work
        steps = min(math.ceil(_STEPS * enough / max(took, 1e-3)), _MOST_STEPS)
        short = shortened(job.training, report.folder, steps, job.kills)
        report.progress(f"training once more, undisturbed: {steps} steps")
        plain, _ = _undisturbed(report.folder, short, stop)
    killed = Trial(report.folder / "killed", short, stop)
    killed.start()
    kills, orphans = _disturb(killed, job, report)
    report.progress("training to the end", len(kills), job.kills, "kills")
    killed.wait(killed.done)
    return _judged(job, plain, killed, kills, orphans, time.monotonic() - started)


def _undisturbed(folder: Path, job: TrainJob, stop: StopSignal) -> tuple[Trial, float]:
    """A training in one go, and how long its steps took."""
    trial = Trial(folder / "plain", job, stop)
    trial.start()
    trial.wait(trial.done)
    times = read_curve(trial.folder)["time"]
    return trial, float(times[-1] - times[0])


def _disturb(trial: Trial, job: KillTestJob, report: Report) -> tuple[list[Kill], int]:
    """Kill ranks, torchrun and the program in turn, each at a random step; the last one is a notice to save and leave."""
    draw = random.Random(job.seed)  # noqa: S311
    every, steps = trial.every, trial.steps
    room = range(
        every + 1, steps * 3 // 4
    )  # from the first checkpoint on, and while there is enough left to be stopped in
    moments = sorted(draw.sample(room, min(job.kills, len(room))))
    kills, orphans = [], 0
    for index, moment in enumerate(moments):
        trial.wait(lambda moment=moment: trial.reached() >= moment or trial.done())  # type: ignore[misc]
        if trial.done() or trial.reached() >= steps:
            break
        last = index == len(moments) - 1 and index > 0
        kill, left = trial.notice() if last else trial.kill(draw, index)
        orphans += left
        if kill.step >= steps:  # too late: there was nothing left to lose
            break
        kills.append(kill)
        report.progress(
            f"{kill.signal} to {kill.what} at step {kill.step}, gone on from {kill.resumed}",
            index + 1,
            job.kills,
            "kills",
        )
    return kills, orphans


class Trial:
    """One of the two trainings: a program that is started as `mlctl apply` does, again after each time that it was killed."""

    def __init__(self, folder: Path, job: TrainJob, stop: StopSignal) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        params = {"program": "train", "params": job.model_dump(mode="json")}
        atomic.write_json(folder / contract.JOB_FILE, secrets.known().masked(params))
        self.folder, self.recipe, self._stop = folder, job.recipe, stop
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def steps(self) -> int:
        """How many it takes."""
        assert self.recipe.max_steps is not None  # noqa: S101
        return self.recipe.max_steps

    @property
    def every(self) -> int:
        """Steps between two checkpoints."""
        return int(self.recipe.checkpoint.every.split()[0])

    def start(self) -> None:
        """Start the program, or start it again."""
        (self.folder / contract.RESULT_FILE).unlink(missing_ok=True)
        with open(self.folder / contract.LOG_FILE, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlctl.runtime", "train", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def done(self) -> bool:
        """Whether the training ended well. Raises MlctlError when it ended otherwise without having been asked to."""
        if self._program.poll() is None:
            return False
        result = self.result()
        if result is None or result.status is not JobStatus.DONE:
            raise MlctlError(
                result.diagnostics
                if result is not None and result.diagnostics
                else MlctlError.of("job.died", "the training of the test ended without a result", "", f"see {self.folder / contract.LOG_FILE}").diagnostics
            )  # fmt: skip
        return True

    def result(self) -> JobResult | None:
        """What the program left."""
        try:
            return JobResult.from_json(json.loads((self.folder / contract.RESULT_FILE).read_bytes()))
        except (OSError, ValueError, KeyError):
            return None

    def reached(self) -> int:
        """The last step that was taken."""
        curve = read_curve(self.folder)
        return int(curve["step"][-1]) if len(curve) else 0

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds. Raises Stopped when this program is to stop, MlctlError when it takes too long."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not condition():
            if self._stop.set:
                raise Stopped
            if time.monotonic() > deadline:
                raise MlctlError.of(
                    "kill-test.stuck",
                    f"the training of the test has stood still for {_WAIT_SECONDS / 60:.0f} minutes",
                    "",
                    f"see {self.folder / contract.LOG_FILE}",
                )
            time.sleep(_POLL_SECONDS)

    def kill(self, draw: random.Random, index: int) -> tuple[Kill, int]:
        """SIGKILL to a rank, to torchrun, or to the program, in turn; gives the kill and how many processes outlived it."""
        below = psutil.Process(self._program.pid).children(recursive=True)
        ranks, agents = _running(below, _RANK), _running(below, _AGENT)
        turn = index % 3
        offset = self._told()
        if turn == 0 and ranks:
            victim = draw.choice(ranks)
            what = f"rank {ranks.index(victim)}"
        elif turn == 1 and agents:
            victim, what = agents[0], "torchrun"
        else:
            victim, what, offset = psutil.Process(self._program.pid), "the program", 0
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            pass  # it came to its own end meanwhile
        step, left = self.reached(), 0
        if what == "the program":
            self._program.wait()
            left = len(psutil.wait_procs(below, timeout=_ORPHAN_SECONDS)[1])
            step = self.reached()
            (self.folder / PROGRESS_FILE).unlink(missing_ok=True)
            self.start()
        return Kill(what=what, signal="SIGKILL", step=step, resumed=self._resumed(offset)), left

    def notice(self) -> tuple[Kill, int]:
        """SIGTERM to the program, as before the loss of a spot machine; it saves, leaves, and is started again."""
        self._program.send_signal(signal.SIGTERM)
        self.wait(lambda: self._program.poll() is not None)
        step = self.reached()
        (self.folder / PROGRESS_FILE).unlink(missing_ok=True)
        result = self.result()
        if result is not None and result.status is JobStatus.FAILED:
            raise MlctlError(result.diagnostics)
        self.start()
        return Kill(what="the program", signal="SIGTERM", step=step, resumed=self._resumed(0)), 0

    @property
    def _program(self) -> subprocess.Popen[bytes]:
        assert self._process is not None  # noqa: S101
        return self._process

    def _told(self) -> int:
        path = self.folder / PROGRESS_FILE
        return path.stat().st_size if path.exists() else 0

    def _resumed(self, offset: int) -> int:
        """The step from which it goes on, once it says so; 0 for a beginning from nothing."""
        found: list[int] = []

        def said() -> bool:
            if self.done():
                return True
            path = self.folder / PROGRESS_FILE
            if not path.exists():
                return False
            with open(path, "rb") as stream:
                stream.seek(offset)
                lines = whole_lines(stream.read())
            found.extend(line["step"] for line in lines if line.get("type") == "resumed")
            return bool(found) or any(line.get("type") == "held" for line in lines)  # which comes after it

        self.wait(said)
        return found[0] if found else 0


def _judged(
    job: KillTestJob, plain: Trial, killed: Trial, kills: list[Kill], orphans: int, seconds: float
) -> KillTestReport:
    """Compare the two, and say what did not hold."""
    recipe, every = plain.recipe, plain.every
    one, two = read_curve(plain.folder), read_curve(killed.folder)
    same = len(one) == len(two) and bool(np.array_equal(one["loss"], two["loss"]))
    shared = min(len(one), len(two))
    gap = np.abs(one["loss"][:shared] - two["loss"][:shared]) / np.maximum(np.abs(one["loss"][:shared]), 1e-12)
    largest = float(gap.max()) if shared else 0.0
    results = [trial.result() for trial in (plain, killed)]
    digests = {result.outputs["digest"] for result in results if result is not None}
    exact = recipe.deterministic
    allowed = every * (2 if recipe.checkpoint.background else 1)
    problems = [
        f"{kill.signal} to {kill.what} at step {kill.step} lost {kill.step - kill.resumed} steps, and checkpoints are {every} apart"
        for kill in kills
        if kill.step - kill.resumed > (allowed if kill.signal == "SIGKILL" else 0)
    ]
    if orphans:
        problems.append(f"{orphans} processes went on after the program was killed")
    if len(one) != len(two):
        problems.append(f"it took {len(two)} steps instead of {len(one)}")
    elif not same and (exact or largest > _TOLERANCE):
        problems.append(f"the loss of a step differs by up to {largest:.2g}")
    if len(digests) != 1 and exact:
        problems.append("the model has other weights")
    if len(kills) < job.kills:
        problems.append(f"only {len(kills)} of {job.kills} kills found the training at work; give it more `--steps`")
    return KillTestReport(
        steps=len(one), every=every, kills=kills, asked=job.kills, orphans=orphans, losses_identical=same, largest_difference=largest,
        weights_identical=len(digests) == 1, exact=exact, seconds=round(seconds, 1), problems=problems,
    )  # fmt: skip


def whole_lines(data: bytes) -> list[dict[str, Any]]:
    """What ranks told, but for lines that a kill cut short."""
    found = []
    for line in data.splitlines(keepends=True):
        try:
            stored = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            continue
        if isinstance(stored, dict):
            found.append(stored)
    return found


def _running(processes: list[psutil.Process], module: str) -> list[psutil.Process]:
    """Those that run a module, oldest first: torchrun starts ranks in their order."""
    found = []
    for process in processes:
        try:
            line = process.cmdline()
            if "-m" in line and line[line.index("-m") + 1 :][:1] == [module]:
                found.append(process)
        except psutil.Error:
            continue
    return sorted(found, key=lambda process: (process.create_time(), process.pid))
