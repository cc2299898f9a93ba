"""What a step of a rollout waits for: the block `gates`. What a verdict means: docs/guides/gates.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlctl.provider import Block
from mlctl.rollout.bounds import KINDS, needs_baseline, refused
from mlctl.rollout.evidence import METRICS
from mlctl.types.diagnostic import did_you_mean
from mlctl.types.units import Duration

_NO_DATA_SECONDS = 600.0


class GateMetric(Block):
    """A bound: `margin` or `max_ratio` against the baseline, `max` or `min` as it is."""

    name: Annotated[str, Field(description="Such as `error_rate`, `p99_seconds`, `ttft_p95_seconds`, `mismatch_rate`")]
    margin: Annotated[
        float | None, Field(ge=0, description="How much higher than the baseline's a rate may be: 0.002 is 0.2 points")
    ] = None
    max_ratio: Annotated[
        float | None, Field(ge=1, le=100, description="How many times as slow as the baseline is still as good")
    ] = None
    max: Annotated[float | None, Field(ge=0, description="A hard upper limit; times are in seconds")] = None
    min: Annotated[float | None, Field(ge=0, description="A hard lower limit, of a speed")] = None

    @model_validator(mode="after")
    def _bounded(self) -> GateMetric:
        if self.name not in METRICS:
            raise ValueError(f"there is no metric `{self.name}`; {did_you_mean(self.name, METRICS)}".rstrip("; "))
        bounds = dict(self.bounds())
        if not bounds:
            raise ValueError(f"`{self.name}` has no bound: give `margin`, `max_ratio`, `max` or `min`")
        for kind, value in bounds.items():
            if why := refused(self.name, kind, value):
                raise ValueError(why)
        return self

    def bounds(self) -> Iterator[tuple[str, float]]:
        """The bounds that were given."""
        for kind in KINDS:
            value = getattr(self, kind)
            if value is not None:
                yield kind, value


class GateSpec(Block):
    """A statistical test of the candidate against the version that runs beside it, and hard limits."""

    compare: Annotated[
        Literal["baseline"],
        Field(description="With the stable version, over the same time: never with what was before"),
    ] = "baseline"
    metrics: Annotated[list[GateMetric], Field(min_length=1, max_length=20)]
    alpha: Annotated[
        float, Field(gt=0, le=0.2, description="The chance, over all looks, to blame a version that keeps the bounds")
    ] = 0.01
    min_requests: Annotated[
        int,
        Field(
            ge=1, description="Of each side, before it can pass; the larger, the smaller the harm that a pass excludes"
        ),
    ] = 500
    on_no_data: Annotated[Literal["hold", "fail"], Field(description="When no request comes; it never passes")] = "hold"
    no_data_after: Annotated[
        Duration, Field(ge=1, description="How long no request may come, with `on_no_data: fail`")
    ] = _NO_DATA_SECONDS
    interval: Annotated[Duration, Field(ge=1, description="The time between two looks")] = 10.0

    @model_validator(mode="after")
    def _effective(self) -> GateSpec:
        names = [metric.name for metric in self.metrics]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"`{twice[0]}` is there twice; put all its bounds into one entry")
        if self.no_data_after != _NO_DATA_SECONDS and self.on_no_data == "hold":
            raise ValueError(
                "`no_data_after` has no effect with `on_no_data: hold`, which waits without end; "
                "write `on_no_data: fail`, or leave it out"
            )
        return self

    def compared(self) -> list[str]:
        """The metrics with a bound that needs a baseline which answers requests at the same time."""
        return [
            metric.name
            for metric in self.metrics
            if any(needs_baseline(metric.name, kind) for kind, _ in metric.bounds())
        ]

    def shadowed(self) -> list[str]:
        """The metrics that exist only where requests are mirrored and answers compared."""
        return [metric.name for metric in self.metrics if metric.name == "mismatch_rate"]
