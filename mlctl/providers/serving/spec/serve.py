"""How a model is served: the block `serve`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlctl.provider import Block
from mlctl.providers.serving.spec.engines import Engine, TorchEngine
from mlctl.types.secret import HIDDEN
from mlctl.types.units import Duration


def _address(host: str) -> str:
    """An IP address: what a name stands for may change, and differ from machine to machine. Raises ValueError."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address; write for example `127.0.0.1`, `::1` or `0.0.0.0`") from None
    return host


def _strong(token: str) -> str:
    """Raises ValueError for what could be guessed; the message does not repeat it."""
    if token == HIDDEN:  # a secret that is not set, in a command that only looks
        return token
    if len(token) < SHORTEST_TOKEN or not token.isascii() or any(letter.isspace() for letter in token):
        raise ValueError(f"a token is at least {SHORTEST_TOKEN} characters of ASCII without spaces")
    return token


def _redis(url: str) -> str:
    if url != HIDDEN and not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("the address of a Redis begins with `redis://`, `rediss://` or `unix://`")
    return url


SHORTEST_TOKEN = 16


class BatchingSpec(Block):
    """Rows of concurrent requests go through the model together."""

    max_size: Annotated[int, Field(ge=1, le=4096, description="The most rows that go through the model at once")] = 32
    max_wait: Annotated[
        Duration,
        Field(ge=0, le=1, description="How long a batch may wait for more rows; with `0s` it takes what is queued"),
    ] = 0.0


class ConcurrencySpec(Block):
    """Room in each worker. Who finds none is answered 503 with `Retry-After`."""

    max_running: Annotated[int, Field(ge=1, le=65_536, description="The most requests that are worked on at once")]
    max_waiting: Annotated[int, Field(ge=0, le=65_536, description="The most that may wait for that")] = 0
    retry_after: Annotated[Duration, Field(ge=1, le=3600, description="When the others had better come again")] = 1.0


class CacheSpec(Block):
    """Equal requests to the same version get the same answer for a while. Errors, and answers that are drawn, are never kept."""

    ttl: Annotated[Duration, Field(gt=0, le=30 * 86_400, description="How long an answer is good for")]
    max_entries: Annotated[
        int | None,
        Field(ge=1, le=10_000_000, description="The most answers that each worker keeps; 10,000 if not given"),
    ] = None
    url: Annotated[
        str | None,
        AfterValidator(_redis),
        Field(description="A Redis that keeps the answers for all workers and servers"),
    ] = None

    @model_validator(mode="after")
    def _in_memory(self) -> CacheSpec:
        if self.url is not None and self.max_entries is not None:
            raise ValueError(
                "`max_entries` has no effect with `url`: what Redis keeps is bounded by its own `maxmemory`"
            )
        return self


class AuthSpec(Block):
    """Who may ask: whoever sends `Authorization: Bearer TOKEN`."""

    token: Annotated[str, AfterValidator(_strong), Field(description="A secret, such as `${env.API_TOKEN}`")]


class ServeSpec(Block):
    """How the model is served."""

    pattern: Annotated[Literal["online"], Field(description="One answer for each request")] = "online"
    engine: Annotated[Engine, Field(description="What runs the model; a name alone takes its defaults")] = TorchEngine()
    host: Annotated[
        str,
        AfterValidator(_address),
        Field(description="The address to listen on; beyond this machine only with `auth`"),
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="The port to listen on")]
    workers: Annotated[
        int, Field(ge=1, le=256, description="How many processes serve the model, each with a copy of it")
    ] = 1
    batching: BatchingSpec = BatchingSpec()
    concurrency: ConcurrencySpec | None = None
    cache: CacheSpec | None = None
    auth: AuthSpec | None = None
    max_body: Annotated[
        int, Field(ge=1024, le=1024**3, description="The largest body of a request in bytes; a larger one gets a 413")
    ] = 1024 * 1024
    read_timeout: Annotated[
        Duration, Field(ge=0.1, le=600, description="How long a request may take to arrive; a slower one gets a 408")
    ] = 10.0
    timeout: Annotated[
        Duration, Field(ge=0.01, le=600, description="How long a request may take; a slower one gets a 504")
    ] = 30.0
    on_missing_features: Annotated[
        Literal["fail", "default"],
        Field(description="When the feature store is away (503) or knows nothing of a key (404): that, or `defaults`"),
    ] = "fail"
    defaults: Annotated[
        dict[str, float] | None,
        Field(description="What the features then are; the others are missing values to the model"),
    ] = None

    @model_validator(mode="after")
    def _whole(self) -> ServeSpec:
        if self.auth is None and not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError(
                f"{self.host!r} is not a loopback address, and without `auth: {{token: ...}}` a server answers whoever reaches it: listen on "
                "`127.0.0.1` or `::1`, or set a token"
            )
        if self.defaults is not None and self.on_missing_features == "fail":
            raise ValueError("`defaults` has no effect without `on_missing_features: default`")
        return self
