"""A plan as people read it: what was changed outside, what would change and why, and a line that sums it up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mlctl.types.address import Address
from mlctl.types.change import Action, Change, FieldChange, FieldClass, Mode, Plan, Reason
from mlctl.types.secret import HIDDEN, is_rotation, shown
from mlctl.types.state import Gate, Held
from mlctl.types.value import Unknown
from mlctl.views.human import estimates
from mlctl.views.human.style import Paint
from mlctl.views.human.text import safe

_COLORS = {
    Action.CREATE: "green", Action.UPDATE: "yellow", Action.REPLACE: "magenta", Action.DELETE: "red",
    Action.RUN: "cyan", Action.RESUME: "cyan", Action.ADOPT: "cyan", Action.IMPORT: "green", Action.FORGET: "yellow",
    Action.NOOP: "dim",
}  # fmt: skip
_WORDS = {
    Reason.NEW: "not made yet", Reason.SPEC: "the project changed", Reason.INPUT: "an input changed", Reason.INPUT_UNKNOWN: "an input may change",
    Reason.CONTENT: "files changed", Reason.METADATA: "metadata only, nothing runs", Reason.GONE: "gone", Reason.BROKEN: "broken",
    Reason.DRIFTED: "changed outside mlctl", Reason.UNFINISHED: "was cut off", Reason.RUNNING: "still running",
    Reason.REMOVED: "no longer in the project", Reason.SUPERSEDED: "replaced by a newer one", Reason.CACHED: "made before, reused",
    Reason.SAME: "as the project asks", Reason.REQUESTED: "asked for", Reason.IMPORTED: "exists already, taken over",
    Reason.PROMOTED: "taken over from another environment", Reason.FAILED_BEFORE: "failed before with the same inputs",
    Reason.MOVED: "moved, as it is",
}  # fmt: skip
# What a change of a class leaves alone, of what a reader might fear for.
_SAVES = {
    FieldClass.SERVING: "nothing is trained or evaluated again",
    FieldClass.EVALUATION: "nothing is trained again",
}
_TELLING = (Reason.BROKEN, Reason.GONE, Reason.UNFINISHED, Reason.RUNNING, Reason.IMPORTED, Reason.PROMOTED, Reason.FAILED_BEFORE)  # fmt: skip
_COUNTED = [
    ("import", "to import"), ("create", "to create"), ("update", "to update"), ("replace", "to replace"), ("run", "to run"),
    ("forget", "to forget"), ("destroy", "to destroy"),
]  # fmt: skip
_FIELDS_SHOWN = 12
_VALUE_COLUMNS = 80
_PARTIAL = "This plan is partial: only the targets and what they depend on."
_REMOVAL = "This removal is partial: only the targets and what was made with them."
_WITHOUT = "This plan is partial: what was excluded, and what depends on it, is left as it is."


def render(plan: Plan, *, color: bool = False, verbose: bool = False) -> str:
    """The whole plan as text. Unchanged resources are counted, and listed with `verbose`."""
    paint = Paint(color)
    parts = [
        [paint(line, "yellow") for line in held(plan.held)],
        _drift(plan, paint),
        _changes(plan, paint, verbose=verbose),
        _verdicts(plan, paint),
        _notes(plan, paint),
        [summary(plan, paint), *estimates.total(plan), *partial(plan)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _drift(plan: Plan, paint: Paint) -> list[str]:
    drifted = [
        f"  ! {change.address}: {safe(change.detail) or _WORDS[change.reason]}" for change in plan if change.drift
    ]
    return [paint("Changed outside mlctl", "bold"), *drifted] if drifted else []


def _changes(plan: Plan, paint: Paint, *, verbose: bool) -> list[str]:
    shown = [change for change in plan if change.effective or change.moved_from is not None or verbose]
    width = max((len(name(change)) for change in shown), default=0)
    return [line for change in shown for line in _change(change, width, paint)]


def _verdicts(plan: Plan, paint: Paint) -> list[str]:
    """Gates that stand as they are: those that hold something back, and those that a person opened."""
    lines = []
    for change in plan:
        if change.gate is not None and not change.gate.passed and not change.effective:
            mark = paint("gate approved", "yellow") if change.gate.open else paint("gate not passed", "red")
            lines.append(f"{mark} {change.address}: {verdict(change.gate)}")
    return lines


def notes(plan: Plan) -> list[tuple[Address, str]]:
    """What is to be known of objects that stay as they are, such as a release that is held back."""
    unchanged = [change for change in plan if not change.effective]
    told = [(change.address, safe(change.detail)) for change in unchanged if change.detail and not change.drift]
    return told + [(change.address, repriced(change)) for change in unchanged if change.repriced]


def repriced(change: Change) -> str:
    """The prices that are not what they were when it was made."""
    return safe(f"prices changed since: {', '.join(item.words for item in change.repriced)}")


def _notes(plan: Plan, paint: Paint) -> list[str]:
    return [f"{paint('note', 'yellow')} {address}: {text}" for address, text in notes(plan)]


def verdict(gate: Gate) -> str:
    """What a gate found, and who opened it all the same."""
    if gate.approval is None:
        return safe(gate.summary)
    return safe(f"{gate.summary}; approved by {gate.approval.who}: {gate.approval.why}")


def held(rollback: Held | None) -> list[str]:
    """A rollback that stands: what was decided, by whom, and how to lift it."""
    if rollback is None:
        return []
    return [
        safe(f"Held at run {rollback.run} since {rollback.at} by {rollback.who}: {rollback.reason}"),
        "Apply keeps it so until it is asked with `--unhold`.",
    ]


def partial(plan: Plan) -> list[str]:
    """The warning of a plan that was not asked to look at everything."""
    if plan.selection.targets:
        return [_REMOVAL if plan.selection.mode is Mode.DESTROY else _PARTIAL]
    return [_WITHOUT] if plan.selection.exclude else []


def summary(plan: Plan, paint: Paint) -> str:
    """The last line: counts of what would be done, or that there is nothing to do."""
    counts = plan.summary()
    moved = sum(1 for change in plan if change.moved_from is not None)
    tail = f" {_count(moved, 'resource')} moved to another address." if moved else ""
    if plan.empty and plan.drifted and plan.selection.mode is Mode.REFRESH_ONLY:
        return paint("Nothing for the state to take over; `mlctl apply` mends what is broken.", "yellow")
    if plan.empty and plan.selection.mode is Mode.REFRESH_ONLY:
        return paint(f"Nothing was changed outside mlctl.{tail}", "green")
    if plan.empty:
        return paint(f"No changes. {_count(counts['unchanged'], 'resource')} as the project asks.{tail}", "green")
    parts = [f"{counts[name]} {text}" for name, text in _COUNTED if counts[name]]
    stopped = f" {len(plan.blocked)} held back by a gate." if plan.blocked else ""
    return f"{paint('Plan:', 'bold')} {', '.join(parts)}, {counts['unchanged']} unchanged.{stopped}{tail}"


def why(change: Change) -> str:
    """The reason of one change in a few words."""
    words = safe(change.detail) if change.detail and change.reason in _TELLING else _WORDS[change.reason]
    if change.field_class is None or change.reason is not Reason.SPEC:
        return words
    saves = _SAVES.get(change.field_class)
    return f"{words} [{change.field_class}]" + (f", {saves}" if saves else "")


def cause(change: Change, because: Address, reason: str) -> str:
    """Why a step was skipped: another resource is named, the step itself is not named again."""
    return reason if because == change.address else f"because of {because}: {reason}"


def name(change: Change) -> str:
    """The address; what is removed may be one of several objects of it, so its identity tells which."""
    identity = change.key.identity if change.action in (Action.DELETE, Action.FORGET) else ""
    return f"{change.address}#{identity[:8]}" if identity else str(change.address)


def action(change: Change) -> str:
    """What is done, and whether that is sure."""
    return f"{change.action} if needed" if change.conditional else str(change.action)


def _change(change: Change, width: int, paint: Paint) -> Iterator[str]:
    stopped = f"  (held back by the gate {change.blocked_by})" if change.blocked_by is not None else ""
    yield f"{paint(f'{change.action.symbol:>3}', _COLORS[change.action])} {name(change).ljust(width)}  {action(change)}: {why(change)}{stopped}"
    for line in remarks(change):
        yield f"      {line}"
    for item in change.fields[:_FIELDS_SHOWN]:
        yield from (f"      {line}" for line in field(item))
    if len(change.fields) > _FIELDS_SHOWN:
        yield f"      and {len(change.fields) - _FIELDS_SHOWN} more"
    if change.estimate is not None:
        yield from (f"      {paint(line, 'yellow')}" for line in estimates.warnings(change.estimate))
        yield from (f"      {paint(line, 'dim')}" for line in estimates.lines(change.estimate))


def remarks(change: Change) -> Iterator[str]:
    """What is to be known of a change beside its fields: where it was before, and what an unattended apply would wait for."""
    if change.moved_from is not None:
        again = change.action in (Action.CREATE, Action.RUN)
        told = (
            "its tool knows it by its address, so it is made anew and the old one goes"
            if again
            else "nothing of it is made anew"
        )
        yield f"moved from {change.moved_from}; {told}"
    if change.waits:
        yield f"an unattended apply would wait: {safe(change.waits)}"
    if change.repriced and change.effective:
        yield repriced(change)
    if change.gate is not None and change.gate.approval is not None and change.effective:
        yield f"gate approved: {verdict(change.gate)}"


def field(item: FieldChange) -> Iterator[str]:
    """One cause of a change: what was and is wanted, or what the tool has now."""
    if item.observed != item.old:
        yield f"{safe(item.path)}: {value(item.observed)} now, {value(item.new)} wanted"
    elif item.path.startswith("input:") and isinstance(item.new, Unknown):
        yield f"{safe(item.path.removeprefix('input:'))} may change"
    else:
        yield from differences(item)


def differences(item: FieldChange) -> Iterator[str]:
    """What was and what is wanted. A field that is not written has a default, or none; of a long list only what differs."""
    path, old, new = safe(item.path.removeprefix("input:")), item.old, item.new
    if is_rotation(old, new):
        yield f"~ {path}: {HIDDEN}"  # that it changed is all there is to say
        return
    if isinstance(old, list) and isinstance(new, list) and max(len(_text(old)), len(_text(new))) > _VALUE_COLUMNS:
        yield from (f"{path}: {value(entry)} taken out" for entry in old if entry not in new)
        yield from (f"{path}: {value(entry)} added" for entry in new if entry not in old)
        if all(entry in new for entry in old) and all(entry in old for entry in new):
            yield f"{path}: the same entries in another order or number"
        return
    absent = "(none)" if ":" in item.path else "(not set)"
    yield f"{path}: {absent if old is None else value(old)} -> {absent if new is None else value(new)}"


def value(item: Any) -> str:
    """A value short enough for a line; digests are cut, secrets are a word."""
    if isinstance(item, Unknown):
        return str(item)
    if item is None:
        return "(none)"
    text = _text(item)
    if len(text) in (32, 64) and all(letter in "0123456789abcdef" for letter in text):
        return text[:8]
    text = safe(text[: _VALUE_COLUMNS + 1])  # of a text of megabytes no more is looked at
    return text if len(text) <= _VALUE_COLUMNS else text[: _VALUE_COLUMNS - 3] + "..."


def _text(item: Any) -> str:
    item = shown(item)
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
