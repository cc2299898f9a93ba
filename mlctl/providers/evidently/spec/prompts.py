"""`prompts`: which templates are in use, and whether what users ask has changed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlctl.provider import Block
from mlctl.providers.evidently.spec.labels import MONTH_SECONDS, WEEK_SECONDS
from mlctl.types.units import MOST, Duration

MARGINS = {"length": 0.1, "topics": 0.55}


class Compared(Block):
    """Requests of the last `window` are held against those of `baseline` before it."""

    window: Annotated[Duration, Field(gt=0)] = WEEK_SECONDS
    baseline: Annotated[Duration, Field(gt=0, description="How much of the time before the window")] = MONTH_SECONDS
    alpha: Annotated[float, Field(gt=0, le=0.2, description="Adjusted for how many figures are tested")] = 0.05
    min_rows: Annotated[int, Field(ge=30, lt=MOST, description="Requests of each side that a verdict needs")] = 100


class Prompts(Compared):
    """Another template is told; another distribution of what is asked is tested: lengths, and what prompts are about."""

    topics: Annotated[
        bool, Field(description="Tell prompts apart by their words, where the log has texts (`observe.capture`)")
    ] = True
    margin: Annotated[
        dict[Literal["length", "topics"], Annotated[float, Field(ge=0, lt=1)]],
        Field(description="Largest gap of the distribution functions of lengths; area under the ROC curve of topics"),
    ] = Field(default_factory=dict)
