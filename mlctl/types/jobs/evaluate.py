"""Parameters of the `evaluate` worker program."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from mlctl.types.jobs.tracking import TrackingTarget
from mlctl.types.jobs.train import Candidate, TableInput

BINARY_METRICS = frozenset({"roc_auc", "accuracy", "log_loss", "f1", "precision", "recall", "brier"})
REGRESSION_METRICS = frozenset({"rmse", "mae", "r2"})
ANSWER_METRICS = frozenset({"exact_match", "token_f1"})  # of what a language model writes
LANGUAGE_METRICS = frozenset({"loss", "perplexity", *ANSWER_METRICS})
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "rmse", "mae", "loss", "perplexity"})
METRICS = {"binary": BINARY_METRICS, "regression": REGRESSION_METRICS, "causal_lm": LANGUAGE_METRICS}


class Bar(BaseModel):
    """What one metric must reach."""

    min: float | None = None
    max: float | None = None
    versus_champion: bool = False  # not worse, by more than the margin
    versus_base: bool = False  # better, by the margin at least
    margin: float = 0.0


class Generation(BaseModel):
    """What a language model writes to be compared with the answers of a dataset."""

    max_new_tokens: int = 64
    documents: int = 200  # at most, drawn by their content


class Registration(BaseModel):
    """The name and alias under which a model that passes is registered."""

    name: str
    alias: str


class EvaluateJob(BaseModel):
    """Judge a candidate on a dataset, next to the champion, and register it when it passes."""

    op: Literal["evaluate"] = "evaluate"
    tracking: TrackingTarget
    candidate: Candidate
    dataset: TableInput
    require: dict[str, Bar]
    generation: Generation = Generation()
    register_as: Registration | None
    adopt: bool = (
        False  # the registered model and the version that holds the alias are somebody else's, and to be taken over
    )


class PromoteJob(BaseModel):
    """Point the alias at a candidate that an earlier evaluation let through."""

    op: Literal["promote"] = "promote"
    tracking: TrackingTarget
    candidate: Candidate
    register_as: Registration
    metrics: dict[str, float]


class WithdrawJob(BaseModel):
    """Take back what an evaluation registered."""

    op: Literal["withdraw"] = "withdraw"
    tracking: TrackingTarget
    register_as: Registration


class LookJob(BaseModel):
    """Ask the registry itself which version an alias points at."""

    op: Literal["look"] = "look"
    tracking: TrackingTarget
    register_as: Registration
