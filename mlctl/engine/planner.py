"""From project, state and a look at the real objects to a plan. Pure but for the looking."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from dataclasses import replace

from mlctl.engine.decide import decide
from mlctl.engine.desired import as_input, desire
from mlctl.engine.ledger import Ledger
from mlctl.provider import Context, Family, Input
from mlctl.spec.project import Project
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, EdgeKind, Plan, Reason
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.state import Record
from mlctl.types.value import Unknown

# Builds that the project no longer asks for are kept, so that going back to them costs nothing; beyond this many they go.
RETAINED_BUILDS = 5


def plan(
    project: Project, ledger: Ledger, ctx: Context, *, targets: Collection[Address] = (), refresh: bool = True
) -> Plan:
    """The changes that would make the state match the project, dependencies first and then removals, dependents first.

    Raises MlctlError for an unknown target, and whatever a kind raises when it cannot be asked.
    """
    chosen = closure(project, targets) if targets else set(project.order)
    live: dict[Address, Input | Unknown] = {}
    changes: list[Change] = []
    held: dict[Address, Address] = {}  # what a failed gate holds back, and which gate
    for address in project.order:
        if address not in chosen:
            continue
        change, live[address] = _step(project, address, live, ledger, ctx, refresh)
        gates = [held[found] for found in sorted(project.edges[address].keys() & held.keys())]
        if gates and change.effective:
            change = replace(change, blocked_by=gates[0])
            held[address] = gates[0]
        elif _stays(change) and change.gate is not None and not change.gate.passed:
            held[address] = address
        changes.append(change)
    settled = [change for change in changes if change.key_known and change.blocked_by is None]
    # what is not sure to be made must not cost what is there
    wanted: dict[Address, ObjectKey | None] = {
        **dict.fromkeys(chosen),
        **{change.address: change.key for change in settled},
    }
    moving = {key for change in changes if change.effective for key in _made_anew(change, ledger)}
    removals = _removals(doomed(project, ledger, wanted, targets, moving), changes, project, ledger)
    # a replacement is one line for the reader: its create half carries the removal of the old object
    replaced = {change.address for change in changes if change.action is Action.REPLACE}
    listed = (*changes, *(item for item in removals if item.address not in replaced))
    return Plan(listed, ledger.lineage, ledger.serial, project.digest, tuple(sorted(targets)))


def destruction(project: Project, ledger: Ledger, targets: Collection[Address] = ()) -> Plan:
    """The removal of everything in the state, or of some addresses and all that was made with them."""
    records = list(ledger)
    if targets:
        known = {record.key.address for record in records}
        _refuse_unknown(targets, known)
        records = _with_users(ledger, [record for record in records if record.key.address in set(targets)])
    changes = tuple(_removal(record, project, Reason.REQUESTED) for record in ordered_for_removal(ledger, records))
    return Plan(changes, ledger.lineage, ledger.serial, project.digest, tuple(sorted(targets)))


def closure(project: Project, targets: Collection[Address]) -> set[Address]:
    """The targets and everything they depend on. Raises MlctlError for one that is not in the project."""
    _refuse_unknown(targets, project.resources)
    found: set[Address] = set()
    waiting = list(targets)
    while waiting:
        address = waiting.pop()
        if address not in found:
            found.add(address)
            waiting.extend(project.edges[address])
    return found


def downstream(project: Project, addresses: Collection[Address]) -> set[Address]:
    """Addresses and everything that depends on them. Raises MlctlError for one that is not in the project."""
    _refuse_unknown(addresses, project.resources)
    found = set(addresses)
    for address in project.order:
        if found & project.edges[address].keys():
            found.add(address)
    return found


def doomed(
    project: Project,
    ledger: Ledger,
    wanted: dict[Address, ObjectKey | None],
    targets: Collection[Address] = (),
    moving: Collection[ObjectKey] = (),
) -> list[Record]:
    """What the project no longer asks for, dependents first: removed addresses, replaced objects, builds beyond the retained.

    `wanted` is the key asked for at each planned address, None while it is not known. With targets, an address that is
    not planned keeps all it has. What an object that stays was made with stays too, unless that object is `moving`: about
    to be made anew.
    """
    gone: list[Record] = []
    kept: list[Record] = []
    for address in sorted({record.key.address for record in ledger}):
        if address in wanted:
            old, others = _superseded(project, ledger, address, wanted[address])
            gone += old
            kept += others
        elif address not in project.resources and (not targets or address in targets):
            gone += ledger.at(address)
    found = {record.key: record for record in _with_users(ledger, gone, within={record.key for record in kept})}
    users = ledger.users(found)
    leaving = found.keys() | set(moving)
    needed = [key for key in found if users[key] - leaving]
    while needed:
        key = needed.pop()
        if (record := found.pop(key, None)) is not None:
            needed += [use.key for use in record.uses if use.key in found]
    return ordered_for_removal(ledger, found.values())


def ordered_for_removal(ledger: Ledger, records: Iterable[Record]) -> list[Record]:
    """Records so that each comes after those that were made with it; ties by key."""
    waiting = {record.key: record for record in records}
    users = {key: found & waiting.keys() for key, found in ledger.users(waiting).items()}
    ordered: list[Record] = []
    ready = [key for key, found in users.items() if not found]
    heapq.heapify(ready)
    while ready:
        record = waiting.pop(heapq.heappop(ready))
        ordered.append(record)
        for use in record.uses:
            if use.key in waiting and record.key in users[use.key]:
                users[use.key].discard(record.key)
                if not users[use.key]:
                    heapq.heappush(ready, use.key)
    return ordered + [waiting[key] for key in sorted(waiting)]


def _step(
    project: Project,
    address: Address,
    live: dict[Address, Input | Unknown],
    ledger: Ledger,
    ctx: Context,
    refresh: bool,
) -> tuple[Change, Input | Unknown]:
    """The change of one address, and what its dependents will see."""
    resource = project.resources[address]
    edges = project.edges[address]
    inputs = {found: live[found] for found, kinds in edges.items() if EdgeKind.INPUT in kinds}
    desired = desire(resource.kind, address, resource.spec, inputs, ctx)
    change = replace(decide(resource.kind, desired, ledger, ctx, refresh=refresh), after=frozenset(edges))
    record = ledger.get(change.key)
    if record is not None and _stays(change):
        return change, as_input(resource.kind, record)
    return change, Unknown(str(address))


def _stays(change: Change) -> bool:
    """Whether the object stays as it is, with the outputs and the verdict that it has."""
    return change.action is Action.NOOP or change.reason is Reason.METADATA


def _made_anew(change: Change, ledger: Ledger) -> list[ObjectKey]:
    """The objects that a step leaves behind or makes over: the one it names or, while that is not known, all of its address."""
    return [change.key] if change.key_known else [record.key for record in ledger.at(change.address)]


def _superseded(
    project: Project, ledger: Ledger, address: Address, wanted: ObjectKey | None
) -> tuple[list[Record], list[Record]]:
    """Objects of a planned address other than the one asked for: those to remove, and builds worth keeping."""
    if wanted is None:
        return [], []
    others = [record for record in ledger.at(address) if record.key != wanted]
    if project.resources[address].kind.family is not Family.BUILD:
        return others, []
    done = [record for record in others if record.complete]
    return [record for record in others if not record.complete] + done[RETAINED_BUILDS:], done[:RETAINED_BUILDS]


def _with_users(ledger: Ledger, records: list[Record], within: Collection[ObjectKey] | None = None) -> list[Record]:
    """The records, and what was made with them, directly or through others; `within` bounds which of that counts."""
    found = {record.key: record for record in records}
    waiting = list(found)
    while waiting:
        users = {key for keys in ledger.users(waiting).values() for key in keys if within is None or key in within}
        waiting = sorted(users - found.keys())
        found.update({record.key: record for record in map(ledger.get, waiting) if record is not None})
    return list(found.values())


def _removals(records: list[Record], changes: list[Change], project: Project, ledger: Ledger) -> list[Change]:
    """The changes for records to remove, users first. What a gate holds back keeps what it was made with."""
    users = ledger.users(record.key for record in records)
    gates = {change.address: change.blocked_by for change in changes if change.blocked_by is not None}
    stuck = {record.key: gate for address, gate in gates.items() for record in ledger.at(address)}
    removals = []
    for record in records:
        holder = next((stuck[key] for key in sorted(users[record.key]) if key in stuck), None)
        if holder is not None:
            stuck[record.key] = holder
        removals.append(replace(_removal(record, project), blocked_by=holder))
    return removals


def _removal(record: Record, project: Project, reason: Reason | None = None) -> Change:
    if reason is None:
        reason = Reason.SUPERSEDED if record.key.address in project.resources else Reason.REMOVED
    return Change(Action.DELETE, record.key, reason)


def _refuse_unknown(targets: Collection[Address], known: Collection[Address]) -> None:
    for target in sorted(targets):
        if target not in known:
            raise MlctlError.of(
                "plan.unknown-target",
                f"there is no `{target}`",
                "a target names a resource of the project by its address",
                did_you_mean(str(target), map(str, known)),
            )
