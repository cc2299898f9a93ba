"""The metrics of an experiment's spec: what is measured of each unit, and how much worse a guardrail may get."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mlctl.provider import Block
from mlctl.types.jobs.experiment import Aggregate
from mlctl.types.units import Duration


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text.strip()


Text = Annotated[str, AfterValidator(_text)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Effect(Block):
    """The smallest effect worth finding (MDE): in the metric's own unit, or as a share of the baseline. One of the two."""

    absolute: Number | None = None
    relative: Number | None = None


class Denominator(Block):
    """What a ratio divides by, a unit at a time: its column, and, for the sizing, its mean, spread and correlation with the numerator."""

    column: Text
    aggregate: Aggregate = "sum"
    mean: Positive | None = None
    std: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    correlation: Annotated[float, Field(ge=-1, le=1)] | None = None


class Measure(Block):
    """One figure of each unit. `column` is put together over the rows of a unit by `aggregate`, from its first exposure on for `window`."""

    metric: Text
    type: Literal["proportion", "mean", "ratio"]
    column: Text | None = None  # of the outcomes; the metric's name when it is left out
    aggregate: Aggregate | None = None  # any for a proportion, sum for others
    denominator: Denominator | None = None
    window: Duration | None = None
    baseline: Number | None = None
    std: Positive | None = None  # of a mean, or of a ratio's numerator, between units


class Primary(Measure):
    """The metric that decides, with the effect that the experiment is sized for. A negative one means that less is better."""

    baseline: Number
    mde: Effect


class Success(Measure):
    """One more metric that the treatment may win by. All of them share alpha (Holm)."""

    better: Literal["higher", "lower"] = "higher"
    baseline: None = None  # only the primary metric is sized for
    std: None = None


class Guardrail(Block):
    """A metric that must not get worse than control by more than `margin` (its own unit) or `max_ratio` times. One of the two.

    What the prediction log tells, such as `error_rate` or `p95_seconds`, needs no `type`. Others come from the outcomes. With
    a `baseline` (and `std`) the experiment is sized for the guardrail too, and `certify` plays it as it is.
    """

    metric: Text
    max_ratio: Annotated[float | None, Field(gt=1, allow_inf_nan=False)] = None
    margin: Positive | None = None
    better: Literal["higher", "lower"] = "lower"
    type: Literal["proportion", "mean", "ratio"] | None = None
    column: Text | None = None
    aggregate: Aggregate | None = None
    denominator: Denominator | None = None
    window: Duration | None = None
    baseline: Number | None = None
    std: Positive | None = None
