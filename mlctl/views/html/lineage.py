"""The lineage of columns as a page: what each feature is computed from, and which models learn from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlctl.views.html.drawing import Box, Drawing, page
from mlctl.views.human.text import safe
from mlctl.views.lineage import Column, Lineage

# The stages in the colours of the page, in turn; a stage has the same one throughout.
_TONES = (("unfinished", "▦"), ("running", "ƒ"), ("ready", "◆"), ("gate-tone", "●"))


def render(
    lineage: Lineage, *, title: str, environment: str, hidden: Callable[[Any], Any] = lambda value: value
) -> str:
    """The page; `hidden` takes secrets out of what is shown."""
    sections = list(dict.fromkeys(column.section for column in lineage.columns))
    tones = {section: _TONES[index % len(_TONES)] for index, section in enumerate(sections)}
    count = len(lineage.columns)
    drawing = Drawing(
        boxes={column: _box(column, how, *tones[column.section]) for column, how in lineage.columns.items()},
        arrows=[(source, target, "input") for source, target in lineage.arrows],
        title=title,
        head=f"{environment} · {count} column{'' if count == 1 else 's'}",
        label=f"Lineage of {title}: arrows lead from a column to what is computed from it",
        groups=[(_stage(section), *tones[section]) for section in sections],
    )
    return page(drawing, hidden)


def _box(column: Column, how: str, tone: str, icon: str) -> Box:
    return Box(
        name=column.name,
        under=str(column.address.name),
        spoken=f"{column}" + (f", {how}" if how else ""),
        group=_stage(column.section),
        tone=tone,
        icon=icon,
        lists=[("Column", [("of", safe(str(column.address))), *([("how", safe(how))] if how else [])])],
        words=f"{column} {how}",
    )


def _stage(section: str) -> str:
    return section.replace("_", " ")
