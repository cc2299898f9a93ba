"""What a `deployments` block may say."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, Field

from mlctl.provider import Block, Provided, Spec
from mlctl.providers.serving.spec.gates import GateSpec
from mlctl.providers.serving.spec.model import registered
from mlctl.providers.serving.spec.observe import ObserveSpec
from mlctl.providers.serving.spec.rollout import Rollout
from mlctl.providers.serving.spec.serve import ServeSpec
from mlctl.providers.serving.spec.target import Machine, Target
from mlctl.types.units import Duration


class LogSpec(Block):
    """What is kept of each prediction."""

    predictions: Annotated[bool, Field(description="Log each request with its score, or with why it got none")] = True
    features: Annotated[bool, Field(description="Log the features that a prediction was made from")] = True
    keep: Annotated[
        Annotated[Duration, Field(ge=86_400, le=36_500 * 86_400)] | None,
        Field(
            description="For how long, in whole days: `90d`; no shorter than monitors and experiments look back. For ever if not given"
        ),
    ] = None

    @property
    def days(self) -> int | None:
        """For how many whole days it is kept; None for ever."""
        return None if self.keep is None else math.ceil(self.keep / 86_400)


class ParityRule(Block):
    """What the online store serves equals what training read, up to a tolerance."""

    tolerance: Annotated[float, Field(ge=0, le=1, description="The largest relative difference that passes")] = 1e-5
    sample: Annotated[
        int | None, Field(ge=1, description="How many keys of each view are compared; `null` for all of them")
    ] = 10_000


class RequireSpec(Block):
    """What has to hold before a release is started or replaced."""

    feature_parity: ParityRule


class DeploymentSpec(Spec):
    """A model that answers requests."""

    model: Annotated[
        str,
        Provided("model"),
        AfterValidator(registered),
        Field(description="`name@alias` that an evaluation registers"),
    ]
    serve: ServeSpec
    target: Annotated[Target, Field(description="Where it runs; on this machine if not given")] = Machine()
    log: LogSpec = LogSpec()
    observe: Annotated[ObserveSpec, Field(description="Traces, what is kept of texts, explanations, logs")] = (
        ObserveSpec()
    )
    require: Annotated[
        RequireSpec | None,
        Field(description="A gate in front of each release; what runs goes on when it does not pass"),
    ] = None
    rollout: Annotated[
        Rollout | None, Field(description="How a new version takes over; without it, it replaces the old one at once")
    ] = None
    gates: Annotated[
        dict[str, GateSpec], Field(default_factory=dict, description="What steps of the rollout wait for, by name")
    ]
