"""`labels`: where outcomes come from, how long they take, and what of them raises an alarm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlctl.provider import Block, Reference
from mlctl.types.units import MOST, Duration, Share

WEEK_SECONDS, MONTH_SECONDS = 7 * 86400.0, 28 * 86400.0
RUN_LENGTH = 50_000.0
LABEL_MARGIN = 0.05

Name = Annotated[str, Field(min_length=1)]
Metric = Literal["error_rate", "log_loss", "brier", "roc_auc", "mae", "rmse"]


class Baseline(Block):
    """What the model got wrong when it was judged, for a deployment whose model no evaluation of the project has judged."""

    error_rate: Annotated[float, Field(gt=0, lt=1)]
    rows: Annotated[
        int | None, Field(ge=30, description="On how many rows it was measured; without it, it is taken for a bound")
    ] = None


class Joined(Block):
    """Rows of a dataset that are about predictions: they carry the id of a request, the key of what was predicted, or both."""

    dataset: Annotated[str, Reference("datasets")]
    id: Annotated[Name | None, Field(description="The column that holds the request id")] = None
    key: Annotated[list[Name], Field(description="The columns of the key, named as in the prediction log")] = Field(
        default_factory=list
    )
    timestamp: Annotated[
        Name | None, Field(description="When a row came; the dataset's own `timestamp` when left out")
    ] = None


class Labels(Joined):
    """Delayed labels. `delay` is how long one may take: younger predictions without a label are pending, never negative."""

    label: Name
    delay: Annotated[Duration, Field(gt=0)] = WEEK_SECONDS
    window: Annotated[Duration, Field(gt=0, description="How many days of predictions are told and tested")] = (
        MONTH_SECONDS
    )
    metrics: Annotated[
        list[Metric] | None, Field(min_length=1, description="Those that fit the model when left out")
    ] = None
    margin: Annotated[
        dict[Metric, Annotated[float, Field(ge=0)]],
        Field(description="By metric: worse than the evaluation by more than this raises an alarm"),
    ] = Field(default_factory=dict)
    label_margin: Annotated[
        float | None, Field(ge=0, le=1, description="The share of labels that has to change class for an alarm")
    ] = None
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    min_labels: Annotated[int, Field(ge=30, lt=MOST)] = 100
    min_coverage: Annotated[
        Share, Field(description="Of ripe predictions, the share that needs a label for a verdict")
    ] = 0.5
    baseline: Baseline | None = None
    detector: Literal["e_detector", "adwin"] = "e_detector"
    loss: Annotated[Literal["error_rate", "brier"] | None, Field(description="What the detector follows")] = None
    average_run_length: Annotated[
        float | None, Field(ge=100, le=1e9, description="Labels between two false alarms, on average and at least")
    ] = None

    @model_validator(mode="after")
    def _found(self) -> Labels:
        return _findable(self)

    @property
    def run_length(self) -> float:
        """Of the e-detector."""
        return RUN_LENGTH if self.average_run_length is None else self.average_run_length


def _findable(block: Labels) -> Labels:
    if block.id is None and not block.key:
        raise ValueError("a label is joined to its prediction by `id` (the request id), by `key`, or by both: give one")
    return block
