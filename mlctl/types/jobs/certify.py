"""The `certify` program: an experiment's design, and how the streams that are pushed through it are drawn."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlctl.types.value import Json


class _Params(BaseModel):
    """Base of all models here: typed, closed, and the same in the provider and in the worker."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class PlayedMetric(_Params):
    """One metric as it is drawn: of each unit, with `std` between units, and what the treatment does to it in an A/B stream."""

    name: str
    kind: Literal["proportion", "mean", "ratio"]
    baseline: float
    std: float
    effect: float = 0.0
    better: Literal["higher", "lower"]
    denominator: tuple[float, float, float] | None = None  # mean, standard deviation, correlation with the numerator
    r2: float | None = None  # that a covariate explains
    margin: float | None = None  # of a guardrail, absolute
    max_ratio: float | None = None  # or so many times as bad
    assumed: bool = False  # nothing is known of it: it is drawn with just the power that it was sized for

    @property
    def guardrail(self) -> bool:
        """Whether it has to be within a margin, and not better."""
        return self.margin is not None or self.max_ratio is not None


class CertifyJob(_Params):
    """One certification, whole. `looks` are units of all arms together by each look; `early` of them are before the least duration."""

    experiment: str
    rules: dict[str, Json]
    metrics: list[PlayedMetric]
    looks: list[int]
    early: int
    runs: int
    seed: int
