"""`lifecycle: {prevent_destroy: true}`: kept in the state, so that taking a block away does not take its protection away."""

from __future__ import annotations

from collections.abc import Iterable

from mlctl.provider import Spec
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError
from mlctl.types.state import Record

PREVENT_DESTROY = "lifecycle.prevent_destroy"


def wanted_protection(spec: Spec, recorded: Record | None) -> bool:
    """Whether an object is to be protected: as the block says or, where it says nothing, as it was recorded."""
    if "prevent_destroy" in spec.lifecycle.model_fields_set:
        return spec.lifecycle.prevent_destroy
    return recorded is not None and recorded.protected


def protection_change(spec: Spec, recorded: Record) -> tuple[FieldChange, ...]:
    """Setting or lifting a protection, as a change of metadata."""
    was, wanted = recorded.protected, wanted_protection(spec, recorded)
    return () if was == wanted else (FieldChange(PREVENT_DESTROY, was, wanted, was, FieldClass.METADATA),)


def refuse(records: Iterable[Record]) -> None:
    """Raise `plan.protected`, exit code 4, for objects that may not be removed or replaced."""
    found = [problem(record) for record in sorted(records, key=lambda record: record.key) if record.protected]
    if found:
        raise MlctlError(found, ExitCode.POLICY)


def problem(record: Record) -> Diagnostic:
    """Why one object stays, and how its protection is lifted."""
    return Diagnostic(
        "plan.protected",
        f"{record.key.address} is protected, and this would remove the object it has",
        "`lifecycle: {prevent_destroy: true}` was applied to it; taking the block away does not lift that",
        "write `lifecycle: {prevent_destroy: false}` in its block and apply that first, or leave it out with `--exclude`",
        address=str(record.key.address),
    )
