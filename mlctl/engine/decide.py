"""What has to happen to one resource, and why. The planner asks with what it knows, apply asks again with everything known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mlctl.engine.ledger import Ledger
from mlctl.provider import Condition, Context, Desired, Family, Input, Kind, Observed, diff_fields, metadata_fields
from mlctl.types.address import ObjectKey
from mlctl.types.change import Action, Change, FieldChange, FieldClass, Reason
from mlctl.types.state import Pending, Record
from mlctl.types.value import Unknown, contains_unknown


def decide(kind: Kind, desired: Desired, ledger: Ledger, ctx: Context, *, refresh: bool = True) -> Change:
    """Compare desired, recorded and observed. `refresh=False` takes the record's word for a finished object."""
    address = desired.address
    current = ledger.current(address)
    if isinstance(desired.identity, Unknown):
        fields = explain(kind, desired, current)
        action = Action.CREATE if current is None else _again(kind, Action.REPLACE)
        reason = Reason.NEW if current is None else Reason.INPUT_UNKNOWN
        return Change(
            action,
            ObjectKey(address, ""),
            reason,
            fields,
            field_class=kind.field_class,
            key_known=False,
            conditional=current is not None,
        )
    key = desired.key
    prior = ledger.get(key)
    if prior is None:
        if current is None:
            return Change(Action.CREATE, key, Reason.NEW, field_class=kind.field_class)
        fields = explain(kind, desired, current)
        return Change(_again(kind, Action.REPLACE), key, _reason(fields), fields, field_class=kind.field_class)
    chosen = current is not None and current.key == key
    seen = kind.read(prior, ctx) if refresh or not prior.complete else Observed()
    if not prior.complete:
        return _unfinished(kind, key, prior, seen)
    if seen is None:
        return Change(
            _again(kind, Action.CREATE),
            key,
            Reason.GONE,
            detail="it is not there any more",
            field_class=kind.field_class,
            drift=True,
        )
    if seen.condition is Condition.BROKEN:
        return Change(
            _again(kind, Action.UPDATE),
            key,
            Reason.BROKEN,
            detail=seen.detail,
            field_class=kind.field_class,
            drift=chosen,  # an object that another has taken over from may well have lost what it shared with it
            gate=prior.gate,
        )
    return _compare(kind, desired, prior, seen, chosen=chosen)


def explain(kind: Kind, desired: Desired, current: Record | None) -> tuple[FieldChange, ...]:
    """What differs between what is asked for and the object an address has now: fields, inputs and content."""
    if current is None:
        return ()
    return (
        *diff_fields(desired, current, Observed()),
        *_input_changes(desired, current),
        *_content_changes(kind, desired, current),
    )


def _compare(kind: Kind, desired: Desired, prior: Record, seen: Observed, *, chosen: bool) -> Change:
    """The change of a finished object that is there and works."""
    fields = tuple(kind.diff(desired, prior, seen))
    if kind.family is not Family.BUILD:  # the identity of a build holds its inputs already
        fields += _input_changes(desired, prior)
    if not fields:
        return Change(Action.NOOP, prior.key, Reason.SAME if chosen else Reason.CACHED, gate=prior.gate)
    if all(item.field_class is FieldClass.METADATA and item.observed == item.old for item in fields):
        return Change(
            Action.UPDATE, prior.key, Reason.METADATA, fields, field_class=FieldClass.METADATA, gate=prior.gate
        )
    drifted = any(item.observed != item.old for item in fields)
    settled = any(item.observed != item.old or not contains_unknown(item.new) for item in fields)
    reason = Reason.DRIFTED if drifted else _reason(fields)
    return Change(
        Action.UPDATE,
        prior.key,
        reason,
        fields,
        field_class=kind.field_class,
        conditional=not settled,
        drift=drifted,
        gate=prior.gate,
    )


def _unfinished(kind: Kind, key: ObjectKey, prior: Record, seen: Observed | None) -> Change:
    """The change of an object whose making, update or removal was cut off."""
    detail = seen.detail if seen is not None else ""
    if seen is not None and prior.pending is Pending.APPLY:
        if seen.condition is Condition.RUNNING:
            return Change(Action.ADOPT, key, Reason.RUNNING, detail=detail, field_class=kind.field_class)
        if seen.condition is Condition.RESUMABLE:
            return Change(Action.RESUME, key, Reason.UNFINISHED, detail=detail, field_class=kind.field_class)
    made = seen is not None and prior.id is not None and prior.pending is Pending.APPLY
    action = _again(kind, Action.UPDATE if made else Action.CREATE)
    return Change(
        action, key, Reason.UNFINISHED, detail=detail or "an earlier apply was cut off", field_class=kind.field_class
    )


def _again(kind: Kind, otherwise: Action) -> Action:
    """A build runs again; anything else is made, updated or replaced."""
    return Action.RUN if kind.family is Family.BUILD else otherwise


def _input_changes(desired: Desired, record: Record) -> tuple[FieldChange, ...]:
    """Dependencies whose outputs are not those that the object was made with. Removed ones show as spec fields."""
    used = {use.key.address: use.digest for use in record.uses}
    changes = []
    for address, value in sorted(desired.inputs.items()):
        now = value.digest if isinstance(value, Input) else value
        was = used.get(address)
        if now != was:
            changes.append(FieldChange(f"input:{address}", was, now, was))
    return tuple(changes)


def _content_changes(kind: Kind, desired: Desired, current: Record) -> tuple[FieldChange, ...]:
    """Files and code that are in the content key and changed, by name."""
    names = {
        name for name in desired.parts.keys() | current.parts.keys() if name != "spec" and not name.startswith("input:")
    }
    pairs = ((name, current.parts.get(name), desired.parts.get(name)) for name in sorted(names))
    return tuple(FieldChange(name, old, new, old) for name, old, new in pairs if old != new)


def _reason(fields: Iterable[FieldChange]) -> Reason:
    """The reason that says most: a known field, then content, then an input, then an input still to come."""
    fields = tuple(fields)
    known = [item for item in fields if not contains_unknown(item.new)]
    if any(":" not in item.path and item.field_class is not FieldClass.METADATA for item in known):
        return Reason.SPEC
    if any(":" in item.path and not item.path.startswith("input:") for item in known):
        return Reason.CONTENT
    if any(item.path.startswith("input:") for item in known):
        return Reason.INPUT
    return Reason.INPUT_UNKNOWN if fields else Reason.SPEC


def with_metadata(kind: Kind, record: Record, desired: Desired) -> Record:
    """The record with the metadata of the project put in; nothing else of it changes."""
    names = metadata_fields(kind.spec)
    kept = {name: value for name, value in record.spec.items() if name not in names}
    return replace(record, spec={**kept, **{name: value for name, value in desired.values.items() if name in names}})
