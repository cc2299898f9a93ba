"""Where values of a kind or a tool become something to keep or to tell: secrets are sealed in the one and left out of the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mlctl.provider import Family, Kind, Observed, Outcome
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.event import Progress
from mlctl.types.secret import Secrets, is_rotation
from mlctl.types.state import Gate
from mlctl.types.value import Json


def kept(outcome: Outcome, secrets: Secrets) -> Outcome:
    """What the state keeps of an outcome: a dependent that needs the value gets it by what is sealed in its place."""
    if not secrets:
        return outcome
    return Outcome(secrets.masked(outcome.id), secrets.masked(dict(outcome.outputs)), _gate(outcome.gate, secrets))


def compared(seen: Observed | None, secrets: Secrets) -> Observed | None:
    """What was observed, in the form in which it was recorded."""
    if seen is None or not secrets:
        return seen
    told = {"detail": secrets.hidden(seen.detail), "note": secrets.hidden(seen.note)}
    return replace(seen, fields=secrets.masked(dict(seen.fields)), **told)


def with_rotations(kind: Kind, fields: Iterable[FieldChange]) -> tuple[FieldChange, ...]:
    """Rotated secrets of a build are metadata: a credential opens the way to data and decides nothing of what is made of it."""
    if kind.family is not Family.BUILD:
        return tuple(fields)
    return tuple(
        replace(item, field_class=FieldClass.METADATA) if is_rotation(item.old, item.new) else item for item in fields
    )


def resealed(recorded: Json, desired: Any) -> Json:
    """A recorded tree with the seals of another where the two differ by a rotation alone."""
    if isinstance(recorded, Mapping) and isinstance(desired, Mapping):
        return {name: resealed(item, desired.get(name)) for name, item in recorded.items()}
    return desired if is_rotation(recorded, desired) else recorded


def told(diagnostic: Diagnostic, secrets: Secrets) -> Diagnostic:
    """A diagnostic without secrets."""
    if not secrets:
        return diagnostic
    texts = {name: secrets.hidden(getattr(diagnostic, name)) for name in ("summary", "why", "fix")}
    return replace(diagnostic, **texts)


def progress(item: Progress, secrets: Secrets) -> Progress:
    """Progress without secrets."""
    return replace(item, message=secrets.hidden(item.message)) if secrets else item


def _gate(gate: Gate | None, secrets: Secrets) -> Gate | None:
    if gate is None:
        return None
    return replace(gate, summary=secrets.hidden(gate.summary), details=tuple(secrets.hidden(list(gate.details))))
