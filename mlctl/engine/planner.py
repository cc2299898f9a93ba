"""From project, state and a look at the real objects to a plan. Pure but for the looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mlctl.engine import protection, refresh
from mlctl.engine.choice import Asked, choose, inputs_of
from mlctl.engine.desired import as_input
from mlctl.engine.estimating import Foresight
from mlctl.engine.ledger import Ledger
from mlctl.engine.moves import Moves, moves
from mlctl.engine.removal import RETAINED_BUILDS, doomed, ordered_for_removal, with_used, with_users
from mlctl.engine.selection import Scope, closure, downstream, named, scope
from mlctl.provider import Context, Desired, Input
from mlctl.spec.project import Project
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, FieldClass, Mode, Plan, Reason, Selection
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from mlctl.types.value import Unknown

__all__ = ["RETAINED_BUILDS", "closure", "destruction", "doomed", "downstream", "ordered_for_removal", "plan"]

_EVERYTHING = Selection()
_NOTHING_OFFERED: Mapping[ObjectKey, Record] = {}


@dataclass
class _Planning:
    """A plan under way: what is looked at, what its dependents see of each address, and what a gate holds back."""

    project: Project
    ledger: Ledger
    ctx: Context
    asked: Asked
    moved: Moves
    foresight: Foresight
    live: dict[Address, Input | Unknown] = field(default_factory=dict)
    held: dict[Address, Address] = field(default_factory=dict)  # by the gate that holds it back
    changes: list[Change] = field(default_factory=list)


def plan(
    project: Project,
    ledger: Ledger,
    ctx: Context,
    selection: Selection = _EVERYTHING,
    *,
    offered: Mapping[ObjectKey, Record] = _NOTHING_OFFERED,
) -> Plan:
    """The changes that would make the state match the project, dependencies first and then removals, dependents first.

    `offered` are finished builds of another environment: one that is asked for is taken over instead of made. Raises
    MlctlError for an unknown target or a protected object, and whatever a kind raises when it cannot be asked.
    """
    looked = scope(project, ledger, selection)
    moved = moves(project, ledger)
    seen = moved.applied(ledger)
    ctx = replace(ctx, origins=seen.origins)
    if selection.mode is Mode.REFRESH_ONLY:
        changes = refresh.drift(project, ledger, replace(ctx, origins=ledger.origins), looked.chosen)
        return Plan(changes, ledger.lineage, ledger.serial, project.digest, selection, ctx.environment, ledger.held)
    asked = Asked(looked.replace, offered, selection.refresh, selection.unattended)
    planning = _Planning(project, seen, ctx, asked, moved, Foresight(seen))
    for address in project.order:
        if address in looked.chosen:
            planning.changes.append(_step(planning, address))
    listed = (*planning.changes, *_removals(planning, looked))
    return Plan(listed, ledger.lineage, ledger.serial, project.digest, selection, ctx.environment, ledger.held)


def destruction(project: Project, ledger: Ledger, selection: Selection = _EVERYTHING) -> Plan:
    """The removal of everything in the state, or of some addresses and all that was made with them.

    What is excluded stays, with all it was made with. Raises MlctlError for an unknown target or a protected object.
    """
    records = list(ledger)
    known = ledger.addresses()
    if selection.targets:
        targets = named(selection.targets, known)
        records = with_users(ledger, [record for record in records if record.key.address in targets])
    if selection.exclude:
        excluded = named(selection.exclude, known)
        stays = with_used(ledger, [record for record in ledger if record.key.address in excluded])
        records = [record for record in records if record.key not in stays]
    protection.refuse(records)
    changes = tuple(_removal(record, project, Reason.REQUESTED) for record in ordered_for_removal(ledger, records))
    mode = replace(selection, mode=Mode.DESTROY)
    return Plan(changes, ledger.lineage, ledger.serial, project.digest, mode, project.environment, ledger.held)


def _foreseen(planning: _Planning, address: Address, desired: Desired, change: Change) -> Change:
    """The change with what it would take. Raises MlctlError, with the place, for what cannot be done."""
    project = planning.project
    try:
        return planning.foresight.of(change, project.resources[address].kind, desired, planning.ctx)
    except MlctlError as error:
        raise MlctlError([project.located(address, item) for item in error.diagnostics], error.exit_code) from None


def _step(planning: _Planning, address: Address) -> Change:
    """The change of one address; notes what its dependents will see, and whether a gate holds it back."""
    project, ledger, live, held = planning.project, planning.ledger, planning.live, planning.held
    desired, change = choose(project, address, inputs_of(project, address, live), ledger, planning.ctx, planning.asked)
    change = _foreseen(planning, address, desired, _with_move(planning, change))
    record = ledger.get(change.key)
    offered = planning.asked.offered.get(change.key) if change.reason is Reason.PROMOTED else None
    found = offered or (record if _stays(change) else None)
    kind = project.resources[address].kind
    live[address] = as_input(kind, found) if found is not None else Unknown(str(address))
    gates = [held[other] for other in sorted(project.edges[address].keys() & held.keys())]
    if gates:
        held[address] = gates[0]
        return replace(change, blocked_by=gates[0]) if change.effective else change
    if found is not None and change.gate is not None and not change.gate.open:
        held[address] = address
    return change


def _with_move(planning: _Planning, change: Change) -> Change:
    """The change with the address that the object had before. A move is a change, even when it is the only one."""
    if (source := planning.moved.again.get(change.address)) is not None:
        why = "its tool knows it by its address: it is made anew, and the old one goes"
        return replace(change, moved_from=source, detail=change.detail or why)
    source = planning.moved.sources.get(change.address)
    if source is None:
        return change
    if change.effective:
        return replace(change, moved_from=source)
    return replace(
        change, action=Action.UPDATE, reason=Reason.MOVED, moved_from=source, field_class=FieldClass.METADATA
    )


def _stays(change: Change) -> bool:
    """Whether the object stays as it is, with the outputs and the verdict that it has."""
    return change.action is Action.NOOP or change.reason in (Reason.METADATA, Reason.MOVED)


def _removals(planning: _Planning, looked: Scope) -> list[Change]:
    """The removals that a plan lists. A replacement is one line for the reader: its create half carries that of the old object."""
    project, ledger, changes = planning.project, planning.ledger, planning.changes
    settled = [change for change in changes if change.key_known and change.blocked_by is None]
    # what is not sure to be made must not cost what is there
    wanted: dict[Address, ObjectKey | None] = {
        **dict.fromkeys(looked.chosen),
        **{change.address: change.key for change in settled},
    }
    moving = {key for change in changes if change.effective for key in _made_anew(change, ledger)}
    records = doomed(project, ledger, wanted, looked.gone, moving)
    _refuse_protected(records, changes, ledger)
    replaced = {change.address for change in changes if change.action is Action.REPLACE}
    return [item for item in _held_removals(records, changes, project, ledger) if item.address not in replaced]


def _refuse_protected(records: list[Record], changes: list[Change], ledger: Ledger) -> None:
    """Raise MlctlError when a plan would remove, or remove and make again, what is protected."""
    again = [
        record
        for change in changes
        if change.action is Action.REPLACE and change.key_known and (record := ledger.get(change.key)) is not None
    ]
    protection.refuse({record.key: record for record in (*records, *again)}.values())


def _made_anew(change: Change, ledger: Ledger) -> list[ObjectKey]:
    """The objects that a step leaves behind or makes over: the one it names or, while that is not known, all of its address."""
    return [change.key] if change.key_known else [record.key for record in ledger.at(change.address)]


def _held_removals(records: list[Record], changes: list[Change], project: Project, ledger: Ledger) -> list[Change]:
    """The changes for records to remove, users first. What a gate holds back keeps what it was made with, and so may what
    is only made anew if an input turns out to change."""
    users = ledger.users(record.key for record in records)
    gates = {change.address: change.blocked_by for change in changes if change.blocked_by is not None}
    stuck = {record.key: gate for address, gate in gates.items() for record in ledger.at(address)}
    unsure = {key for change in changes if change.conditional for key in _made_anew(change, ledger)}
    removals = []
    for record in records:
        if users[record.key] & unsure:
            unsure.add(record.key)
        holder = next((stuck[key] for key in sorted(users[record.key]) if key in stuck), None)
        if holder is not None:
            stuck[record.key] = holder
        removals.append(replace(_removal(record, project), blocked_by=holder, conditional=record.key in unsure))
    return removals


def _removal(record: Record, project: Project, reason: Reason | None = None) -> Change:
    if reason is None:
        reason = Reason.SUPERSEDED if record.key.address in project.resources else Reason.REMOVED
    return Change(Action.DELETE, record.key, reason)
