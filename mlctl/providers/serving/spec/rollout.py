"""How a new version takes over: the block `rollout`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlctl.provider import Block, Provided
from mlctl.providers.serving.spec.model import registered
from mlctl.types.units import Duration

Percent = Annotated[float, Field(ge=0, le=100)]
ModelName = Annotated[str, Provided("model"), AfterValidator(registered)]


class CanaryStep(Block):
    """A share of the requests, and what the step waits for. `pause: confirm` waits for `mlctl rollout promote`."""

    weight: Annotated[Percent | None, Field(description="Percent of the requests that the new version answers")] = None
    mirror: Annotated[Percent | None, Field(description="Percent of the requests it is sent a copy of")] = None
    pause: Annotated[Duration | Literal["confirm"] | None, Field(description="A time, or `confirm`")] = None
    gate: Annotated[str | None, Field(description="A gate of this deployment")] = None


class Canary(Block):
    """More and more requests, step by step."""

    steps: Annotated[list[CanaryStep], Field(min_length=1)]


class BlueGreen(Block):
    """The new version is tried in a preview, then takes all requests at once; the old one stays warm."""

    pre: Annotated[str | None, Field(description="A gate over copies of the requests, before the switch")] = None
    preview: Annotated[Duration | Literal["confirm"] | None, Field(description="How long the preview lasts")] = None
    post: Annotated[str | None, Field(description="A gate after the switch; when it fails, traffic goes back")] = None


class Shadow(Block):
    """The new version is sent copies; its answers reach nobody."""

    mirror: Annotated[Percent, Field(gt=0)] = 100.0
    length: Annotated[Duration | None, Field(alias="for", description="How long, at least")] = None
    gate: str | None = None
    then: Annotated[Literal["promote", "stop"], Field(description="What follows when it ends well")] = "stop"
    side_effects: Annotated[
        Literal["none"], Field(description="Says that a request sent twice does no harm; a shadow needs that said")
    ]


class ArmSpec(Block):
    """A model that takes part."""

    model: ModelName
    weight: Annotated[float, Field(gt=0)] = 1.0


class AB(Block):
    """Units are split among arms by a salted hash; `experiments` judge them."""

    arms: Annotated[dict[str, ArmSpec], Field(min_length=2, max_length=8)]


class BanditSpec(Block):
    """Shares follow rewards (Thompson sampling in batches)."""

    arms: Annotated[dict[str, ArmSpec], Field(min_length=2, max_length=16)]
    reward: Literal["binary", "mean"] = "binary"
    floor: Annotated[float, Field(ge=0, lt=0.5, description="The least share of an arm")] = 0.05
    update: Annotated[Duration, Field(ge=1)] = 60.0
    min_rewards: Annotated[int, Field(ge=1)] = 40
    window: Duration = 86_400.0
    rewards_port: Annotated[int, Field(ge=1, le=65535, description="Where rewards are sent to")]
    seed: int = 0


class Rollout(Block):
    """Exactly one strategy, and what they share."""

    all_at_once: Literal[True] | None = None
    canary: Canary | None = None
    blue_green: BlueGreen | None = None
    shadow: Shadow | None = None
    ab: AB | None = None
    bandit: BanditSpec | None = None
    unit: Annotated[str | None, Field(description="The request header by which a unit stays at one version")] = None
    salt: Annotated[str | None, Field(description="Of the hash; the deployment's name if not given")] = None
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


STRATEGIES = ("all_at_once", "canary", "blue_green", "shadow", "ab", "bandit")
