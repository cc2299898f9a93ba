"""`--refresh-only`: what the tools report that the state does not say, and the state made to say it. Nothing real changes."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from mlctl.engine.applied import Applied, Emit
from mlctl.engine.decide import gravest
from mlctl.engine.ignored import told
from mlctl.engine.ledger import Ledger
from mlctl.engine.secrecy import compared
from mlctl.engine.store import Session
from mlctl.provider import Condition, Context, Kind, flatten
from mlctl.spec import asking
from mlctl.spec.project import Project
from mlctl.types.address import Address
from mlctl.types.change import Action, Change, FieldChange, Plan, Reason
from mlctl.types.event import StepDone
from mlctl.types.state import Record


def drift(project: Project, ledger: Ledger, ctx: Context, chosen: Collection[Address]) -> tuple[Change, ...]:
    """What was changed or lost behind our back, in the order of the project: every object that was made to the end.

    An object that is gone is to be forgotten, fields that differ are to be noted. One that is there and does not work is
    told, and there is nothing to note of it.
    """
    return tuple(_drift(project, ledger, ctx, chosen))


def _drift(project: Project, ledger: Ledger, ctx: Context, chosen: Collection[Address]) -> Iterator[Change]:
    records = (record for address in project.order if address in chosen for record in ledger.at(address))
    for record in records:
        if not record.complete:  # what was cut off is no drift: the next apply goes on with it
            continue
        resource = project.resources[record.key.address]
        kind = resource.kind
        seen = compared(asking.read(kind, record, ctx), ctx.secrets)
        if seen is None:
            yield Change(
                Action.FORGET, record.key, Reason.GONE, detail="it is not there any more", field_class=kind.field_class, drift=True,
            )  # fmt: skip
            continue
        fields = told(_observed(kind, record, seen.fields), resource.spec.lifecycle.ignore_changes)
        if seen.condition is Condition.BROKEN:
            yield Change(
                Action.NOOP, record.key, Reason.BROKEN, detail=seen.detail, field_class=kind.field_class, gate=record.gate, drift=True,
            )  # fmt: skip
        elif fields:
            yield Change(
                Action.UPDATE, record.key, Reason.DRIFTED, fields, field_class=gravest(kind, fields), gate=record.gate, drift=True,
            )  # fmt: skip


def _observed(kind: Kind, record: Record, seen: Any) -> tuple[FieldChange, ...]:
    """The fields that a tool reports with another value than was recorded."""
    old, now = flatten(record.spec), flatten(seen)
    return tuple(
        FieldChange(path, old.get(path), now[path], now[path], kind.field_class)
        for path in sorted(now)
        if now[path] != old.get(path)
    )


def accept(plan: Plan, session: Session, ctx: Context, emit: Emit) -> Applied:
    """Write what a plan of drift has observed into the state, and touch no tool. Raises MlctlError when that cannot be kept."""
    applied, started = Applied(), time.monotonic()
    for change in plan:
        record = session.ledger.get(change.key)
        if record is None or not change.effective:
            continue
        if change.action is Action.FORGET:
            session.forget(record.key)
            record = None
        else:
            record = _noted(record, change)
            session.record(record)
        step = StepDone(change, record, 0.0)
        applied.done.append(step)
        emit(step)
    applied.seconds = time.monotonic() - started
    return applied


def _noted(record: Record, change: Change) -> Record:
    spec: dict[str, Any] = dict(record.spec)
    for item in change.fields:
        spec = _set(spec, item.path.split("."), item.observed)
    return replace(record, spec=spec)


def _set(block: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    inner = block.get(name)
    return {**block, name: _set(dict(inner) if isinstance(inner, dict) else {}, rest, value) if rest else value}
