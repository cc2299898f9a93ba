"""What has to happen to one resource, and why. The planner asks with what it knows, apply asks again with everything known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mlctl.engine.attempts import PART
from mlctl.engine.ignored import as_recorded, told
from mlctl.engine.ledger import Ledger
from mlctl.engine.protection import PREVENT_DESTROY, protection_change, wanted_protection
from mlctl.engine.secrecy import compared, resealed, with_rotations
from mlctl.provider import (
    Condition,
    Context,
    Desired,
    Family,
    Input,
    Kind,
    Observed,
    diff_fields,
    metadata_fields,
    metadata_settings,
)
from mlctl.spec import asking
from mlctl.types.address import ObjectKey
from mlctl.types.change import Action, Change, FieldChange, FieldClass, Reason
from mlctl.types.state import Pending, Record
from mlctl.types.value import Unknown, contains_unknown


def decide(
    kind: Kind, desired: Desired, ledger: Ledger, ctx: Context, *, refresh: bool = True, requested: bool = False
) -> Change:
    """Compare desired, recorded and observed. `refresh=False` takes the record's word for a finished object.

    With `requested`, what is there is made anew whatever it looks like.
    """
    address = desired.address
    current = ledger.current(address)
    if isinstance(desired.identity, Unknown):
        return _not_known(kind, desired, current, requested=requested)
    key = desired.key
    prior = ledger.get(key)
    if prior is None:
        if current is None:
            return Change(Action.CREATE, key, Reason.NEW, field_class=kind.field_class)
        fields = explain(kind, desired, current)
        written = "spec" not in desired.parts or desired.parts["spec"] != current.parts.get("spec")
        reason = Reason.REQUESTED if requested and not fields else _reason(fields, written=written)
        return Change(_again(kind, Action.REPLACE), key, reason, fields, field_class=gravest(kind, fields))
    if requested:
        return Change(_again(kind, Action.REPLACE), key, Reason.REQUESTED, field_class=kind.field_class)
    chosen = current is not None and current.key == key
    seen = compared(asking.read(kind, prior, ctx), ctx.secrets) if refresh or not prior.complete else Observed()
    if not prior.complete:
        if seen is not None and seen.condition is Condition.RESUMABLE:
            asking.diff(kind, desired, prior, seen)  # a kind may refuse to go on from what is there
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


def _not_known(kind: Kind, desired: Desired, current: Record | None, *, requested: bool) -> Change:
    """The change of what cannot have its key yet, because an input is still to come."""
    fields = explain(kind, desired, current)
    reason = Reason.NEW if current is None else Reason.REQUESTED if requested else Reason.INPUT_UNKNOWN
    return Change(
        Action.CREATE if current is None else _again(kind, Action.REPLACE),
        ObjectKey(desired.address, ""),
        reason,
        fields,
        field_class=gravest(kind, fields),
        key_known=False,
        conditional=current is not None and not requested,
    )


def gravest(kind: Kind, fields: Iterable[FieldChange]) -> FieldClass:
    """The class of a change: the gravest among its fields; what is not marked, content and inputs are of the kind's own."""
    classes = (item.field_class or kind.field_class for item in fields)
    return max(classes, key=lambda item: item.gravity, default=kind.field_class)


def explain(kind: Kind, desired: Desired, current: Record | None) -> tuple[FieldChange, ...]:
    """What differs between what is asked for and the object an address has now: fields, inputs and content."""
    if current is None:
        return ()
    return (
        *_classed(kind, told(diff_fields(desired, current, Observed()), desired.spec.lifecycle.ignore_changes)),
        *_input_changes(desired, current),
        *_content_changes(kind, desired, current),
    )


def _compare(kind: Kind, desired: Desired, prior: Record, seen: Observed, *, chosen: bool) -> Change:
    """The change of a finished object that is there and works."""
    fields = differences(kind, desired, prior, seen)
    if kind.family is not Family.BUILD:  # the identity of a build holds its inputs already
        fields += _input_changes(desired, prior)
    if not fields:
        reason = Reason.SAME if chosen else Reason.CACHED
        return Change(Action.NOOP, prior.key, reason, detail=seen.note, gate=prior.gate)
    if all(item.field_class is FieldClass.METADATA and item.observed == item.old for item in fields):
        return Change(
            Action.UPDATE, prior.key, Reason.METADATA, fields, field_class=FieldClass.METADATA, gate=prior.gate
        )
    drifted = any(item.observed != item.old for item in fields)
    settled = any(item.observed != item.old or not contains_unknown(item.new) for item in fields)
    return Change(
        Action.UPDATE,
        prior.key,
        Reason.DRIFTED if drifted else _reason(fields),
        fields,
        field_class=gravest(kind, fields),
        conditional=not settled,
        drift=drifted,
        gate=prior.gate,
    )


def differences(kind: Kind, desired: Desired, prior: Record, seen: Observed) -> tuple[FieldChange, ...]:
    """What differs in the fields of one object, without what does not count: ignored fields, and names under the same key.

    A build of the same key was made from the same content. When a field that names an input has another text, or an output
    of the input another value, then the input is the same under another name or in another place. And where a build was
    noted stays where it was noted.
    """
    ignored = desired.spec.lifecycle.ignore_changes
    fields = _classed(kind, told(asking.diff(kind, desired, prior, seen), ignored))
    protection = protection_change(desired.spec, prior)
    fields = tuple(item for item in fields if item.path != PREVENT_DESTROY) + protection
    if kind.family is not Family.BUILD:
        return fields
    noted = tuple(f"project_{name}" for name in metadata_settings(kind))
    return tuple(
        item
        for item in fields
        if item.observed != item.old
        or not (item.path.startswith(noted) or any(_within(item.path, name) for name in desired.named))
    )


def _within(path: str, field: str) -> bool:
    """Whether a path is of a field or of what is in it, or of what the field is in: an empty mapping is a leaf."""
    return path == field or path.startswith(f"{field}.") or field.startswith(f"{path}.")


def _classed(kind: Kind, fields: Iterable[FieldChange]) -> tuple[FieldChange, ...]:
    """Settings that only say where an object is noted are metadata, and so are rotated secrets of a build."""
    noted = tuple(f"project_{name}" for name in metadata_settings(kind))
    return tuple(
        replace(item, field_class=FieldClass.METADATA) if noted and item.path.startswith(noted) else item
        for item in with_rotations(kind, fields)
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
    told = (
        "an earlier apply was cut off" if prior.failure is None else f"an earlier apply failed: {prior.failure.summary}"
    )
    return Change(action, key, Reason.UNFINISHED, detail=detail or told, field_class=kind.field_class)


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
        name
        for name in desired.parts.keys() | current.parts.keys()
        if name not in ("spec", PART) and not name.startswith("input:")
    }
    pairs = ((name, current.parts.get(name), desired.parts.get(name)) for name in sorted(names))
    return tuple(FieldChange(name, old, new, old) for name, old, new in pairs if old != new)


def _reason(fields: Iterable[FieldChange], *, written: bool = True) -> Reason:
    """The reason that says most: a known field, then content, then an input, then an input still to come.

    Where nothing else is `written` in the block, a field that changed holds what an input gave.
    """
    fields = tuple(fields)
    known = [item for item in fields if not contains_unknown(item.new)]
    if written and any(":" not in item.path and item.field_class is not FieldClass.METADATA for item in known):
        return Reason.SPEC
    if any(":" in item.path and not item.path.startswith("input:") for item in known):
        return Reason.CONTENT
    if any(item.path.startswith("input:") for item in known):
        return Reason.INPUT
    return Reason.INPUT_UNKNOWN if fields else Reason.SPEC


def with_metadata(kind: Kind, record: Record, desired: Desired) -> Record:
    """The record with the metadata of the project put in; nothing else of it changes."""
    names = metadata_fields(kind.spec)
    kept = {name: resealed(value, desired.values.get(name)) for name, value in record.spec.items() if name not in names}
    spec = {**kept, **{name: value for name, value in desired.values.items() if name in names}}
    nested = [
        item.path
        for item in asking.diff(kind, desired, record, Observed())
        if item.field_class is FieldClass.METADATA and item.path.partition(".")[0] not in names
    ]
    spec = as_recorded(spec, spec, desired.values, nested)[0]
    return replace(
        record,
        spec={name: value for name, value in spec.items() if value != {} or name in desired.values},
        protected=wanted_protection(desired.spec, record),
    )
