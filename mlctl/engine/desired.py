"""From a typed spec and what its dependencies gave to what is asked for: values, content key, identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from mlctl.engine.content import content_of
from mlctl.engine.ignored import as_recorded
from mlctl.provider import (
    Context,
    Desired,
    Family,
    Input,
    Kind,
    Spec,
    metadata_settings,
    named_by_address,
)
from mlctl.spec import asking
from mlctl.spec.expressions import substitute
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.leaves import without_metadata
from mlctl.types.state import Record
from mlctl.types.value import Json, Unknown, digest

IDENTITY_LENGTH = 16  # hex digits: 64 bits, far beyond the number of builds an address will ever have


def as_input(kind: Kind, record: Record) -> Input:
    """A made object as its dependents see it.

    One that can be replaced by another with the same outputs differs by identity, and one that its tool knows by its
    address differs by that.
    """
    seen = record.digest
    if kind.family is not Family.BUILD and record.key.identity:
        seen = f"{seen}@{record.key.identity}"
    if named_by_address(kind):
        seen = f"{seen}@{record.key.address}"
    return Input(record.key, record.outputs, seen)


def desire(
    kind: Kind,
    address: Address,
    spec: Spec,
    inputs: Mapping[Address, Input | Unknown],
    ctx: Context,
    recorded: Record | None = None,
) -> Desired:
    """Put references in as far as they are known and compute the identity. Raises MlctlError.

    Fields under `ignore_changes` are as they stand in the object that is `recorded`.
    """
    raw: dict[str, Any] = spec.model_dump(mode="json", exclude_defaults=True)
    settings = {f"project_{name}": dict(ctx.settings.get(name, {})) for name in sorted(kind.settings)}
    values = _substituted(raw, inputs, address)
    if spec.lifecycle.ignore_changes and recorded is not None:
        stands = ctx.secrets.opened(dict(recorded.spec))
        raw, values = as_recorded(raw, values, stands, spec.lifecycle.ignore_changes)
    if values != raw or spec.lifecycle.ignore_changes:
        spec = _retyped(spec, ctx.secrets.opened(values), inputs, address)
    named: frozenset[str] = frozenset()
    parts: dict[str, str | Unknown] = {}
    if kind.family is Family.BUILD:
        parts, named, identity = _content(kind, address, spec, raw, settings, inputs, ctx)
        identity = ctx.pinned.get(address) or identity
    else:
        chosen = {name: values.get(name) for name in sorted(kind.identity)}
        identity = (
            "" if not chosen else _unknown(chosen.values()) or digest(ctx.secrets.hidden(chosen))[:IDENTITY_LENGTH]
        )
    kept = ctx.secrets.masked({**values, **settings})
    return Desired(address, spec, kept, dict(inputs), parts, identity, named)


def _substituted(raw: dict[str, Any], inputs: Mapping[Address, Input | Unknown], address: Address) -> dict[str, Any]:
    """The block with outputs in place of expressions, as far as they are known."""
    outputs = {found: value if isinstance(value, Unknown) else value.outputs for found, value in inputs.items()}
    try:
        values: dict[str, Any] = substitute(raw, outputs)
    except KeyError as error:
        raise MlctlError.of(
            "spec.unknown-output",
            f"there is no output `{error.args[0]}`",
            "the resource exists and has no output of that name",
            "see its outputs with `mlctl show`",
            address=str(address),
        ) from None
    return values


def _retyped(spec: Spec, values: dict[str, Any], inputs: Mapping[Address, Input | Unknown], address: Address) -> Spec:
    """The spec with the values that were put in; as it was written while something is not known."""
    if any(isinstance(value, Unknown) for value in inputs.values()):
        return spec
    try:
        typed = type(spec).model_validate(values)
    except ValidationError as error:
        raise MlctlError.of(
            "spec.bad-output",
            f"an output does not fit where it is used: {error.errors()[0]['msg']}",
            "",
            "",
            address=str(address),
        ) from None
    # `prevent_destroy: false` says more than its default, and only the block as it was written tells them apart
    return typed.model_copy(update={"lifecycle": spec.lifecycle})


def _content(
    kind: Kind,
    address: Address,
    spec: Spec,
    raw: dict[str, Json],
    settings: Mapping[str, Json],
    inputs: Mapping[Address, Input | Unknown],
    ctx: Context,
) -> tuple[dict[str, str | Unknown], frozenset[str], str | Unknown]:
    """What the content key of a build is made of, by name; the fields that only name resources; and the key.

    Effective fields count as they are written, with positions for names (`mlctl.engine.content`), and inputs by digest in
    the order of their positions; those that no field names, such as the ones of `links`, by digest alone. Names are in the
    parts for the reader, and not in the key.
    """
    noted = metadata_settings(kind)
    content = content_of(spec, without_metadata(spec, raw), inputs.keys())
    counted = {name: value for name, value in settings.items() if name.removeprefix("project_") not in noted}
    digests = {found: value if isinstance(value, Unknown) else value.digest for found, value in inputs.items()}
    own = ctx.secrets.hidden(dict(asking.parts(kind, address, spec, ctx)))
    parts: dict[str, str | Unknown] = {"spec": digest([ctx.secrets.hidden(item) for item in (content.values, counted)])}
    parts |= {f"input:{found}": value for found, value in sorted(digests.items())}
    parts |= own
    unknown = _unknown(digests.values())
    if unknown is not None:
        return parts, frozenset(content.named), unknown
    placed = [digests[found] for found in content.inputs]
    others = sorted(str(value) for found, value in digests.items() if found not in content.inputs)
    identity = digest([parts["spec"], placed, others, own])[:IDENTITY_LENGTH]
    return parts, frozenset(content.named), identity


def _unknown(values: Iterable[Any]) -> Unknown | None:
    """The first Unknown among values, if there is one."""
    return next((value for value in values if isinstance(value, Unknown)), None)
