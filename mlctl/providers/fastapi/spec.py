"""What a `deployments` block may say."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mlctl.provider import Block, Provided, Spec
from mlctl.types.units import Duration


def _loopback(host: str) -> str:
    """Only this machine: the server has no authentication, so a wider address would open the model to whoever reaches it."""
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ValueError(
        f"{host!r} is not a loopback address; the server has no authentication, so it listens on `127.0.0.1` or `::1` only; "
        "put a gateway in front of it to serve others"
    )


def _registered(model: str) -> str:
    name, mark, alias = model.partition("@")
    if not (name and mark and alias):
        raise ValueError(
            f"{model!r} does not name a registered model; write `name@alias` as in the `register` block of an evaluation, "
            "for example `churn@champion`"
        )
    return model


class BatchingSpec(Block):
    """Rows of concurrent requests go through the model together."""

    max_size: Annotated[int, Field(ge=1, le=4096, description="The most rows that go through the model at once")] = 32
    max_wait: Annotated[
        Duration,
        Field(ge=0, le=1, description="How long a batch may wait for more rows; with `0s` it takes what is queued"),
    ] = 0.0


class ServeSpec(Block):
    """How the model is served."""

    pattern: Annotated[Literal["online"], Field(description="One answer for each request")] = "online"
    engine: Annotated[Literal["torch"], Field(description="What runs the model")] = "torch"
    host: Annotated[str, AfterValidator(_loopback), Field(description="A loopback address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="The port to listen on")]
    batching: BatchingSpec = BatchingSpec()
    timeout: Annotated[
        Duration, Field(ge=0.01, le=600, description="How long a request may take; a slower one gets a 504")
    ] = 30.0


class LogSpec(Block):
    """What is kept of each prediction."""

    predictions: Annotated[bool, Field(description="Log each request with its score, or with why it got none")] = True
    features: Annotated[bool, Field(description="Log the features that a prediction was made from")] = True


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
        AfterValidator(_registered),
        Field(description="`name@alias` that an evaluation registers"),
    ]
    serve: ServeSpec
    log: LogSpec = LogSpec()
    require: Annotated[
        RequireSpec | None,
        Field(description="A gate in front of each release; what runs goes on when it does not pass"),
    ] = None
