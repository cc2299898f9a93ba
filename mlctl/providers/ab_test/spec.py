"""The spec of an experiment: who is shown what, what decides, what must not get worse, and how sure one wants to be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlctl.provider import Block, Reference, Spec
from mlctl.providers.ab_test.metrics import Guardrail, Positive, Primary, Success, Text
from mlctl.types.units import MOST, Duration, Share

CONTROL = "control"
DEFAULT_LOOKS = 5
SEQUENTIAL = ("obrien_fleming", "pocock")  # designs with bounds for a planned end


class Exposures(Block):
    """A dataset with a row for each exposure. Without it exposures are read from the prediction log of the deployment."""

    dataset: Annotated[str, Reference("datasets")]
    unit: Text | None = None  # the column; the experiment's `unit` when it is left out
    arm: Text = "arm"
    timestamp: Text


class Outcomes(Block):
    """A dataset with a row for each thing that a unit did. `window` holds for every metric that has none of its own."""

    dataset: Annotated[str, Reference("datasets")]
    unit: Text | None = None
    timestamp: Text
    window: Duration | None = None


class Cuped(Block):
    """What units would have done anyway, taken out of the success metrics: a column of the exposures, or the same metric over `before`.

    `r2` is the share of the variance that goes with it; the sizing counts on it.
    """

    column: Text | None = None
    before: Duration | None = None
    r2: Annotated[float | None, Field(gt=0, lt=1)] = None


class Namespace(Block):
    """A slice of all units that experiments divide among them, so that no unit is in two. Hashed as GrowthBook's namespaces are."""

    name: Text
    range: Annotated[list[Share], Field(min_length=2, max_length=2)]


class Design(Block):
    """How sure, how often one looks, and how long: `daily_units` new units a day come by, `max_weeks` is the longest it may run."""

    power: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    tails: Literal[1, 2] = 2
    sequential: Literal["obrien_fleming", "pocock", "always_valid", "fixed"] = "obrien_fleming"
    looks: Annotated[int | None, Field(ge=1, lt=MOST)] = None
    every: Duration | None = None
    min_duration: Duration = 7 * 86400.0
    daily_units: Positive | None = None
    max_weeks: Annotated[int | None, Field(ge=1, lt=MOST)] = None


class ExperimentSpec(Spec):
    """A randomised experiment on a deployment."""

    deployment: Annotated[str, Reference("deployments")]
    hypothesis: Text
    unit: Text
    arms: Annotated[dict[Text, Positive], Field(min_length=2)]
    coverage: Annotated[Share, Field(gt=0)] = 1.0
    primary: Primary
    success_metrics: list[Success] = Field(default_factory=list)
    guardrails: list[Guardrail] = Field(default_factory=list)
    exposures: Exposures | None = None
    outcomes: Outcomes | None = None
    cuped: Cuped | None = None
    subgroups: list[Text] = Field(default_factory=list)
    design: Design = Field(default_factory=Design)
    namespace: Namespace | None = None
    holdout: Annotated[Share | None, Field(gt=0, lt=1)] = None
    salt: Text | None = None

    @property
    def weights(self) -> dict[str, float]:
        """The arms in the order of their ranges: control first, then by name, whatever order they are written or stored in."""
        return dict(sorted(self.arms.items(), key=lambda arm: (arm[0] != CONTROL, arm[0])))

    @property
    def difference(self) -> float:
        """The smallest effect worth finding in the metric's own unit."""
        mde = self.primary.mde
        if mde.absolute is not None:
            return mde.absolute
        return (mde.relative or 0.0) * abs(self.primary.baseline)

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which way the primary metric should go."""
        return "lower" if self.difference < 0 else "higher"

    @property
    def success(self) -> list[Primary | Success]:
        """The metrics that share alpha, the primary one first."""
        return [self.primary, *self.success_metrics]
