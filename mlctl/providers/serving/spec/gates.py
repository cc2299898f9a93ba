"""What a step of a rollout waits for: the block `gates`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlctl.provider import Block
from mlctl.types.units import Duration


class GateMetric(Block):
    """A bound: `margin` or `max_ratio` against the baseline, `max` or `min` as it is."""

    name: Annotated[str, Field(description="Such as `error_rate`, `p99_seconds`, `ttft_p95_seconds`, `mismatch_rate`")]
    margin: Annotated[float | None, Field(ge=0, description="How much worse than the baseline is still as good")] = None
    max_ratio: Annotated[
        float | None, Field(ge=1, description="How many times the baseline's value is still as good")
    ] = None
    max: Annotated[float | None, Field(ge=0, description="A hard upper limit")] = None
    min: Annotated[float | None, Field(ge=0, description="A hard lower limit")] = None

    @model_validator(mode="after")
    def _bounded(self) -> GateMetric:
        if all(bound is None for bound in (self.margin, self.max_ratio, self.max, self.min)):
            raise ValueError(f"`{self.name}` has no bound: give `margin`, `max_ratio`, `max` or `min`")
        return self


class GateSpec(Block):
    """A statistical test of the candidate against the version that runs beside it, and hard limits."""

    compare: Literal["baseline"] = "baseline"
    metrics: Annotated[list[GateMetric], Field(min_length=1)]
    alpha: Annotated[
        float, Field(gt=0, le=0.2, description="The chance, over all looks, to blame a version that keeps the bounds")
    ] = 0.01
    min_requests: Annotated[int, Field(ge=1, description="Of each side, before there is a verdict")] = 500
    on_no_data: Annotated[Literal["hold", "fail"], Field(description="When no request comes; it never passes")] = "hold"
    no_data_after: Duration = 600.0
    interval: Annotated[Duration, Field(ge=1, description="The time between two looks")] = 10.0
