"""How a model is served: the block `serve`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mlctl.provider import Block
from mlctl.providers.serving.spec.engines import Engine, TorchEngine
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
    engine: Annotated[Engine, Field(description="What runs the model; a name alone takes its defaults")] = TorchEngine()
    host: Annotated[str, AfterValidator(_loopback), Field(description="A loopback address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="The port to listen on")]
    batching: BatchingSpec = BatchingSpec()
    timeout: Annotated[
        Duration, Field(ge=0.01, le=600, description="How long a request may take; a slower one gets a 504")
    ] = 30.0
