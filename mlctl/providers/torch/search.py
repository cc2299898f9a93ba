"""The block `search` of a training: which hyperparameters are tried, how many times, and what makes one better than another."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from mlctl.provider import Block
from mlctl.types.jobs import search as job
from mlctl.types.value import Json


class Range(Block):
    """A number between two others, both included; with `log`, as likely to be from 1 to 10 as from 10 to 100."""

    low: float | int
    high: float | int
    log: bool = False


class Choices(Block):
    """One of some values."""

    choices: Annotated[list[Json], Field(min_length=1)]


class Search(Block):
    """Train many times with other hyperparameters, and keep the best model. The same seed gives the same trials."""

    trials: Annotated[
        int | None, Field(ge=1, le=10_000, description="How many trainings; of a grid, all when not given")
    ] = None
    sampler: Annotated[
        Literal["tpe", "random", "grid"],
        Field(description="tpe: from what was found so far (Bergstra et al. 2011); random; grid: every combination"),
    ] = "tpe"
    pruner: Annotated[
        Literal["median", "hyperband", "none"] | None,
        Field(
            description="Ends trials that do badly: median (the default where the metric is told after each epoch), hyperband or none"
        ),
    ] = None
    metric: Annotated[str, Field(description="Of the validation rows: `val_loss`, `roc_auc`, ...")] = "val_loss"
    direction: Annotated[
        Literal["minimize", "maximize"] | None, Field(description="Known for the metrics that mlctl computes")
    ] = None
    space: Annotated[
        dict[str, Range | Choices],
        Field(min_length=1, description="Fields of the training by their dotted names, such as `optimizer.lr`"),
    ]

    @property
    def combinations(self) -> int:
        """How many there are where every field has choices."""
        return math.prod(len(item.choices) for item in self.space.values() if isinstance(item, Choices))

    @property
    def wanted(self) -> Literal["minimize", "maximize"]:
        """The direction, given or known."""
        return self.direction or ("maximize" if self.metric in job.HIGHER_IS_BETTER else "minimize")

    @property
    def pruning(self) -> Literal["median", "hyperband", "none"]:
        """The pruner, given or the default."""
        return self.pruner or ("median" if self.metric in job.EPOCH_METRICS else "none")
