"""Estimates in words: a short line under a change, all of it where somebody asks why, and one line for a whole plan."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.types.change import Plan
from mlctl.types.estimate import FORMULA, Estimate, Range
from mlctl.types.estimate import total as summed
from mlctl.types.units import spoken_bytes, spoken_seconds
from mlctl.views.human.text import safe

_PARTS = 6
_SMALLEST = 2**20  # bytes of a part that is worth a word


def lines(estimate: Estimate) -> Iterator[str]:
    """One line of figures with their basis, and one for each remark."""
    figures = _figures(estimate)
    if figures:
        yield f"estimate: {', '.join(figures)}{_basis(estimate)}"
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
    """Time and money of the whole plan, where more than one step is foreseen; what is unknown of one is unknown of all."""
    known = [change.estimate for change in plan if change.effective and change.estimate is not None]
    if len(known) < 2 or (found := summed(known)) is None:
        return []
    figures = _figures(found)
    return [f"Estimated in all, one after another: {', '.join(figures)}."] if figures else []


def _figures(estimate: Estimate) -> list[str]:
    found = []
    if estimate.memory is not None:
        where = "" if estimate.capacity is None else f" of {spoken_bytes(estimate.capacity)}"
        found.append(f"memory {_memory(estimate.memory)}{where} on {_devices(estimate)}")
    if estimate.seconds is not None:
        spread = _spread(spoken_seconds(estimate.seconds.low), spoken_seconds(estimate.seconds.high))
        found.append(f"time {spoken_seconds(estimate.seconds.mid)}{spread}")
    if estimate.usd is not None:
        found.append(f"{_dollars(estimate.usd.mid)}{_spread(_dollars(estimate.usd.low), _dollars(estimate.usd.high))}")
    return found


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
    return f"one {name}" if estimate.devices == 1 else f"each of {estimate.devices} {name}"


def _basis(estimate: Estimate) -> str:
    """Where the figures come from, each source once."""
    found = [item.basis for item in (estimate.memory, estimate.seconds, estimate.usd) if item is not None]
    return safe(f"; {', '.join(dict.fromkeys('by formula' if name == FORMULA else name for name in found))}")


def _dollars(value: float) -> str:
    return f"${value:,.0f}" if value >= 100 else f"${value:.2f}"
