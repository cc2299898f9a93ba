"""`proxies`: figures that move with the outcome and are known long before it, such as clicks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlctl.providers.evidently.spec.labels import MONTH_SECONDS, WEEK_SECONDS, Joined, Name
from mlctl.types.units import MOST, Duration

DAY_SECONDS = 86400.0


class Proxy(Joined):
    """One figure, now against before. With `id` or `key` it is one for each prediction, else one for each row of the dataset."""

    metric: Name
    column: Annotated[Name | None, Field(description="What is aggregated; events are counted when left out")] = None
    aggregate: Annotated[
        Literal["any", "count", "sum", "mean"], Field(description="Of the events of a prediction, or of the rows")
    ] = "any"
    direction: Annotated[Literal["higher", "lower"], Field(description="Which way is better")] = "higher"
    margin: Annotated[float, Field(ge=0, description="In the figure's own unit: worse by more than this is an alarm")]
    within: Annotated[
        Duration | None,
        Field(gt=0, description="How long after a prediction an event is still about it; a day when left out"),
    ] = None
    unit: Annotated[Name | None, Field(description="Rows of one unit are not independent: they count as one")] = None
    window: Annotated[Duration, Field(gt=0)] = WEEK_SECONDS
    baseline: Annotated[
        Duration, Field(gt=0, description="How much of the time before the window it is held against")
    ] = MONTH_SECONDS
    alpha: Annotated[float, Field(gt=0, le=0.2, description="Adjusted for how many proxies there are")] = 0.05
    min_units: Annotated[int, Field(ge=30, lt=MOST)] = 100

    @property
    def joined(self) -> bool:
        """Whether its rows are events of predictions."""
        return self.id is not None or bool(self.key)

    @model_validator(mode="after")
    def _sound(self) -> Proxy:
        if self.column is None and self.aggregate in ("sum", "mean"):
            raise ValueError(f"`aggregate: {self.aggregate}` needs a `column`")
        if self.joined and self.unit is not None:
            raise ValueError(
                "`unit` has no effect beside `id` or `key`: predictions of one key, or of one unit of the log, count as one"
            )
        if not self.joined and self.within is not None:
            raise ValueError("`within` has no effect without `id` or `key`: it is about the time after a prediction")
        if not self.joined and self.column is None:
            raise ValueError("without `id` or `key` each row is an observation: give the `column` that holds it")
        if not self.joined and self.aggregate not in ("mean", "any"):
            raise ValueError(
                "without `id` or `key` the figure is the mean of a column: `aggregate: mean`, or `any` of a yes or no"
            )
        return self
