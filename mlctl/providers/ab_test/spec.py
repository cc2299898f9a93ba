"""The spec of an experiment: who is shown what, what decides, what must not get worse, and how sure one wants to be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mlctl.provider import Block, Reference, Spec
from mlctl.types.units import Duration, Share

CONTROL = "control"


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text.strip()


Text = Annotated[str, AfterValidator(_text)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Effect(Block):
    """The smallest effect worth finding (MDE): in the metric's own unit, or as a share of the baseline. One of the two."""

    absolute: Annotated[float | None, Field(allow_inf_nan=False)] = None
    relative: Annotated[float | None, Field(allow_inf_nan=False)] = None


class Primary(Block):
    """The metric that decides. `std` is the standard deviation of a mean; a proportion has none of its own."""

    metric: Text
    type: Literal["proportion", "mean"]
    baseline: Annotated[float, Field(allow_inf_nan=False)]
    mde: Effect
    std: Positive | None = None


class Guardrail(Block):
    """A metric that must not get worse than control by more than `margin` (its own unit) or `max_ratio` times. One of the two."""

    metric: Text
    max_ratio: Annotated[float | None, Field(gt=1, allow_inf_nan=False)] = None
    margin: Positive | None = None


class Design(Block):
    """How sure and how long: `daily_units` new units a day come by, `max_weeks` is the longest it may run."""

    power: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    min_duration: Duration = 7 * 86400.0
    daily_units: Positive
    max_weeks: Annotated[int | None, Field(ge=1)] = None


class ExperimentSpec(Spec):
    """A randomised experiment on a deployment."""

    deployment: Annotated[str, Reference("deployments")]
    hypothesis: Text
    unit: Text
    arms: Annotated[dict[Text, Positive], Field(min_length=2)]
    coverage: Annotated[Share, Field(gt=0)] = 1.0
    primary: Primary
    guardrails: list[Guardrail] = Field(default_factory=list)
    design: Design
    salt: Text | None = None

    @property
    def weights(self) -> dict[str, float]:
        """The arms in the order of their ranges: control first, then by name, whatever order they are written or stored in."""
        return dict(sorted(self.arms.items(), key=lambda arm: (arm[0] != CONTROL, arm[0])))

    @property
    def difference(self) -> float:
        """The smallest effect worth finding in the metric's own unit."""
        mde = self.primary.mde
        return mde.absolute if mde.absolute is not None else (mde.relative or 0.0) * self.primary.baseline
