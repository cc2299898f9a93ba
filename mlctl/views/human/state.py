"""The state, its generations and their differences as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mlctl.engine.store import Generation
from mlctl.engine.store.surgery import Difference
from mlctl.types.state import Record
from mlctl.types.value import Json
from mlctl.views.human.style import Paint, columns
from mlctl.views.human.text import safe

_MARKS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
_LONGEST = 80  # characters of a value


def line(record: Record) -> str:
    """One object: its key, and what was begun on it and not ended."""
    return safe(f"{record.key}{'' if record.complete else f'  ({record.pending} was cut off)'}")


def log(generations: Sequence[Generation]) -> list[str]:
    """A line for each generation, under a heading."""
    if not generations:
        return []
    rows = [["SERIAL", "WHEN", "CHANGES", "BY", "OPERATION"]]
    for item in generations:
        counts = (f"{_MARKS[name][0]}{item.changes[name]}" for name in _MARKS if item.changes.get(name))
        what = "damaged" if item.damaged else item.operation or "-"
        rows.append([str(item.serial), item.at or "-", " ".join(counts) or "-", safe(item.by) or "-", safe(what)])
    return columns(rows)


def differences(found: Sequence[Difference], *, color: bool = False) -> list[str]:
    """A line for each object, and one for each field below it."""
    paint = Paint(color)
    lines = []
    for item in found:
        mark, style = _MARKS[item.what]
        lines.append(f"{paint(mark, 'bold', style)} {safe(str(item.key))}")
        lines += [f"    {safe(path)}: {_value(old)} -> {_value(new)}" for path, old, new in item.fields]
    return lines


def checked(problems: int, location: str) -> str:
    """What a check came to."""
    if not problems:
        return f"The state is whole: {location}"
    return f"{problems} problem{'s' if problems > 1 else ''} in the state at {location}"


def _value(value: Json) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return safe(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")
