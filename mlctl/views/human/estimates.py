"""Estimates in words: a short line under a change, all of it where somebody asks why, and one line for a whole plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mlctl.types.change import Plan
from mlctl.types.estimate import FORMULA, MONTH_HOURS, Estimate, Range
from mlctl.types.estimate import total as summed
from mlctl.types.spoken import spoken_bytes, spoken_dollars, spoken_seconds
from mlctl.views.human.text import safe

_PARTS = 6
_SMALLEST = 2**20  # bytes of a part that is worth a word


def lines(estimate: Estimate) -> Iterator[str]:
    """One line of figures with their basis, and one for each remark."""
    figures = _figures(estimate)
    if figures:
        yield f"estimate: {', '.join(figures)}{_basis(estimate)}"
    if estimate.limit is not None:
        yield f"  ended after {spoken_seconds(estimate.limit.seconds)} at the latest, by `budget.{safe(estimate.limit.by)}`"
    for note in estimate.notes:
        yield safe(f"estimate: {note}" if not figures else f"  {note}")


def warnings(estimate: Estimate) -> Iterator[str]:
    """What a reader should not miss."""
    return (safe(f"warning: {text}") for text in estimate.warnings)


def explained(estimate: Estimate) -> Iterator[str]:
    """All of it, with what the memory is made of."""
    yield from warnings(estimate)
    yield from lines(estimate)
    parts = [(name, value) for name, value in estimate.parts.items() if value >= _SMALLEST]
    largest = sorted(parts, key=lambda item: -item[1])[:_PARTS]
    if estimate.memory is not None and largest:
        yield "  of that " + ", ".join(f"{safe(name)} {spoken_bytes(value)}" for name, value in largest)


def total(plan: Plan) -> list[str]:
    """Time and money of the whole plan, where more than one step is foreseen: of what is made, and of what is kept after it.
    What is unknown of one is unknown of all."""
    known = [change.estimate for change in plan if change.effective and change.estimate is not None]
    made, kept = summed([item for item in known if not item.lasting]), summed([item for item in known if item.lasting])
    if len(known) < 2:
        return []
    making = [] if made is None else [*_time(made), *_cost(made)]
    keeping = [] if kept is None else _keeping(replace(kept, lasting=True))
    lines = [f"Estimated in all, one after another: {', '.join(making)}."] if making else []
    return [*lines, *(f"What lasts costs {text}." for text in keeping)]


def _figures(estimate: Estimate) -> list[str]:
    found = []
    if estimate.memory is not None:
        where = "" if estimate.capacity is None else f" of {spoken_bytes(estimate.capacity)}"
        found.append(f"memory {_memory(estimate.memory)}{where} on {_devices(estimate)}")
    return [*found, *_time(estimate), *_cost(estimate), *_keeping(estimate)]


def _time(estimate: Estimate) -> list[str]:
    seconds = estimate.seconds
    if seconds is None:
        return []
    return [f"time {spoken_seconds(seconds.mid)}{_spread(spoken_seconds(seconds.low), spoken_seconds(seconds.high))}"]


def _cost(estimate: Estimate) -> list[str]:
    """Of what is made; by the hour where nobody knows for how long."""
    if estimate.usd is not None:
        return [_sum(estimate.usd)]
    return [] if estimate.hourly is None or estimate.lasting else [f"{_sum(estimate.hourly)} an hour"]


def _keeping(estimate: Estimate) -> list[str]:
    """Of what costs until it is removed."""
    if estimate.hourly is None or not estimate.lasting:
        return []
    month = spoken_dollars(estimate.hourly.mid * MONTH_HOURS)
    return [f"{_sum(estimate.hourly)} an hour while it is there, about {month} a month"]


def _sum(usd: Range) -> str:
    return f"{spoken_dollars(usd.mid)}{_spread(spoken_dollars(usd.low), spoken_dollars(usd.high))}"


def _memory(size: Range) -> str:
    return f"{spoken_bytes(size.mid)}{_spread(spoken_bytes(size.low), spoken_bytes(size.high))}"


def _spread(low: str, high: str) -> str:
    """` (1.2 to 3.4 GiB)`: the unit once where both have the same."""
    if low == high:
        return ""
    first, _, unit = low.partition(" ")
    return f" ({first} to {high})" if unit and high.endswith(f" {unit}") else f" ({low} to {high})"


def _devices(estimate: Estimate) -> str:
    name = safe(estimate.device)
    if name == "cpu":
        return "this machine" if estimate.devices == 1 else f"each of {estimate.devices} machines"
    if name == "gpu":
        return "one GPU" if estimate.devices == 1 else f"each of {estimate.devices} GPUs"
    return f"one {name}" if estimate.devices == 1 else f"each of {estimate.devices} {name}"


def _basis(estimate: Estimate) -> str:
    """Where the figures come from, each source once."""
    cost = estimate.hourly if estimate.usd is None else estimate.usd
    found = [item.basis for item in (estimate.memory, estimate.seconds, cost) if item is not None]
    return safe(f"; {', '.join(dict.fromkeys('by formula' if name == FORMULA else name for name in found))}")
