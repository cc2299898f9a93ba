"""A plan and an apply as JSON lines for machines. Every line has a `type`; the first names the version of the format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlctl import __version__
from mlctl.engine import priced
from mlctl.types.change import Change, Plan
from mlctl.types.diagnostic import Diagnostic, Severity
from mlctl.types.estimate import total
from mlctl.types.event import (
    Event,
    StepDetached,
    StepDone,
    StepFailed,
    StepGate,
    StepProgress,
    StepSkipped,
    StepStarted,
)
from mlctl.types.value import Unknown
from mlctl.views.json.diagnostics import to_json

if TYPE_CHECKING:
    from mlctl.engine.applier import Applied

FORMAT = "1.1"  # a minor adds types and fields, a major changes or takes some away; see `mlctl.views.json.schema`


def header() -> dict[str, Any]:
    """The first line of every stream."""
    return {"type": "version", "mlctl": __version__, "format": FORMAT}


def lines(plan: Plan) -> Iterator[dict[str, Any]]:
    """A plan: a rollback that stands, drift, changes, and the summary as the last line."""
    if plan.held is not None:
        yield {"type": "held", **asdict(plan.held)}
    for change in plan:
        if change.drift:
            yield {"type": "drift", "address": str(change.address), "reason": change.reason, "detail": change.detail}
    for change in plan:
        if change.effective or change.moved_from is not None:
            yield {"type": "planned_change", **change_json(change)}
    if plan.selection.partial:
        yield to_json(
            Diagnostic(
                "plan.partial",
                "this plan is partial",
                "it looks only at what was chosen, so that the project may not be as it asks afterwards",
                "plan without `--target` and `--exclude`",
                Severity.WARNING,
            )
        )
    yield from _prices(plan)
    yield {"type": "change_summary", **plan.summary(), **_estimated(plan)}


def _estimated(plan: Plan) -> dict[str, Any]:
    """What all of it would take, where anything can be foreseen."""
    found = total([change.estimate for change in plan if change.effective and change.estimate is not None])
    if found is None:
        return {}
    figures = {"seconds": found.seconds, "usd": found.usd, "hourly": found.hourly}
    return {"estimate": {name: None if item is None else item.to_json() for name, item in figures.items()}}


def _prices(plan: Plan) -> Iterator[dict[str, Any]]:
    """The prices that estimates were made with, and those that are not what they were when something was made."""
    used = priced.rates(priced.estimates(plan))
    changed = [{"address": str(change.address), **item.to_json()} for change in plan for item in change.repriced]
    if used or changed:
        rates = [rate.to_json() for rate in used]
        yield {"type": "prices", "digest": priced.rates_digest(used), "rates": rates, "changed": changed}


def change_json(change: Change) -> dict[str, Any]:
    """One change with its reason and the fields that caused it."""
    return {
        "address": str(change.address),
        "key": str(change.key) if change.key_known else None,
        "action": change.action,
        "reason": change.reason,
        "class": change.field_class,
        "conditional": change.conditional,
        "detail": change.detail,
        "blocked_by": None if change.blocked_by is None else str(change.blocked_by),
        "moved_from": None if change.moved_from is None else str(change.moved_from),
        "waits": change.waits or None,
        "estimate": None if change.estimate is None else change.estimate.to_json(),
        "fields": [
            {"path": item.path, "old": _plain(item.old), "new": _plain(item.new), "observed": _plain(item.observed)}
            for item in change.fields
        ],
    }


def event_json(event: Event) -> dict[str, Any]:
    """One event of an apply."""
    match event:
        case StepStarted(change):
            return {"type": "apply_start", **_step(change)}
        case StepProgress():
            return {"type": "apply_progress", **{**asdict(event), "address": str(event.address)}}
        case StepDone(change, record, seconds, reused):
            outputs = {} if record is None else dict(record.outputs)
            return {
                "type": "apply_complete",
                **_step(change),
                "seconds": round(seconds, 3),
                "reused": reused,
                "outputs": outputs,
            }
        case StepFailed(change, diagnostics, seconds, resumable):
            return {
                "type": "apply_errored",
                **_step(change),
                "seconds": round(seconds, 3),
                "resumable": resumable,
                "diagnostics": [to_json(item) for item in diagnostics],
            }
        case StepDetached(change, seconds):
            return {"type": "apply_detached", **_step(change), "seconds": round(seconds, 3)}
        case StepSkipped(change, because, reason):
            return {"type": "apply_skipped", **_step(change), "because": str(because), "why": reason}
        case StepGate(address, gate):
            return {"type": "gate", "address": str(address), **gate.to_json()}


def outputs(applied: Applied) -> Iterator[dict[str, Any]]:
    """What the resources give that an apply made or changed, in the order of addresses; the last word on each."""
    made = {str(step.change.address): step.record for step in applied.done if not step.reused}
    for address, record in sorted(made.items()):
        if record is not None:
            yield {"type": "outputs", "address": address, "outputs": dict(record.outputs)}


def _step(change: Change) -> dict[str, Any]:
    return {"address": str(change.address), "action": change.action, "reason": change.reason}


def _plain(value: Any) -> Any:
    """A value as JSON holds it; what is not known yet is null with its source."""
    return {"unknown": value.source} if isinstance(value, Unknown) else value
