"""One step of a plan explained: where it is written, why it is done, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.engine.saved.explain import Explanation
from mlctl.types.diagnostic import SourceRange
from mlctl.views.human import estimates
from mlctl.views.human.plan import action, differences, name, why
from mlctl.views.human.style import Paint
from mlctl.views.human.text import safe

_SHOWN = 30


def render(found: Explanation, *, color: bool = False) -> str:
    """The whole explanation as text."""
    paint = Paint(color)
    change = found.change
    lines = [f"{paint(name(change), 'bold')}: {action(change)}, {why(change)}"]
    lines += _quoted(found.where) if not any(place for _, place in found.fields) else []
    for item, place in found.fields:
        lines += [f"  {line}" for line in differences(item)]
        lines += _quoted(place)
    lines += _listed("because of", [f"{name(item)}: {action(item)}, {why(item)}" for item in found.causes], paint)
    lines += _listed("so that", [f"{name(item)}: {action(item)}, {why(item)}" for item in found.follows], paint)
    lines += _listed("left as it is", [str(item) for item in found.spared], paint)
    if change.field_class is not None and change.fields and change.field_class.saves:
        lines.append(f"  it is a {change.field_class} change: {change.field_class.saves}")
    if change.estimate is not None:
        lines += [f"  {line}" for line in estimates.explained(change.estimate)]
    if not change.effective:
        lines.append("  nothing is done about it")
    return "\n".join(lines) + "\n"


def _quoted(where: SourceRange | None) -> Iterator[str]:
    if where is not None:
        yield f"    --> {safe(str(where))}"
        if where.text.strip():
            yield f"    {where.line} | {safe(where.text.rstrip())}"


def _listed(title: str, items: list[str], paint: Paint) -> Iterator[str]:
    if items:
        yield f"  {paint(title, 'cyan')}"
        yield from (f"    {item}" for item in items[:_SHOWN])
        if len(items) > _SHOWN:
            yield f"    and {len(items) - _SHOWN} more"
