"""Advice in words: what would help with its saving and what to write, then what is in use, and what does not apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlctl.estimate.advice import Difference, Saving, Standing
from mlctl.types.spoken import spoken_bytes, spoken_dollars, spoken_seconds
from mlctl.views.human.cost_words import UNKNOWN, devices, money, share, size, span
from mlctl.views.human.style import Paint
from mlctl.views.human.text import safe

_WIDE = 24
_THOUSANDTH = 0.001


@dataclass(frozen=True)
class Shown:
    """One resource: where it is today, and each way with the lines to write for it."""

    address: str
    position: Any
    advice: Sequence[tuple[Any, Sequence[str]]]
    why: str = ""


def render(found: Sequence[Shown], *, color: bool) -> str:
    """A paragraph for each resource."""
    paint = Paint(color)
    return "\n".join("".join(f"{line}\n" for line in _one(item, paint)) for item in found)


def _one(item: Shown, paint: Paint) -> Iterator[str]:
    yield f"{paint(safe(item.address), 'bold')}: {safe(_today(item))}"
    for standing in (Standing.HELPS, Standing.UNKNOWN):
        same = [pair for pair in item.advice if pair[0].standing is standing]
        for advice, lines in sorted(same, key=lambda pair: -_worth(pair[0].saving)):
            yield from _way(advice, lines, paint)
    for standing in (Standing.NO_GAIN, Standing.IN_USE, Standing.NOT):
        others = [advice for advice, _ in item.advice if advice.standing is standing]
        if others:
            yield f"  {standing}:"
            yield from (_line(advice) for advice in others)


def _line(advice: Any) -> str:
    """A way that needs no more words."""
    figures = "" if advice.saving is None else ", ".join(_figures(advice.saving))
    return f"  {advice.tactic.number:>2}  {advice.tactic.name:<{_WIDE}}{safe(advice.why or figures or 'it changes little')}"


def _today(item: Shown) -> str:
    position = item.position
    if position is None:
        return item.why or "what it asks of devices is not known"
    workload, outlook = position.workload, position.outlook
    where = devices(outlook.device) + (f" ({workload.tier})" if workload.tier else "")
    parts = [
        f"memory {size(outlook.memory)} of {spoken_bytes(outlook.device.memory)}" if outlook.memory is not None else ""
    ]
    if workload.lasting:
        hourly = None if position.judged is None else position.judged.option.hourly
        parts.append("cost unknown" if hourly is None else f"{money(hourly)} an hour")
    else:
        parts.append(f"time {span(position.busy) if position.busy is not None else UNKNOWN}")
        parts.append(f"cost {money(position.usd)}")
    return f"{where}, {', '.join(part for part in parts if part)}"


def _worth(saving: Saving | None) -> float:
    """What the order within those that help goes by: dollars, else seconds."""
    if saving is None:
        return 0.0
    if saving.usd is not None:
        return saving.usd.mid
    return 0.0 if saving.seconds is None else saving.seconds.mid * 1e-9


def _way(advice: Any, lines: Sequence[str], paint: Paint) -> Iterator[str]:
    helps, saving = advice.standing is Standing.HELPS, advice.saving
    figures = [] if saving is None else list(_figures(saving))
    said = ", ".join(figures) if figures or helps else f"{advice.standing}: {advice.why}"
    head = f"  {advice.tactic.number:>2}  {advice.tactic.name:<{_WIDE}}{safe(said)}".rstrip()
    yield paint(head, "green") if helps else head
    if saving is not None:
        yield from (f"      {safe(note)}" for note in (*saving.notes, *([advice.why] if advice.why and helps else [])))
    yield from (f"      write  {safe(line)}" for line in lines)
    if lines:
        yield f"      risk   {advice.risk}"


def _figures(saving: Saving) -> Iterator[str]:
    """What gets less, or more; what stays as it is is not told."""
    per = f" {saving.per}" if saving.per else ""
    if saving.usd is not None and _counts(saving.usd):
        yield f"{_turned(saving.usd, spoken_dollars, 'saves', 'costs', ' more')}{per}"
    if saving.seconds is not None and _counts(saving.seconds):
        yield f"{_turned(saving.seconds, spoken_seconds, 'saves', 'takes', ' longer')}{per}"
    if saving.memory is not None and _counts(saving.memory):
        yield _turned(saving.memory, spoken_bytes, "frees", "takes", " more")
    if saving.work is not None:
        low, high = share(saving.work.low), share(saving.work.high)
        spread = low if low == high else f"{low} to {high}"
        yield f"{spread} of the work is not needed ({saving.work.basis})"


def _counts(found: Difference) -> bool:
    """Whether it is more than rounding: a thousandth of what it is of."""
    return (abs(found.mid) > 0 and abs(found.share) >= _THOUSANDTH) or (found.whole == 0 and found.high > 0)


def _turned(found: Difference, spoken: Callable[[float], str], less: str, more: str, behind: str) -> str:
    """`saves $4.10 ($1.20 to $9.00)`, or `costs $2.00 more`."""
    low, mid, high = (found.low, found.mid, found.high) if found.mid >= 0 else (-found.high, -found.mid, -found.low)
    ends = [f"-{spoken(-end)}" if end < 0 else spoken(abs(end)) for end in (low, high)]
    spread = "" if ends[0] == ends[1] else f" ({ends[0]} to {ends[1]})"
    return f"{less} {spoken(mid)}{spread}" if found.mid >= 0 else f"{more} {spoken(mid)}{spread}{behind}"
