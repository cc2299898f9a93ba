"""Plans as JSON and back, without loss: what a saved plan and a run keep, and what a stale plan is compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, FieldChange, FieldClass, Mode, Plan, Reason, Selection
from mlctl.types.diagnostic import Diagnostic, Severity, SourceRange
from mlctl.types.estimate import Estimate, Repriced
from mlctl.types.state import Gate, Held
from mlctl.types.value import Json, Unknown

_UNKNOWN = "$unknown"  # {"$unknown": SOURCE} is a value that only apply will know
_PLAIN = "$plain"  # {"$plain": {...}} is a mapping that happens to hold one of these two names


def plan_json(plan: Plan) -> dict[str, Any]:
    """A whole plan."""
    return {
        "changes": [change_json(change) for change in plan.changes],
        "lineage": plan.lineage,
        "serial": plan.serial,
        "project_digest": plan.project_digest,
        "selection": selection_json(plan.selection),
        "environment": plan.environment,
        "held": None if plan.held is None else asdict(plan.held),
    }


def plan_of(stored: Mapping[str, Any]) -> Plan:
    """Read a plan. Raises KeyError, TypeError or ValueError when it is not one."""
    held = stored["held"]
    return Plan(
        changes=tuple(change_of(item) for item in stored["changes"]),
        lineage=stored["lineage"],
        serial=stored["serial"],
        project_digest=stored["project_digest"],
        selection=selection_of(stored["selection"]),
        environment=stored["environment"],
        held=None if held is None else Held(**held),
    )


def told_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """A warning that was told with a plan."""
    return {name: value for name, value in asdict(diagnostic).items() if name != "path"}


def told_of(stored: Mapping[str, Any]) -> Diagnostic:
    """Read one. Raises KeyError, TypeError or ValueError."""
    where = None if stored["where"] is None else SourceRange(**stored["where"])
    texts = {name: stored[name] for name in ("code", "summary", "why", "fix", "address")}
    return Diagnostic(**texts, severity=Severity(stored["severity"]), where=where)


def selection_json(selection: Selection) -> dict[str, Any]:
    """What a plan was asked to look at."""
    return {
        "targets": [str(item) for item in selection.targets],
        "exclude": [str(item) for item in selection.exclude],
        "replace": [str(item) for item in selection.replace],
        "mode": selection.mode,
        "refresh": selection.refresh,
        "unattended": selection.unattended,
    }


def selection_of(stored: Mapping[str, Any]) -> Selection:
    """Read a selection. Raises KeyError, TypeError or ValueError."""
    return Selection(
        targets=tuple(Address.parse(item) for item in stored["targets"]),
        exclude=tuple(Address.parse(item) for item in stored["exclude"]),
        replace=tuple(Address.parse(item) for item in stored["replace"]),
        mode=Mode(stored["mode"]),
        refresh=stored["refresh"],
        unattended=stored["unattended"],
    )


def change_json(change: Change) -> dict[str, Any]:
    """One change. What has its default is left out, so that a plan of many unchanged resources stays short."""
    stored: dict[str, Any] = {
        "action": change.action,
        "key": str(change.key),
        "reason": change.reason,
        "fields": [_field_json(item) for item in change.fields],
        "detail": change.detail,
        "field_class": change.field_class,
        "after": sorted(str(item) for item in change.after),
        "gate": None if change.gate is None else asdict(change.gate),
        "blocked_by": None if change.blocked_by is None else str(change.blocked_by),
        "conditional": change.conditional,
        "drift": change.drift,
        "moved_from": None if change.moved_from is None else str(change.moved_from),
        "waits": change.waits,
        "estimate": None if change.estimate is None else change.estimate.to_json(),
        "repriced": [item.to_json() for item in change.repriced],
    }
    short = {name: value for name, value in stored.items() if value not in (None, [], "", False)}
    return short if change.key_known else {**short, "key_known": False}


def change_of(stored: Mapping[str, Any]) -> Change:
    """Read a change. Raises KeyError, TypeError or ValueError."""
    gate, field_class, estimate = stored.get("gate"), stored.get("field_class"), stored.get("estimate")
    return Change(
        action=Action(stored["action"]),
        key=ObjectKey.parse(stored["key"]),
        reason=Reason(stored["reason"]),
        fields=tuple(_field_of(item) for item in stored.get("fields", ())),
        detail=stored.get("detail", ""),
        field_class=None if field_class is None else FieldClass(field_class),
        after=frozenset(Address.parse(item) for item in stored.get("after", ())),
        gate=None if gate is None else Gate.from_json(gate),
        blocked_by=_address(stored.get("blocked_by")),
        key_known=stored.get("key_known", True),
        conditional=stored.get("conditional", False),
        drift=stored.get("drift", False),
        moved_from=_address(stored.get("moved_from")),
        waits=stored.get("waits", ""),
        estimate=None if estimate is None else Estimate.from_json(estimate),
        repriced=tuple(Repriced.from_json(item) for item in stored.get("repriced", ())),
    )


def _field_json(item: FieldChange) -> dict[str, Any]:
    stored = {
        "path": item.path,
        "old": _value_json(item.old),
        "new": _value_json(item.new),
        "observed": _value_json(item.observed),
        "field_class": item.field_class,
    }
    return {name: value for name, value in stored.items() if value is not None}


def _field_of(stored: Mapping[str, Any]) -> FieldChange:
    field_class = stored.get("field_class")
    return FieldChange(
        stored["path"],
        _value_of(stored.get("old")),
        _value_of(stored.get("new")),
        _value_of(stored.get("observed")),
        None if field_class is None else FieldClass(field_class),
    )


def _value_json(value: Json | Unknown) -> Json:
    if isinstance(value, Unknown):
        return {_UNKNOWN: value.source}
    if isinstance(value, Mapping):
        plain = {name: _value_json(item) for name, item in value.items()}
        return {_PLAIN: plain} if plain.keys() & {_UNKNOWN, _PLAIN} else plain
    return [_value_json(item) for item in value] if isinstance(value, list | tuple) else value


def _value_of(stored: Json) -> Json | Unknown:
    if isinstance(stored, dict):
        if stored.keys() == {_UNKNOWN}:
            if not isinstance(source := stored[_UNKNOWN], str):
                raise TypeError(f"the source of what is not known yet is {source!r:.40}, which is no text")
            return Unknown(source)
        inner = stored[_PLAIN] if stored.keys() == {_PLAIN} else stored
        if not isinstance(inner, dict):
            raise TypeError(f"{inner!r:.40} stands where a mapping should")
        return {name: _value_of(item) for name, item in inner.items()}
    return [_value_of(item) for item in stored] if isinstance(stored, list) else stored


def _address(text: str | None) -> Address | None:
    return None if text is None else Address.parse(text)
