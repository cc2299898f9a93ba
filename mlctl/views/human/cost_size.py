"""The right size of each resource in words: what to take, what else would do, and what it is that the others fail by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlctl.estimate.sizing import Constraint, Judged, Sizing
from mlctl.types.spoken import spoken_bytes, spoken_dollars
from mlctl.views.human.cost_words import UNKNOWN, devices, money, share, size, span
from mlctl.views.human.style import Paint
from mlctl.views.human.text import safe

_RUNNERS_UP = 3
_NEAREST = 8

Shown = tuple[str, Any, Sizing, tuple[list[str], str]]  # address, workload, choice, and the change or why there is none


def render(found: Sequence[Shown], *, every: bool, color: bool) -> str:
    """A paragraph for each resource."""
    paint = Paint(color)
    return "\n".join("".join(f"{line}\n" for line in _one(*item, every=every, paint=paint)) for item in found)


def _one(
    address: str, workload: Any, found: Sizing, patch: tuple[list[str], str], *, every: bool, paint: Paint
) -> Iterator[str]:
    yield paint(safe(address), "bold")
    yield f"  today   {_today(workload, found)}"
    if found.wish.usual is not None:
        asked = f"{found.wish.usual:,} requests of {found.wish.usual_tokens:,} tokens at once"
        yield f"  assumed {asked}, as `max_running` has it; `--concurrency N` asks for N of the greatest length"
    if found.today.lost is not None:
        yield paint(f"          {safe(found.today.why)}", "yellow")
    if found.today.oversized:
        yield paint(f"          too large: {safe(found.today.oversized)}", "yellow")
    if found.chosen is None:
        yield paint("  choose  none of the devices below will do", "red")
        if not found.lasting and any(item.lost is Constraint.UNKNOWN for item in found.others):
            yield "          how long it takes is known once there is data: `--rows DATASET=N` says how much there will be"
        yield f"          what else would help: mlctl cost advise {safe(address)}"
    else:
        yield paint(f"  choose  {_option(found.chosen, found)}", "green")
        yield from (f"          {line}" for line in _remarks(found.chosen, found))
    if found.chosen is not None:
        yield from _patch(*patch)
    yield from _others(found, every=every)


def _today(workload: Any, found: Sizing) -> str:
    today = found.today
    where = devices(today.outlook.device) + (f" ({workload.tier})" if workload.tier else "")
    if found.by_hour:
        cost = "cost of an hour unknown" if today.option is None else f"{money(today.option.hourly)} an hour"
        return f"{where}: {cost}{_figures(today.outlook.figures)}"
    cost = "cost unknown" if today.usd is None else money(today.usd)
    taken = span(today.elapsed) if today.elapsed is not None else f"time {UNKNOWN}"
    return f"{where}: {taken}, {cost}"


def _option(item: Judged, found: Sizing) -> str:
    option = item.option
    where = f"{devices(option.device)} ({option.tier}, {safe(option.provider)})"
    if found.by_hour:
        return f"{where}: {money(option.hourly)} an hour{_figures(item.outlook.figures)}"
    return f"{where}: {span(item.elapsed)}, {money(item.usd)}"


def _figures(figures: Any) -> str:
    found = []
    if (tpot := figures.get("tpot_seconds")) is not None:
        found.append(f"{tpot.mid * 1000:.3g} ms a token")
    if (room := figures.get("concurrency")) is not None:
        found.append(f"room for {room.mid:,.0f} at once")
    return f", {', '.join(found)}" if found else ""


def _remarks(item: Judged, found: Sizing) -> Iterator[str]:
    memory, device = item.outlook.memory, item.option.device
    if memory is not None:
        yield f"takes {size(memory)} of {spoken_bytes(device.memory)} on each ({share(memory.mid / device.memory)})"
    if item.option.tier == "spot":
        yield f"{share(item.useful)} of the paid time is useful: devices are taken away"
    if item.option.paid > device.count:
        yield f"{item.option.paid} are rented for {device.count}"
    yield _saved(found)
    if found.by_hour and not found.lasting:
        why = f" ({safe(item.outlook.why)})" if item.outlook.why else ""
        yield f"ranked by what an hour costs: how long it takes, and with that what all of it costs, is not known{why}"


def _saved(found: Sizing) -> str:
    """What the choice saves of today, or why that is not known."""
    today, saves = found.today, found.saves
    if found.chosen is not None and found.there:
        return "that is where it is"
    if saves is None:
        return "what today's devices cost is not known" + ("; they would do" if today.lost is None else "")
    if found.by_hour and not found.lasting:
        return f"an hour of work costs {spoken_dollars(abs(saves))} {'less' if saves > 0 else 'more'} than today"
    of = " an hour" if found.by_hour else ""
    return (
        f"saves {spoken_dollars(saves)}{of} likely"
        if saves > 0
        else f"costs {spoken_dollars(abs(saves))}{of} more than today"
    )


def _patch(changes: Sequence[str], why: str) -> Iterator[str]:
    if changes:
        yield "  write   " + safe(changes[0])
        yield from (f"          {safe(change)}" for change in changes[1:])
        if why:
            yield f"          ({safe(why)})"
    else:
        yield f"  write   nothing: {safe(why)}"


def _others(found: Sizing, *, every: bool) -> Iterator[str]:
    """What else would do, and what will not; without `--all` the nearest of them alone."""
    passing = [item for item in found.others if item.passes]
    failing = [item for item in found.others if not item.passes]
    if passing:
        yield "  would do too:"
        shown = passing if every else passing[:_RUNNERS_UP]
        yield from (f"    {_name(item)}: {safe(item.why)}" for item in shown)
        if len(shown) < len(passing):
            yield f"    and {len(passing) - len(shown)} more (`--all` shows them)"
    if failing:
        yield "  will not do:"
        shown = failing if every else _nearest(failing)[:_NEAREST]
        yield from (f"    {line}" for line in _reasons(shown))
        if len(shown) < len(failing):
            yield f"    and {len(failing) - len(shown)} more (`--all` shows them)"


def _reasons(failing: Sequence[Judged]) -> Iterator[str]:
    """A line for each reason, with all that fail by it."""
    told: dict[tuple[str, str], list[str]] = {}
    for item in failing:
        names = told.setdefault((item.why, item.option.tier), [])
        if (name := devices(item.option.device)) not in names:
            names.append(name)
    yield from (f"{', '.join(names)} ({tier}): {safe(why)}" for (why, tier), names in told.items())


def _nearest(failing: Sequence[Judged]) -> list[Judged]:
    """Of each device the one that comes closest: what fails by the latest question, and of memory lacks the least share."""
    asked = list(Constraint)

    def distance(item: Judged) -> tuple[int, float]:
        memory = item.outlook.memory
        lack = 0.0 if memory is None else memory.mid / item.option.device.memory
        return -asked.index(item.lost or Constraint.MEMORY), lack if item.lost is Constraint.MEMORY else 0.0

    seen: dict[str, Judged] = {}
    for item in sorted(failing, key=distance):
        seen.setdefault(item.option.device.name, item)
    return list(seen.values())


def _name(item: Judged) -> str:
    return f"{devices(item.option.device)} ({item.option.tier}, {safe(item.option.provider)})"
