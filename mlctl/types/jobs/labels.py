"""What a monitor is told about outcomes: held-out rows that a model was judged on, labels, events, and how they are joined."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlctl.types.jobs.profile import Source

HELD_OUT_ROWS = 20_000  # of which scores are kept, at most
BINARY_LABEL_METRICS = ("error_rate", "log_loss", "brier", "roc_auc")


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)


class HeldOut(_Told):
    """Scores of rows that a model had not seen, and what came of them: a sample of `HELD_OUT_ROWS`, drawn with a seed."""

    task: Literal["binary", "regression"]
    rows: int = Field(ge=0)  # all that were scored
    scores: list[float]
    targets: list[float]

    @model_validator(mode="after")
    def _paired(self) -> HeldOut:
        if len(self.scores) != len(self.targets):
            raise ValueError("there is not one target for each score")
        return self


class Joining(_Told):
    """How rows of a dataset find the predictions that they are about: by request id, by key, or by both."""

    dataset: str
    source: Source
    timestamp: str
    id: str | None = None
    key: list[str] = []
    within_window_seconds: float  # after a prediction, for a row to be about it


class LabelsPart(_Told):
    """Join labels to predictions, measure by day, and look for a change of what the model gets wrong."""

    joining: Joining
    label: str
    task: Literal["binary", "regression"]
    window_seconds: float
    metrics: list[str]
    margins: dict[str, float] = {}
    label_margin: float | None = None
    alpha: float
    min_labels: int
    min_coverage: float
    detector: Literal["e_detector", "adwin"]
    loss: Literal["error_rate", "brier", "exceedance"]
    baseline: float | None = None  # the bound of the mean loss that the e-detector starts from
    beyond: float | None = None  # of `exceedance`: an absolute error above it is one
    run_length: float | None = None
    held_out: str | None = None  # a `HeldOut` file
    version: str | None = None  # of the model that the baseline is of; other versions are not judged by it
    identity: str  # of what the detector looks for: a detector of another one begins anew


class EstimatedPart(_Told):
    """Estimate a metric from calibrated scores alone."""

    metric: Literal["error_rate", "log_loss", "roc_auc"]
    margin: float
    alpha: float
    window_seconds: float
    min_rows: int
    held_out: str
    version: str | None = None


class Proxy(_Told):
    """A figure that moves with the outcome and is known earlier, held against what it was before."""

    metric: str
    joining: Joining | None = None  # of events to predictions
    dataset: str
    source: Source
    timestamp: str
    column: str | None = None
    unit: str | None = None
    aggregate: Literal["any", "count", "sum", "mean"]
    higher_is_better: bool
    margin: float
    alpha: float
    window_seconds: float
    baseline_window_seconds: float
    min_units: int


class ProxiesPart(_Told):
    """Several of them, tested together."""

    proxies: list[Proxy]
