"""`estimated`: how well the model does now, as far as its scores tell without any label."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlctl.provider import Block
from mlctl.types.units import MOST, Duration

WEEK_SECONDS = 7 * 86400.0


class Estimated(Block):
    """One metric from calibrated scores. `margin` is how much worse than held out is worth an alarm."""

    metric: Literal["error_rate", "log_loss", "roc_auc"]
    margin: Annotated[float, Field(gt=0)]
    alpha: Annotated[
        float, Field(ge=0.01, le=0.2, description="Of each end of the interval, which is bootstrapped")
    ] = 0.05
    window: Annotated[Duration, Field(gt=0)] = WEEK_SECONDS
    min_rows: Annotated[int, Field(ge=100, lt=MOST)] = 300
