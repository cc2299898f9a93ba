"""`data`: which tests compare features and scores with the reference, and when they raise an alarm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlctl.provider import Block
from mlctl.stats.drift import MARGINS, TOGETHER, Method
from mlctl.types.units import MOST, Duration

WEEK_SECONDS = 7 * 86400.0


class DataDrift(Block):
    """Tests of each feature, of the score, and of all features together.

    `margin` is the least effect worth an alarm, `window` how far back rows count. `rows` is a Parquet or CSV file of rows of the
    reference, for the tests of all features together where the profile is not that of a training of the project.
    """

    methods: Annotated[list[Method], Field(min_length=1)]
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    correction: Literal["holm", "bh"] = "holm"
    margin: dict[Method, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    min_rows: Annotated[int, Field(ge=30, lt=MOST)] = 100
    window: Duration = WEEK_SECONDS
    unit: Annotated[
        Literal["key", "row"],
        Field(
            description="What counts as one: all predictions of a key, of which the latest is taken, or each of them"
        ),
    ] = "key"
    rows: Annotated[str | None, Field(min_length=1)] = None

    @property
    def margins(self) -> dict[Method, float]:
        """The margin of each method that is used."""
        return {method: self.margin.get(method, MARGINS[method]) for method in self.methods}

    @property
    def together(self) -> list[Method]:
        """The methods that look at all features together."""
        return [method for method in self.methods if method in TOGETHER]
