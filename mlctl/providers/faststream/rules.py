"""What is wrong with streams, before anything is started. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic


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
