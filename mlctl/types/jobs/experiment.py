"""The `experiment` program: where exposures and outcomes are, what is measured how, and by what design it is judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlctl.types.jobs.profile import Source
from mlctl.types.value import Json

# Beside the result: the sums that the verdict was made of, so that it can be made again.
MOMENTS_FILE = "moments.json"

Aggregate = Literal["any", "sum", "count", "mean", "min", "max", "first", "last"]
MetricType = Literal["proportion", "mean", "ratio"]
# What the prediction log tells of each request. A percentile of the latency is written `p95_seconds`.
OPERATIONS = ("error_rate", "mean_seconds", "p50_seconds", "p90_seconds", "p95_seconds", "p99_seconds")


class _Params(BaseModel):
    """Base of all models here: typed, closed, and the same in the provider and in the worker."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class LogExposures(_Params):
    """The prediction log of a deployment: who was answered by which arm. `folder` is project-relative."""

    type: Literal["log"] = "log"
    deployment: str
    folder: str
    since: str  # ISO 8601; what was logged before belongs to no unit of this experiment


class TableExposures(_Params):
    """A dataset with a row for each exposure."""

    type: Literal["table"] = "table"
    name: str
    source: Source
    unit: str
    arm: str
    timestamp: str


Exposures = Annotated[LogExposures | TableExposures, Field(discriminator="type")]


class Outcomes(_Params):
    """A dataset with a row for each thing that a unit did, or for each label that it was given."""

    name: str
    source: Source
    unit: str
    timestamp: str


class Metric(_Params):
    """One figure of each unit: `column` put together over the rows of its window; of a ratio, over `denominator`."""

    name: str
    type: MetricType
    column: str
    aggregate: Aggregate
    denominator: str | None = None
    denominator_aggregate: Aggregate = "sum"
    window_seconds: float | None = None  # from the first exposure on; younger units are pending
    covariate: str | None = None  # a column of the exposures, known before the first one
    pre_seconds: float | None = None  # or the same figure over this time before the first exposure


class ExperimentJob(_Params):
    """One analysis, whole. `design` is what the decision is made by; `looks` are the earlier ones of the same design."""

    experiment: str
    arms: list[str]  # control first
    exposures: Exposures
    outcomes: Outcomes
    metrics: list[Metric]
    operations: list[str] = []  # guardrails that the prediction log answers
    log: LogExposures | None = None  # where they are read from
    subgroups: list[str] = []
    until: str
    final: bool = False  # nothing comes after `until`
    design: dict[str, Json]
    looks: list[dict[str, Any]] = []
