"""How a worker reaches a broker: what a `broker` block says, as the worker programs take it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.provider import Context
from mlctl.providers.faststream.spec import KafkaBroker, RedisBroker
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.stream import EventSource, KafkaSource, RedisSource


def event_source(broker: KafkaBroker | RedisBroker, ctx: Context) -> EventSource:
    """The broker with its secrets in it. Raises MlctlError."""
    if broker.type == "redis":
        return RedisSource(type="redis", url=broker.url)
    sasl, tls = broker.sasl, broker.tls
    return KafkaSource(
        type="kafka",
        servers=broker.servers,
        ssl=tls is not None,
        ca_file=None if tls is None or tls.ca is None else ctx.path(tls.ca).relative_to(ctx.root.resolve()).as_posix(),
        mechanism=None if sasl is None else sasl.mechanism,
        username=None if sasl is None else sasl.username,
        password=None if sasl is None else sasl.password,
    )


def broker_problems(broker: KafkaBroker | RedisBroker, ctx: Context) -> Iterator[Diagnostic]:
    """A file of certificates that is not there."""
    if broker.type != "kafka" or broker.tls is None or broker.tls.ca is None:
        return
    path = ("broker", "tls", "ca")
    try:
        found = ctx.path(broker.tls.ca).is_file()
    except MlctlError as error:
        for item in error.diagnostics:
            yield Diagnostic(item.code, item.summary, item.why, item.fix, path=path)
        return
    if not found:
        yield Diagnostic(
            "stream.no-ca",
            f"there is no file `{broker.tls.ca}`",
            "the broker's certificate is checked against it",
            "name a file of certificates in PEM format, below the project folder",
            path=path,
        )
