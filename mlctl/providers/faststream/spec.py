"""What a `streams` block may say."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from mlctl.provider import Block, Reference, Spec
from mlctl.types.secret import HIDDEN
from mlctl.types.units import Duration


def _server(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536) or "/" in text:
        raise ValueError(f"{text!r} is not the address of a broker; write `host:port`, for example `127.0.0.1:9092`")
    return text


def _listed(value: object) -> object:
    """`a:9092,b:9092` is short for a list."""
    return [item.strip() for item in value.split(",")] if isinstance(value, str) else value


def _redis_url(text: str) -> str:
    if text == HIDDEN:  # a secret that is not set, in a command that only looks
        return text
    parts = urlsplit(text)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("it is not a Redis URL; write for example `redis://127.0.0.1:6379/0`, or `rediss://` for TLS")
    return text


class Sasl(Block):
    """How the worker says who it is. Passwords come from sensitive variables or the environment."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: Annotated[str, Field(min_length=1)]
    password: Annotated[str, Field(min_length=1, description="For example `${env.KAFKA_PASSWORD}`")]


class Tls(Block):
    """An encrypted connection."""

    ca: Annotated[
        str | None, Field(description="A file of certificates (PEM) to trust; without it those of the system")
    ] = None


class KafkaBroker(Block):
    """Kafka, or anything that speaks its protocol."""

    type: Literal["kafka"]
    servers: Annotated[
        list[Annotated[str, AfterValidator(_server)]],
        BeforeValidator(_listed),
        Field(min_length=1, description="`host:port` of some brokers, as a list or with commas"),
    ]
    tls: Tls | None = None
    sasl: Sasl | None = None


class RedisBroker(Block):
    """A Redis server, with its streams."""

    type: Literal["redis"]
    url: Annotated[
        str, AfterValidator(_redis_url), Field(description="`redis://[user:password@]host:port/db`, or `rediss://`")
    ]


Broker = Annotated[KafkaBroker | RedisBroker, Field(discriminator="type")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=249)]


class StreamSpec(Spec):
    """Events of a feature view as they happen: kept for good, and in its windows within seconds."""

    view: Annotated[str, Reference("feature_views"), Field(description="The view whose windows the events count in")]
    broker: Broker
    topic: Annotated[Name, Field(description="The Kafka topic, or the Redis stream")]
    group: Annotated[
        Name | None,
        Field(description="The consumer group; without it one that is named by project, environment and stream"),
    ] = None
    format: Annotated[
        Literal["json"], Field(description="How an event is written: a JSON object with the source's columns")
    ] = "json"
    lateness: Annotated[
        Duration, Field(ge=0, le=86_400, description="How long after the end of a step its events may still come")
    ] = 10.0

    @model_validator(mode="after")
    def _plain_topic(self) -> StreamSpec:
        if self.broker.type == "kafka" and not all(mark.isalnum() or mark in "._-" for mark in self.topic):
            raise ValueError(f"{self.topic!r} is not a Kafka topic; its name has letters, digits, `.`, `_` and `-`")
        return self
