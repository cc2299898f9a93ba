"""How a new version takes over: the block `rollout`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlctl.provider import Block, Provided
from mlctl.providers.serving.spec.model import registered
from mlctl.types.jobs.rollout import CANDIDATE, STABLE
from mlctl.types.units import MOST, Duration


def _hundredths(percent: float) -> float:
    """Traffic is split into ten thousand parts. Raises ValueError for a part of one."""
    if abs(percent * 100 - round(percent * 100)) > 1e-6:
        raise ValueError(f"{percent:g} % cannot be had: traffic is split in steps of 0.01 %")
    return percent


Percent = Annotated[float, Field(ge=0, le=100), AfterValidator(_hundredths)]
Harmless = Annotated[
    Literal["none"] | None,
    Field(description="Says that a request sent twice does no harm; whoever is sent copies needs that said"),
]
_HEADER = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
_ARM = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_TAKEN = (STABLE, CANDIDATE, "previous")  # variants of the other strategies, which come before and after


def _arm_name(name: str) -> str:
    """It stands in headers, logs and metrics. Raises ValueError."""
    if not _ARM.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an arm: write small letters, digits, `-` and `_`, 63 at most")
    if name in _TAKEN:
        raise ValueError(
            f"an arm cannot be called {name!r}: that is what versions are called that take over from each other"
        )
    return name


ModelName = Annotated[str, Provided("model"), AfterValidator(registered)]


Pause = Annotated[
    Annotated[Duration, Field(gt=0)] | Literal["confirm"] | None,
    Field(description="A time, or `confirm`: until `mlctl rollout promote`"),
]


class CanaryStep(Block):
    """A share of the requests, or of copies of them, and what the step waits for: all that it names, and a gate for ever."""

    weight: Annotated[
        Percent | None,
        Field(description="Percent of the requests that the new version answers; as in the step before if not given"),
    ] = None
    mirror: Annotated[
        Percent | None,
        Field(description="Percent of the requests it is sent a copy of, until a later step gives it a weight"),
    ] = None
    pause: Pause = None
    gate: Annotated[str | None, Field(description="A gate of this deployment")] = None

    @model_validator(mode="after")
    def _says_something(self) -> CanaryStep:
        if not self.model_fields_set:
            raise ValueError("the step is empty: give it a `weight`, a `mirror`, a `pause` or a `gate`")
        return self


class Canary(Block):
    """More and more requests, step by step."""

    steps: Annotated[list[CanaryStep], Field(min_length=1, max_length=50)]
    side_effects: Harmless = None


class BlueGreen(Block):
    """The new version is tried in a preview, then takes all requests at once; the old one stays warm."""

    pre: Annotated[str | None, Field(description="A gate over copies of the requests, before the switch")] = None
    preview: Pause = None
    post: Annotated[str | None, Field(description="A gate after the switch; when it fails, traffic goes back")] = None
    side_effects: Harmless = None


class Shadow(Block):
    """The new version is sent copies; its answers reach nobody."""

    mirror: Annotated[Percent, Field(gt=0, description="Percent of the requests it is sent a copy of")] = 100.0
    length: Annotated[Duration | None, Field(alias="for", gt=0, description="How long, at least")] = None
    gate: str | None = None
    then: Annotated[Literal["promote", "stop"], Field(description="What follows when it ends well")] = "stop"
    side_effects: Annotated[
        Literal["none"], Field(description="Says that a request sent twice does no harm; a shadow needs that said")
    ]


class ArmSpec(Block):
    """A model that takes part."""

    model: ModelName
    weight: Annotated[float, Field(gt=0, le=1e6, description="Its share, relative to those of the others")] = 1.0


ArmName = Annotated[str, AfterValidator(_arm_name)]


class AB(Block):
    """Units are split among arms by a salted hash; `experiments` judge them."""

    arms: Annotated[
        dict[ArmName, ArmSpec],
        Field(min_length=2, max_length=8, description="In the order of their ranges; the first is the control"),
    ]


class BanditSpec(Block):
    """Shares follow rewards (Thompson sampling in batches)."""

    arms: Annotated[
        dict[ArmName, ArmSpec],
        Field(min_length=2, max_length=16, description="Their weights hold until there are rewards enough"),
    ]
    reward: Annotated[
        Literal["binary", "mean"], Field(description="0 or 1 for each request, or any number whose mean counts")
    ] = "binary"
    floor: Annotated[float, Field(ge=0, lt=0.5, description="The least share of an arm")] = 0.05
    update: Annotated[Duration, Field(ge=1, description="How often shares follow the rewards")] = 60.0
    min_rewards: Annotated[int, Field(ge=1, lt=MOST, description="Of each arm, before shares follow them")] = 40
    window: Annotated[Duration, Field(ge=1, description="How long after its request a reward still counts")] = 86_400.0
    rewards_port: Annotated[int, Field(ge=1, le=65535, description="Where rewards are sent to")]
    seed: Annotated[int, Field(ge=0, lt=2**63, description="Of the draws: the same rewards give the same shares")] = 0


class Rollout(Block):
    """Exactly one strategy, and what they share."""

    all_at_once: Literal[True] | None = None
    canary: Canary | None = None
    blue_green: BlueGreen | None = None
    shadow: Shadow | None = None
    ab: AB | None = None
    bandit: BanditSpec | None = None
    unit: Annotated[
        str | None,
        Field(
            pattern=_HEADER,
            description="The request header by which a unit stays at one version; without it each request is drawn anew",
        ),
    ] = None
    salt: Annotated[str | None, Field(min_length=1, description="Of the hash; the deployment's name if not given")] = (
        None
    )
    keep_old: Annotated[Duration, Field(ge=0, description="How long the old version stays warm")] = 1800.0
    gateway: Annotated[
        Literal["envoy", "python"], Field(description="`python` is for machines that Envoy cannot be had on")
    ] = "envoy"

    @model_validator(mode="after")
    def _one(self) -> Rollout:
        chosen = [name for name in STRATEGIES if getattr(self, name) is not None]
        if len(chosen) != 1:
            found = ", ".join(f"`{name}`" for name in chosen) or "none"
            raise ValueError(f"a rollout has one strategy, this one has {found}: choose among {', '.join(STRATEGIES)}")
        return self

    @property
    def strategy(self) -> str:
        """The name of the one that was chosen."""
        return next(name for name in STRATEGIES if getattr(self, name) is not None)


STRATEGIES = ("all_at_once", "canary", "blue_green", "shadow", "ab", "bandit")
