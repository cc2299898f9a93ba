"""What a rank is told (one JSON file), and where in the data each step of a training stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from mlctl.runtime import secrets
from mlctl.types.jobs.recipe import Recipe

PLAN_FILE = "ranks.json"
FEATURES_FILE = "features.npy"
TARGET_FILE = "target.npy"
OFFSETS_FILE = "offsets.npy"
PROGRESS_FILE = "ranks.jsonl"  # rank 0 appends, see `mlctl.runtime.trainer.engine`
ENDED_FILE = "ranks-ended.json"  # rank 0's last act, see `mlctl.runtime.trainer.engine.Ending`
ERRORS_FOLDER = "errors"


class PreparedTable(BaseModel):
    """Rows on disk: the first `train` to learn from, the rest to validate on. Features are standardised inside the model."""

    type: Literal["table"] = "table"
    folder: str  # holds FEATURES_FILE, float32 (rows, features), and TARGET_FILE, float32 (rows,)
    columns: list[str]
    task: Literal["binary", "regression"]
    train: int
    validation: int
    mean: list[float]
    std: list[float]
    offset: float
    scale: float


class PreparedText(BaseModel):
    """Token rows on disk: the first `train` to learn from, the rest to validate on.

    Row i holds tokens offsets[i] to offsets[i + 1] of three flat arrays: `input_ids.npy` (int32), `labels.npy` (int32, the token
    itself where it counts towards the loss and -100 where not; not shifted), `position_ids.npy` (int32, from 0 for each document).
    `weights.npy` (int64, one a row) counts the label tokens that are foretold, the sum a loss is averaged over.
    """

    type: Literal["text"] = "text"
    folder: str
    base: str  # the folder of the base model, absolute: config.json, safetensors, tokenizer
    train: int
    validation: int
    train_tokens: int
    max_length: int
    pad_token: int


class PreparedCustom(BaseModel):
    """Files that the project's own function makes a dataset of, in each rank."""

    type: Literal["custom"] = "custom"
    files: list[str]
    train: int
    validation: int


def sealed(recipe: Recipe) -> Recipe:
    """A recipe as files may keep it: ranks are handed the secrets among a model's parameters by their environment."""
    model = type(recipe.model).model_validate(secrets.known().masked(recipe.model.model_dump(mode="json")))
    return recipe.model_copy(update={"model": model})


class RankPlan(BaseModel):
    """One training as its ranks see it: what it learns from, and how. `model` is what builds the module, secrets sealed."""

    data: Annotated[PreparedTable | PreparedText | PreparedCustom, Field(discriminator="type")]
    model: dict[str, Any]
    recipe: Recipe

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
    most: int | None = None  # steps of the whole training

    @property
    def per_epoch(self) -> int:
        """Steps in one epoch."""
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + 1 if rest >= 2 * self.world or whole == 0 else whole

    @property
    def total(self) -> int:
        """Steps in the whole training."""
        total = self.per_epoch * self.epochs
        return total if self.most is None else min(total, self.most)

    def bounds(self, step: int, rank: int) -> tuple[int, int, int]:
        """Where a rank's part of a step starts and ends in the epoch's order, and how many rows the step has over all ranks."""
        start = step % self.per_epoch * self.batch_size
        size = min(self.batch_size, self.rows - start)
        return start + size * rank // self.world, start + size * (rank + 1) // self.world, size

    def ends_epoch(self, step: int) -> bool:
        """Whether a step is the last of its epoch, or of the training."""
        return (step + 1) % self.per_epoch == 0 or step + 1 == self.total

    def saves_after(self, step: int, every: str) -> bool:
        """Whether a checkpoint is due after a step; `every` is `50 steps` or `2 epochs`. One is always due after the last.
        `10 minutes` are for a clock to tell."""
        done = step + 1
        number, unit = every.split()
        if unit == "minutes":
            return done == self.total
        period = int(number) * (self.per_epoch if unit == "epochs" else 1)
        return done % period == 0 or done == self.total
