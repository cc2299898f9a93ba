"""What a workload would take elsewhere as a table, the cheapest first, with a word on what will not do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlctl.estimate.comparing import SPEED, Comparison, Row
from mlctl.estimate.prices import OLD_DAYS
from mlctl.estimate.sizing import Judged
from mlctl.types.spoken import spoken_dollars, spoken_seconds
from mlctl.views.human.cost_words import UNKNOWN, devices, money, share, span
from mlctl.views.human.style import Paint
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

SHOWN = 12  # lines of a table, beside those that are marked
_REASONS = 8
BEST, HERE = "*", "<- now"


def render(found: Sequence[Comparison], *, every: bool, color: bool) -> str:
    """A table for each workload."""
    return "\n".join("".join(_one(item, every=every, paint=Paint(color))) for item in found)


def _one(found: Comparison, *, every: bool, paint: Paint) -> Iterator[str]:
    yield f"{paint(safe(found.workload.address), 'bold')}: {safe(now(found))}\n\n"
    if found.rows:
        shown = [row for number, row in enumerate(found.rows) if every or number < SHOWN or row.best or row.here]
        heads, rows = HEADS_HOURLY if found.workload.lasting else HEADS, [cells(row, found) for row in shown]
        yield "".join(f"  {line}\n" for line in table(heads, rows, right=("$/h",), color=paint.color).splitlines())
        if len(shown) < len(found.rows):
            yield f"  and {len(found.rows) - len(shown)} more that cost more (`--all` shows them)\n"
        if any(row.best for row in found.rows):
            yield f"\n  {BEST} {best(found)}\n"
    else:
        yield "  nothing of what has a price will do\n"
    yield from _remarks(found)
    if found.others:
        yield "\n  will not do:\n"
        lines = list(reasons(found))
        yield from (f"    {safe(line)}\n" for line in (lines if every else lines[:_REASONS]))
        if not every and len(lines) > _REASONS:
            yield f"    and {len(lines) - _REASONS} more (`--all` shows them)\n"


HEADS = ("", "devices", "provider", "tier", "$/h", "memory", "done in", "cost", "needs")
HEADS_HOURLY = ("", "devices", "provider", "tier", "$/h", "memory", "a token", "at once", "per 1M tokens", "needs")


def best(found: Comparison) -> str:
    """What the mark says."""
    return (
        "nothing that costs less gives as many tokens"
        if found.workload.lasting
        else "nothing that costs less is as fast"
    )


def now(found: Comparison) -> str:
    """Where it is, and what it takes there."""
    workload = found.workload
    outlook = workload.on(workload.device)
    tier = f" ({workload.tier})" if workload.tier else ""
    where = f"now on {devices(workload.device)}{tier}"
    if outlook.unsupported:
        return f"{where}, {outlook.unsupported}"
    if workload.lasting:
        return where
    return f"{where}, {span(outlook.seconds) if outlook.seconds is not None else 'time ' + UNKNOWN}"


def cells(row: Row, found: Comparison) -> list[str]:
    """One line of the table."""
    judged, option, outlook = row.judged, row.option, row.judged.outlook
    memory = (
        UNKNOWN if outlook.memory is None else f"{share(outlook.memory.mid / option.device.memory)} of {size_of(row)}"
    )
    needs = [*outlook.changes]
    if option.paid > option.device.count:
        needs.append(f"{option.paid} are rented")
    if found.age(option) > OLD_DAYS:
        needs.append(f"the price is {found.age(option)} days old")
    first = [BEST if row.best else "", devices(option.device), option.provider, option.tier, spoken_dollars(option.hourly.mid), memory]  # fmt: skip
    here = [HERE] if row.here else []
    if found.workload.lasting:
        return [*first, *_served(judged), ", ".join(needs + here)]
    return [*first, _done(judged), money(judged.usd), ", ".join(needs + here)]


def size_of(row: Row) -> str:
    """The memory of one device."""
    from mlctl.types.spoken import spoken_bytes

    return spoken_bytes(row.option.device.memory)


def _done(judged: Judged) -> str:
    """The time until it is done, with that of waiting where devices may be taken away."""
    text = span(judged.elapsed)
    return f"{text}, {share(judged.useful)} useful" if judged.useful < 1 else text


def _served(judged: Judged) -> list[str]:
    figures = judged.outlook.figures
    tpot, concurrency = figures.get("tpot_seconds"), figures.get("concurrency")
    return [
        UNKNOWN if tpot is None else f"{tpot.mid * 1000:.3g} ms",
        UNKNOWN if concurrency is None else f"{concurrency.mid:,.0f}",
        UNKNOWN if (million := per_million(judged)) is None else spoken_dollars(million),
    ]


def per_million(judged: Judged) -> float | None:
    """Likely dollars for a million tokens at full load; None where its speed is not known."""
    speed = judged.outlook.figures.get(SPEED)
    return None if speed is None or not speed.mid else judged.option.hourly.mid / 3600 / speed.mid * 1e6


def _remarks(found: Comparison) -> Iterator[str]:
    spot = [row for row in found.rows if row.option.tier == "spot"]
    if spot and not found.workload.lasting:
        saves = found.workload.checkpoint_seconds
        between = "" if saves is None else f" (a checkpoint takes {spoken_seconds(saves)})"
        yield f"  spot: its cost counts what is done twice{between}, and its time the waiting for devices\n"
    if found.by_hour and not found.workload.lasting and found.rows:
        why = found.rows[0].judged.outlook.why
        yield f"  ordered by what an hour costs: how long it takes is not known{f' ({safe(why)})' if why else ''}\n"
    dates = [row.option.price.as_of for row in found.rows]
    if dates:
        first, last = min(dates).isoformat(), max(dates).isoformat()
        yield f"  prices of {first}{'' if first == last else f' to {last}'}\n"


def reasons(found: Comparison) -> Iterator[str]:
    """Why what is left out is: one line for all numbers and tiers of a device that fail by the same, with the figures of the most,
    and for all devices that have the same reason."""
    told: dict[tuple[str, str], list[Judged]] = {}
    tiers: dict[str, set[str]] = {}
    for option in (*(row.option for row in found.rows), *(item.option for item in found.others)):
        tiers.setdefault(option.device.name, set()).add(option.tier)
    for item in found.others:
        told.setdefault((item.option.device.name, str(item.lost)), []).append(item)
    lines: dict[tuple[str, str], list[str]] = {}
    for (name, _), same in told.items():
        most = max(same, key=lambda item: item.option.device.count)
        counts = sorted({item.option.device.count for item in same})
        own = sorted({item.option.tier for item in same if item.option.device.count == most.option.device.count})
        only = "" if len(own) == len(tiers[name]) else f" ({', '.join(own)})"
        of = f"with {counts[-1]}, " if len({item.why for item in same}) > 1 else ""
        lines.setdefault((f"{only}: {of}{most.why}", _numbers(counts)), []).append(name)
    yield from (f"{counts} x {', '.join(names)}{told_of}" for (told_of, counts), names in lines.items())


def _numbers(counts: Sequence[int]) -> str:
    """`1, 2 or 4`."""
    *others, last = map(str, counts)
    return f"{', '.join(others)} or {last}" if others else last
