"""What a rank is told (one JSON file), and where in the data each step of a training stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

PLAN_FILE = "ranks.json"
FEATURES_FILE = "features.npy"
TARGET_FILE = "target.npy"
PROGRESS_FILE = "ranks.jsonl"  # rank 0 appends: {"type": "step" | "epoch", ...}
ENDED_FILE = "ranks-ended.json"  # rank 0's last act: {"status": "done" | "preempted", ...}
ERRORS_FOLDER = "errors"


class RankPlan(BaseModel):
    """One training as its ranks see it: arrays on disk, the first `train` rows to learn from, the rest to validate on."""

    table: str
    config: dict[str, Any]
    train: int
    validation: int
    mean: list[float]
    std: list[float]
    offset: float
    scale: float
    precision: str
    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    weight_decay: float
    checkpoint_every: str
    checkpoint_keep: int
    seed: int

    @classmethod
    def read(cls, folder: Path) -> RankPlan:
        """The plan in a job's folder."""
        return cls.model_validate_json((folder / PLAN_FILE).read_bytes())


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a training: which rows of an epoch's order each takes, and which part of them is a rank's.

    A last batch with fewer than two rows for each rank is left out, unless it is the only one: such a batch would
    give some rank nothing, and a batch norm needs two rows.
    """

    rows: int
    batch_size: int
    epochs: int
    world: int

    @property
    def per_epoch(self) -> int:
        """Steps in one epoch."""
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + 1 if rest >= 2 * self.world or whole == 0 else whole

    @property
    def total(self) -> int:
        """Steps in the whole training."""
        return self.per_epoch * self.epochs

    def bounds(self, step: int, rank: int) -> tuple[int, int, int]:
        """Where a rank's part of a step starts and ends in the epoch's order, and how many rows the step has over all ranks."""
        start = step % self.per_epoch * self.batch_size
        size = min(self.batch_size, self.rows - start)
        return start + size * rank // self.world, start + size * (rank + 1) // self.world, size

    def ends_epoch(self, step: int) -> bool:
        """Whether a step is the last of its epoch."""
        return (step + 1) % self.per_epoch == 0

    def saves_after(self, step: int, every: str) -> bool:
        """Whether a checkpoint is due after a step; `every` is `50 steps` or `2 epochs`. One is always due after the last."""
        done = step + 1
        number, unit = every.split()
        period = int(number) * (self.per_epoch if unit == "epochs" else 1)
        return done % period == 0 or done == self.total
