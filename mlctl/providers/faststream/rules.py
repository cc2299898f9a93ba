"""What is wrong with streams, before anything is started. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.provider import Context
from mlctl.providers.faststream.spec import StreamSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, MlctlError


def block_problems(spec: StreamSpec, ctx: Context) -> Iterator[Diagnostic]:
    """A block alone: a file of certificates that is not there."""
    if spec.broker.type != "kafka" or spec.broker.tls is None or spec.broker.tls.ca is None:
        return
    path = ("broker", "tls", "ca")
    try:
        found = ctx.path(spec.broker.tls.ca).is_file()
    except MlctlError as error:
        for item in error.diagnostics:
            yield Diagnostic(item.code, item.summary, item.why, item.fix, path=path)
        return
    if not found:
        yield Diagnostic(
            "stream.no-ca",
            f"there is no file `{spec.broker.tls.ca}`",
            "the broker's certificate is checked against it",
            "name a file of certificates in PEM format, below the project folder",
            path=path,
        )


def view_problems(section: str, specs: Mapping[Address, Any]) -> Iterator[tuple[Address, Diagnostic]]:
    """Streams into views that cannot take them, and a view that two streams want."""
    first: dict[Address, Address] = {}
    for address, spec in sorted(specs.items()):
        if address.section != section:
            continue
        target = Address("feature_views", spec.view)
        view = specs.get(target)
        if view is None:  # told already, as an unknown reference
            continue
        other = first.setdefault(target, address)
        if other != address:
            yield (
                address,
                Diagnostic(
                    "stream.view-taken",
                    f"{address} and {other} both bring events to {target}",
                    "a view has one log of events, and one worker that writes it",
                    "send both topics into one, or make a view for each",
                    path=("view",),
                ),
            )
        yield from ((address, problem) for problem in _problems(target, view, specs))


def _problems(target: Address, view: Any, specs: Mapping[Address, Any]) -> Iterator[Diagnostic]:
    if not view.online:
        yield Diagnostic(
            "stream.view-offline",
            f"{target} is not online",
            "a stream keeps fresh what is served online",
            f"set `online: true` on {target}",
            path=("view",),
        )
    if getattr(view, "precomputed", False):
        yield Diagnostic(
            "stream.no-windows",
            f"{target} has no windows",
            "it takes the columns of a computed table, and events are no rows of that",
            "stream into a view with windows, or write the table and use `mlctl features push`",
            path=("view",),
        )
    source = specs.get(Address("datasets", view.source))
    if source is not None and not source.key:
        yield Diagnostic(
            "stream.no-key",
            f"datasets.{view.source}, the source of {target}, has no key",
            "a broker sends some events twice, and only a key tells that",
            f"give `datasets.{view.source}` a `key`: the columns that name an event",
            path=("view",),
        )
