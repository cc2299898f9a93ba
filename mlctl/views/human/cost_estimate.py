"""What a project takes of time and money as a table: a line a resource, and all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlctl.types.estimate import Estimate, Range, total
from mlctl.views.human.cost_words import UNKNOWN, estimated_devices, money, size, span
from mlctl.views.human.style import Paint
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

HEADS = ("resource", "devices", "memory", "time", "cost", "disk", "state")
_RIGHT: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One resource."""

    address: str
    estimate: Estimate | None
    disk: Range | None = None
    made: bool = False
    why: str = ""  # why there is no estimate
    refused: bool = False  # it cannot be made at all
    fix: str = ""  # what would let it


def render(lines: Sequence[Line], *, color: bool) -> str:
    """All of it."""
    paint = Paint(color)
    if not lines:
        return "Nothing in this project takes devices for long: it has no training and no deployment of a language model.\n"
    rows = [_row(line) for line in lines]
    shown = table(HEADS, rows, right=_RIGHT, color=color)
    told = [*_totals(lines), *_remarks(lines, paint)]
    return shown + "\n" + "".join(f"{text}\n" for text in told)


def _row(line: Line) -> list[str]:
    state = "made" if line.made else "refused" if line.refused else "to be made"
    if line.estimate is None:
        return [line.address, "", UNKNOWN, UNKNOWN, UNKNOWN, "", state]
    found = line.estimate
    memory = size(found.memory) if found.memory is not None else UNKNOWN
    time = "until removed" if found.lasting else span(found.seconds)
    disk = "" if line.disk is None else size(line.disk)
    return [line.address, estimated_devices(found), memory, time, _cost(found), disk, state]


def _cost(found: Estimate) -> str:
    if found.lasting:
        return UNKNOWN if found.hourly is None else f"{money(found.hourly)} an hour"
    return money(found.usd)


def summed(lines: Sequence[Line], *, anew: bool) -> Estimate | None:
    """All resources together as if one came after another; without `anew`, those that are still to be made. None where one of them
    is not known at all."""
    counted = [line for line in lines if anew or not line.made]
    known = [line.estimate for line in counted if line.estimate is not None]
    return total(known) if len(known) == len(counted) else None


def _totals(lines: Sequence[Line]) -> Iterator[str]:
    made = [line for line in lines if line.made]
    counted = [line for line in lines if not line.made]
    if len(lines) > 1 and (found := summed(lines, anew=True)) is not None and _words(found):
        yield f"All of it, made anew one after another: {_words(found)}"
    known = [line.estimate for line in lines if line.estimate is not None]
    unknown = [safe(line.address) for line in lines if line.estimate is None]
    if unknown and (found := total(known)) is not None and _words(found):
        yield f"The rest, made anew one after another: {_words(found)}; nothing is known of {', '.join(unknown)}"
    if made and counted and (found := summed(lines, anew=False)) is not None and _words(found):
        yield f"What is still to be made: {_words(found)}"
    if made and not counted:
        yield "All of it is made: an apply has nothing to pay for."


def _words(found: Estimate) -> str:
    parts = []
    if found.seconds is not None or found.usd is not None:
        parts.append(f"time {UNKNOWN}" if found.seconds is None else span(found.seconds))
        parts.append(f"cost {UNKNOWN}" if found.usd is None else money(found.usd))
    if found.hourly is not None:
        parts.append(f"{money(found.hourly)} an hour until it is removed")
    return ", ".join(parts)


def _remarks(lines: Sequence[Line], paint: Paint) -> Iterator[str]:
    """Where the figures come from, and what a reader should know of them; each once."""
    for line in lines:
        found = line.estimate
        if line.why:
            yield f"{safe(line.address)}: {paint(safe(line.why), 'red' if line.refused else 'yellow')}"
            yield from (f"  fix: {safe(text)}" for text in line.fix.splitlines()[:1])
        if found is None:
            continue
        bases = [item.basis for item in (found.memory, found.seconds, found.usd, found.hourly) if item is not None]
        named = dict.fromkeys("by formula" if name == "formula" else name for name in bases)
        if named:
            yield f"{safe(line.address)}: {safe(', '.join(named))}"
        if not line.why:
            yield from (f"  {safe(note)}" for note in found.notes)
        yield from (f"  {paint('warning', 'yellow')}: {safe(text)}" for text in found.warnings)
