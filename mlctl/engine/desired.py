"""From a typed spec and what its dependencies gave to what is asked for: values, content key, identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mlctl.provider import Context, Desired, Family, Input, Keyed, Kind, Spec, metadata_fields
from mlctl.spec.expressions import substitute
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from mlctl.types.value import Json, Unknown, digest

IDENTITY_LENGTH = 16  # hex digits: 64 bits, far beyond the number of builds an address will ever have


def as_input(kind: Kind, record: Record) -> Input:
    """A made object as its dependents see it. One that can be replaced by another with the same outputs differs by identity."""
    replaceable = kind.family is not Family.BUILD and record.key.identity
    return Input(record.key, record.outputs, f"{record.digest}@{record.key.identity}" if replaceable else record.digest)


def desire(
    kind: Kind, address: Address, spec: Spec, inputs: Mapping[Address, Input | Unknown], ctx: Context
) -> Desired:
    """Put references in as far as they are known and compute the identity. Raises MlctlError."""
    raw: dict[str, Any] = spec.model_dump(mode="json", exclude_defaults=True)
    settings = {f"project_{name}": dict(ctx.settings.get(name, {})) for name in sorted(kind.settings)}
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
    if values != raw and not any(isinstance(value, Unknown) for value in inputs.values()):
        try:
            spec = type(spec).model_validate(values)
        except ValidationError as error:
            raise MlctlError.of(
                "spec.bad-output",
                f"an output does not fit where it is used: {error.errors()[0]['msg']}",
                "",
                "",
                address=str(address),
            ) from None
    parts: dict[str, str | Unknown] = {}
    if kind.family is Family.BUILD:
        parts = _parts(kind, spec, raw, settings, inputs, ctx)
        identity = _unknown(parts.values()) or digest(parts)[:IDENTITY_LENGTH]
    else:
        named = {name: values.get(name) for name in sorted(kind.identity)}
        identity = "" if not named else _unknown(named.values()) or digest(named)[:IDENTITY_LENGTH]
    return Desired(address, spec, {**values, **settings}, dict(inputs), parts, identity)


def _parts(
    kind: Kind,
    spec: Spec,
    raw: Mapping[str, Json],
    settings: Mapping[str, Json],
    inputs: Mapping[Address, Input | Unknown],
    ctx: Context,
) -> dict[str, str | Unknown]:
    """What the content key of a build is made of: effective fields, inputs by digest, and what the kind adds.

    References stand in it as they are written, since the digest of the input says what is behind them.
    """
    metadata = metadata_fields(type(spec))
    parts: dict[str, str | Unknown] = {
        "spec": digest([{name: value for name, value in raw.items() if name not in metadata}, settings])
    }
    for address, value in sorted(inputs.items()):
        parts[f"input:{address}"] = value if isinstance(value, Unknown) else value.digest
    if isinstance(kind, Keyed):
        parts.update(kind.parts(spec, ctx))
    return parts


def _unknown(values: Any) -> Unknown | None:
    """The first Unknown among values, if there is one."""
    return next((value for value in values if isinstance(value, Unknown)), None)
