"""How good hyperparameters are looked for: part of the `train` program's parameters."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from mlctl.types.value import Json

TRIALS = "trials"  # folder of a search's job: a folder for each trial, `0007`, which is a job's folder with TRIAL_FILE
TRIAL_OF = "/trial-"  # between the object of a search and the number of a trial
TRIAL_FILE = "trial.json"
EPOCH_METRICS = ("val_loss", "train_loss")  # told after each epoch, and so of use to a pruner
LOWER_IS_BETTER = ("val_loss", "train_loss", "log_loss", "brier", "rmse", "mae", "perplexity")
HIGHER_IS_BETTER = ("roc_auc", "accuracy", "precision", "recall", "f1", "r2", "token_accuracy")


class RangeOf(BaseModel):
    """A number between two others, both included. `path` is the field of the recipe."""

    path: str
    low: float
    high: float
    log: bool = False
    integer: bool = False


class OneOf(BaseModel):
    """One of some values. `path` is the field of the recipe."""

    path: str
    choices: list[Json]


class Search(BaseModel):
    """Many trainings, each with other hyperparameters, the best of which counts. `space` is by the names of the spec's fields."""

    trials: int
    sampler: Literal["tpe", "random", "grid"]
    pruner: Literal["median", "hyperband", "none"]
    metric: str
    direction: Literal["minimize", "maximize"]
    space: dict[str, RangeOf | OneOf]
