"""A plan as people read it: what was changed outside, what would change and why, and a line that sums it up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mlctl.types.change import Action, Change, FieldChange, Plan, Reason
from mlctl.types.value import Unknown
from mlctl.views.human.style import Paint
from mlctl.views.human.text import safe

_COLORS = {
    Action.CREATE: "green", Action.UPDATE: "yellow", Action.REPLACE: "magenta", Action.DELETE: "red",
    Action.RUN: "cyan", Action.RESUME: "cyan", Action.ADOPT: "cyan", Action.NOOP: "dim",
}  # fmt: skip
_WORDS = {
    Reason.NEW: "not made yet", Reason.SPEC: "the project changed", Reason.INPUT: "an input changed", Reason.INPUT_UNKNOWN: "an input may change",
    Reason.CONTENT: "files changed", Reason.METADATA: "metadata only, nothing runs", Reason.GONE: "gone", Reason.BROKEN: "broken",
    Reason.DRIFTED: "changed outside mlctl", Reason.UNFINISHED: "was cut off", Reason.RUNNING: "still running",
    Reason.REMOVED: "no longer in the project", Reason.SUPERSEDED: "replaced by a newer one", Reason.CACHED: "made before, reused",
    Reason.SAME: "as the project asks", Reason.REQUESTED: "asked for",
}  # fmt: skip
_FIELDS_SHOWN = 12
_VALUE_COLUMNS = 80


def render(plan: Plan, *, color: bool = False, verbose: bool = False) -> str:
    """The whole plan as text. Unchanged resources are counted, and listed with `verbose`."""
    paint = Paint(color)
    lines: list[str] = []
    drifted = [change for change in plan if change.drift]
    if drifted:
        lines += [paint("Changed outside mlctl", "bold")]
        lines += [f"  ! {change.address}: {safe(change.detail) or _WORDS[change.reason]}" for change in drifted]
        lines += [""]
    shown = [change for change in plan if change.effective or verbose]
    width = max((len(name(change)) for change in shown), default=0)
    for change in shown:
        lines += list(_change(change, width, paint))
    failing = [change for change in plan if change.gate is not None and not change.gate.passed and not change.effective]
    if failing:
        lines += [""] if lines else []
        lines += [
            f"{paint('gate not passed', 'red')} {change.address}: {safe(change.gate.summary)}"
            for change in failing
            if change.gate is not None
        ]
    return "\n".join([*lines, *([""] if lines else []), summary(plan, paint)]) + "\n"


def summary(plan: Plan, paint: Paint) -> str:
    """The last line: counts of what would be done, or that there is nothing to do."""
    counts = plan.summary()
    if plan.empty:
        return paint(f"No changes. {_count(counts['unchanged'], 'resource')} as the project asks.", "green")
    words = [
        ("create", "to create"),
        ("update", "to update"),
        ("replace", "to replace"),
        ("run", "to run"),
        ("destroy", "to destroy"),
    ]
    parts = [f"{counts[name]} {text}" for name, text in words if counts[name]]
    held = f" {len(plan.blocked)} held back by a gate." if plan.blocked else ""
    return f"{paint('Plan:', 'bold')} {', '.join(parts)}, {counts['unchanged']} unchanged.{held}"


def why(change: Change) -> str:
    """The reason of one change in a few words."""
    words = (
        safe(change.detail)
        if change.detail and change.reason in (Reason.BROKEN, Reason.GONE, Reason.UNFINISHED, Reason.RUNNING)
        else _WORDS[change.reason]
    )
    kind = f" [{change.field_class}]" if change.field_class is not None and change.reason is Reason.SPEC else ""
    return f"{words}{kind}"


def name(change: Change) -> str:
    """The address; what is removed may be one of several objects of it, so its identity tells which."""
    identity = change.key.identity if change.action is Action.DELETE else ""
    return f"{change.address}#{identity[:8]}" if identity else str(change.address)


def action(change: Change) -> str:
    """What is done, and whether that is sure."""
    return f"{change.action} if needed" if change.conditional else str(change.action)


def _change(change: Change, width: int, paint: Paint) -> Iterator[str]:
    held = f"  (held back by the gate {change.blocked_by})" if change.blocked_by is not None else ""
    yield f"{paint(f'{change.action.symbol:>3}', _COLORS[change.action])} {name(change).ljust(width)}  {action(change)}: {why(change)}{held}"
    for item in change.fields[:_FIELDS_SHOWN]:
        yield from (f"      {line}" for line in _field(item))
    if len(change.fields) > _FIELDS_SHOWN:
        yield f"      and {len(change.fields) - _FIELDS_SHOWN} more"


def _field(item: FieldChange) -> Iterator[str]:
    if item.observed != item.old:
        yield f"{safe(item.path)}: {value(item.observed)} now, {value(item.new)} wanted"
    elif item.path.startswith("input:") and isinstance(item.new, Unknown):
        yield f"{safe(item.path.removeprefix('input:'))} may change"
    else:
        yield from differences(item)


def differences(item: FieldChange) -> Iterator[str]:
    """What was and what is wanted. A field that is not written has a default, or none; of a long list only what differs."""
    path, old, new = safe(item.path.removeprefix("input:")), item.old, item.new
    if isinstance(old, list) and isinstance(new, list) and max(len(_text(old)), len(_text(new))) > _VALUE_COLUMNS:
        yield from (f"{path}: {value(entry)} taken out" for entry in old if entry not in new)
        yield from (f"{path}: {value(entry)} added" for entry in new if entry not in old)
        if all(entry in new for entry in old) and all(entry in old for entry in new):
            yield f"{path}: the same entries in another order or number"
        return
    absent = "(none)" if ":" in item.path else "(not set)"
    yield f"{path}: {absent if old is None else value(old)} -> {absent if new is None else value(new)}"


def value(item: Any) -> str:
    """A value short enough for a line; digests are cut."""
    if isinstance(item, Unknown):
        return str(item)
    if item is None:
        return "(none)"
    text = _text(item)
    if len(text) in (32, 64) and all(letter in "0123456789abcdef" for letter in text):
        return text[:8]
    text = safe(text)
    return text if len(text) <= _VALUE_COLUMNS else text[: _VALUE_COLUMNS - 3] + "..."


def _text(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
