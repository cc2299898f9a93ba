"""Parameters of the `kill_test` worker program, and what it finds out."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from mlctl.types.jobs.train import TrainJob


class KillTestJob(BaseModel):
    """Train a shortened copy twice, once undisturbed and once killed again and again, and compare."""

    training: TrainJob
    kills: int
    steps: int | None = None  # of the copy; None: as many as take some seconds
    seed: int = 0


class Kill(BaseModel):
    """One kill, and what became of it."""

    what: str  # `rank 1`, `torchrun`, `the program`
    signal: Literal["SIGKILL", "SIGTERM"]
    step: int  # the last step that was taken
    resumed: int  # the step of the checkpoint from which it went on


class KillTestReport(BaseModel):
    """What came of it all."""

    steps: int
    every: int  # steps between two checkpoints
    kills: list[Kill]
    asked: int  # how many kills there were to be
    orphans: int  # processes that went on after the program was killed
    losses_identical: bool
    largest_difference: float  # of a step's loss, relative
    weights_identical: bool
    exact: bool  # whether the training promises the same bits
    seconds: float
    problems: list[str]

    @property
    def passed(self) -> bool:
        """Whether everything held."""
        return not self.problems
