"""What one address asks for and what has to happen to it. Plan and apply ask here, the one with what it knows, the other with all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from mlctl.engine import attempts, failures
from mlctl.engine.decide import decide
from mlctl.engine.desired import desire
from mlctl.engine.ledger import Ledger
from mlctl.provider import Context, Desired, Family, Importable, Input, used_by_definition
from mlctl.spec.project import Project
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, EdgeKind, Reason
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Pending, Record
from mlctl.types.value import Unknown

IMPORTED_AS = "imported_as"  # in the provenance of an object: the id under which its tool knew it before


@dataclass(frozen=True)
class Asked:
    """What a plan is asked for beyond the project: objects to make anew, builds on offer from elsewhere, and by whom."""

    replace: Collection[Address] = frozenset()
    offered: Mapping[ObjectKey, Record] = field(default_factory=dict)
    refresh: bool = True
    unattended: bool = False


def choose(
    project: Project,
    address: Address,
    inputs: Mapping[Address, Input | Unknown],
    ledger: Ledger,
    ctx: Context,
    asked: Asked,
) -> tuple[Desired, Change]:
    """What an address asks for, and its change. Raises MlctlError."""
    resource = project.resources[address]
    kind, anew = resource.kind, address in asked.replace
    desired = desire(kind, address, resource.spec, inputs, ctx, ledger.current(address))
    desired = replace(desired, blocks=project)
    if kind.family is Family.BUILD and address not in ctx.pinned:
        desired = attempts.newest(desired, ledger.at(address), anew=anew)
    change = _taken_over(project, desired, ledger, asked)
    if change is None:
        # a build of another attempt, or of another key, is anew already
        change = decide(kind, desired, ledger, ctx, refresh=asked.refresh, requested=anew)
        if asked.unattended and change.effective and change.action is not Action.ADOPT and change.key_known:
            waits = failures.waits(ledger.get(change.key), desired)
            change = replace(change, waits=waits, reason=Reason.FAILED_BEFORE) if waits else change
    return desired, replace(change, after=frozenset(project.edges[address]))


def inputs_of(
    project: Project, address: Address, live: Mapping[Address, Input | Unknown]
) -> dict[Address, Input | Unknown]:
    """The dependencies whose outputs an address uses, as they are now."""
    by_definition = used_by_definition(project.resources[address].kind)
    return {
        found: _by_definition(live[found]) if found.section in by_definition else live[found]
        for found, kinds in project.edges[address].items()
        if EdgeKind.INPUT in kinds
    }


def _by_definition(value: Input | Unknown) -> Input | Unknown:
    """An input that differs from an earlier one only if it is defined in another way, or is another object."""
    definition = None if isinstance(value, Unknown) else value.outputs.get("definition")
    if isinstance(value, Unknown) or not isinstance(definition, str):
        return value
    _, at, which = value.digest.partition("@")
    return replace(value, digest=f"{definition}{at}{which}")


def waits_for(project: Project, address: Address) -> tuple[Address, ...]:
    """What an address waits for without using it."""
    return tuple(sorted(found for found, kinds in project.edges[address].items() if EdgeKind.INPUT not in kinds))


def importing(project: Project, address: Address, ledger: Ledger) -> str | None:
    """The id of the object to take over for an address that has none yet, or whose taking over came to no end.

    One that was cut off goes on, whoever comes next; one that was refused is tried again when it is asked for.
    """
    asked = project.imports.get(address)
    if asked is not None:
        return asked if ledger.made(address) is None else None
    current = ledger.current(address)
    if current is None or current.pending is not Pending.APPLY or current.outputs or current.failure is not None:
        return None
    begun = current.provenance.get(IMPORTED_AS)
    return None if begun is None else str(begun)


def _taken_over(project: Project, desired: Desired, ledger: Ledger, asked: Asked) -> Change | None:
    """The change of what exists already, in its tool or in another environment, and only has to be taken over."""
    address, kind = desired.address, project.resources[desired.address].kind
    known = not isinstance(desired.identity, Unknown)
    key = desired.key if known else ObjectKey(address, "")
    id = importing(project, address, ledger)
    begun = ledger.current(address)
    if address not in project.imports and begun is not None and known and begun.key != key:
        id = None  # what was cut off was the taking over of something else than is asked for now
    if id is not None:
        if not isinstance(kind, Importable):
            raise MlctlError.of(
                "import.not-supported",
                f"{address} cannot be imported",
                f"the kind of `{address.section}` cannot take over objects that exist",
                "take it out of `import:`; apply will make it",
                address=str(address),
            )
        return Change(
            Action.IMPORT, key, Reason.IMPORTED, detail=f"as `{id}`", field_class=kind.field_class, key_known=known
        )
    record = ledger.get(key) if known else None
    if known and key in asked.offered and (record is None or not record.complete):
        return Change(Action.IMPORT, key, Reason.PROMOTED, field_class=kind.field_class, gate=asked.offered[key].gate)
    return None
