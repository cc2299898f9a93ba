"""A project with other values beside the project as it is: each figure of each resource, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlctl.types.estimate import Estimate, Range
from mlctl.views.human.cost_estimate import Line, summed
from mlctl.views.human.cost_words import UNKNOWN, difference, estimated_devices, money, size, span
from mlctl.views.human.style import Paint
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

HEADS = ("resource", "", "today", "then", "difference")


def render(before: Sequence[Line], after: Sequence[Line], *, color: bool) -> str:
    """The table, with a word on what cannot be."""
    paint = Paint(color)
    rows = [row for name, was, now in pairs(before, after) for row in _rows(name, was, now)]
    if len(after) > 1 or len(before) > 1:
        rows += list(_figures("all of it", summed(before, anew=True), summed(after, anew=True)))
    if not rows:
        return "Nothing in this project takes devices for long, today or then.\n"
    told = [
        text
        for line in after
        if line.refused
        for text in (
            f"{safe(line.address)}: {paint(safe(line.why), 'red')}",
            *(f"  fix: {safe(way)}" for way in line.fix.splitlines()[:1]),
        )
    ]
    told += [
        f"{safe(line.address)}: {paint(safe(line.why), 'yellow')}" for line in after if line.why and not line.refused
    ]
    notes = [
        f"{safe(line.address)}: {paint('warning', 'yellow')}: {safe(text)}"
        for line in after
        if line.estimate is not None
        for text in line.estimate.warnings
    ]
    return table(HEADS, rows, color=color) + "".join(f"{text}\n" for text in ["", *told, *notes] if told or notes)


def pairs(before: Sequence[Line], after: Sequence[Line]) -> Iterator[tuple[str, Line | None, Line | None]]:
    """Each resource as it is and as it would be; None on the side that has not got it."""
    was, now = ({line.address: line for line in side} for side in (before, after))
    for name in dict.fromkeys([*was, *now]):
        yield name, was.get(name), now.get(name)


def _rows(name: str, was: Line | None, now: Line | None) -> Iterator[list[str]]:
    if was is None or now is None:
        yield from _one_side(name, was, now)
        return
    if now.refused or was.refused:
        yield [name, "", *("does not fit" if line.refused else "can be made" for line in (was, now)), ""]
    found = list(_figures("" if now.refused or was.refused else name, was.estimate, now.estimate))
    yield from found
    if not found and not (now.refused or was.refused):
        yield [name, "", UNKNOWN, UNKNOWN, ""]


def _one_side(name: str, was: Line | None, now: Line | None) -> Iterator[list[str]]:
    """What is new or gone: its figures, on the side that has it."""
    there = was or now
    found = None if there is None else there.estimate
    rows = list(_figures(name, found, found)) or [[name, "", UNKNOWN, UNKNOWN, ""]]
    for number, (first, label, value, *_) in enumerate(rows):
        sides = ("", value) if was is None else (value, "")
        yield [first, label, *sides, ("new" if was is None else "gone") if number == 0 else ""]


def _figures(name: str, was: Estimate | None, now: Estimate | None) -> Iterator[list[str]]:
    """A line for each figure that one of both has."""
    if was is None and now is None:
        return
    places = [None if item is None else estimated_devices(item) for item in (was, now)]
    if places[0] != places[1] and name != "all of it":
        yield [name, "devices", *(place or UNKNOWN for place in places), ""]
        name = ""
    for label, spoken, figure in (("memory", size, "memory"), ("time", span, "seconds"), ("cost", money, "usd"), ("an hour", money, "hourly")):  # fmt: skip
        found: list[Range | None] = [None if item is None else getattr(item, figure) for item in (was, now)]
        if found == [None, None]:
            continue
        yield [name, label, spoken(found[0]), spoken(found[1]), difference(found[0], found[1])]
        name = ""
