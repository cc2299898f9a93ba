"""`on_alarm`: what is done when a monitor alarms. Nothing of it can make a run fail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from mlctl.provider import Block
from mlctl.types.address import Address
from mlctl.types.secret import HIDDEN
from mlctl.types.units import Duration

TRAINING = "training"


def web(url: str) -> str:
    """Raises ValueError for what is no address of a web server."""
    if url == HIDDEN:  # a secret that is not set, in a command that only looks
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is not an address that begins with http:// or https://")
    return url


def _training(text: str) -> str:
    """Raises ValueError for anything but the address of a training."""
    if Address.parse(text).section != TRAINING:
        raise ValueError(f"`{text}` is no training: write `training.NAME`")
    return text


class Webhook(Block):
    """Somebody who is told by an HTTP POST with a JSON body. Each alarm has an `id`: one that comes twice is the same."""

    url: Annotated[str, AfterValidator(web), Field(description="A secret, such as `${env.ALERT_WEBHOOK}`")]
    headers: Annotated[dict[str, str], Field(max_length=20)] = Field(default_factory=dict)
    timeout: Annotated[Duration, Field(gt=0, le=60, description="Of one try")] = 5.0
    retries: Annotated[int, Field(ge=0, le=5, description="More tries, each after twice as long as the one before")] = 2


class OnAlarm(Block):
    """What follows an alarm, and which alarms are worth it."""

    report: Annotated[
        bool, Field(description="Draw the trend over the runs that are kept, as `monitor report` does")
    ] = False
    webhook: Webhook | None = None
    file: Annotated[
        str | None, Field(min_length=1, description="A file of JSON lines in the project; each alarm is one more line")
    ] = None
    retrain: Annotated[
        str | None, AfterValidator(_training), Field(description="What `mlctl retrain --on-alarm` then trains")
    ] = None
    min_impact: Annotated[
        dict[str, Annotated[float, Field(gt=0)]],
        Field(description="By metric: an alarm that surely costs less goes to the digest, and nobody is told"),
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _does_something(self) -> OnAlarm:
        if not (self.report or self.webhook or self.file or self.retrain or self.min_impact):
            raise ValueError("nothing follows: give `report: true`, `webhook`, `file`, `retrain` or `min_impact`")
        return self

    def trainings(self) -> Iterable[Address]:
        """What it names."""
        if self.retrain is not None:
            yield Address.parse(self.retrain)
