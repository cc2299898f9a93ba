"""What is to be removed, and in which order: never an object under one that was made with it."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping

from mlctl.engine.ledger import Ledger
from mlctl.provider import Family
from mlctl.spec.project import Project
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record

# Builds that the project no longer asks for are kept, so that going back to them costs nothing; beyond this many they go.
RETAINED_BUILDS = 5


def doomed(
    project: Project,
    ledger: Ledger,
    wanted: Mapping[Address, ObjectKey | None],
    gone: Collection[Address] = (),
    moving: Collection[ObjectKey] = (),
) -> list[Record]:
    """What is no longer asked for, dependents first: the objects of addresses that are gone, replaced ones, builds beyond the retained.

    `wanted` is the key asked for at each planned address, None while it is not known; an address that is neither planned
    nor gone keeps all it has. What an object that stays was made with stays too, unless that object is `moving`: about to
    be made anew.
    """
    leaving: list[Record] = []
    kept: list[Record] = []
    for address in ledger.addresses():
        if address in wanted:
            old, others = _superseded(project, ledger, address, wanted[address])
            leaving += old
            kept += others
        elif address in gone:
            leaving += ledger.at(address)
    found = {record.key: record for record in with_users(ledger, leaving, within={record.key for record in kept})}
    users = ledger.users(found)
    free = found.keys() | set(moving)
    needed = [key for key in found if users[key] - free]
    while needed:
        key = needed.pop()
        if (record := found.pop(key, None)) is not None:
            needed += [use.key for use in record.uses if use.key in found]
    return ordered_for_removal(ledger, found.values())


def _superseded(
    project: Project, ledger: Ledger, address: Address, wanted: ObjectKey | None
) -> tuple[list[Record], list[Record]]:
    """Objects of a planned address other than the one asked for: those to remove, and builds worth keeping.

    Protected builds are in neither: they stay, whatever happens to the others.
    """
    if wanted is None:
        return [], []
    others = [record for record in ledger.at(address) if record.key != wanted]
    resource = project.resources[address]
    if resource.kind.family is not Family.BUILD:
        return others, []
    retain = resource.spec.lifecycle.retain
    number = RETAINED_BUILDS if retain is None else retain
    loose = [record for record in others if not record.protected]
    done = [record for record in loose if record.complete]
    return [record for record in loose if not record.complete] + done[number:], done[:number]


def with_users(ledger: Ledger, records: list[Record], within: Collection[ObjectKey] | None = None) -> list[Record]:
    """The records, and what was made with them, directly or through others; `within` bounds which of that counts."""
    found = {record.key: record for record in records}
    waiting = list(found)
    while waiting:
        users = {key for keys in ledger.users(waiting).values() for key in keys if within is None or key in within}
        waiting = sorted(users - found.keys())
        found.update({record.key: record for record in map(ledger.get, waiting) if record is not None})
    return list(found.values())


def with_used(ledger: Ledger, records: Iterable[Record]) -> set[ObjectKey]:
    """The keys of records and of all they were made with, directly or through others."""
    found: set[ObjectKey] = set()
    waiting = [record.key for record in records]
    while waiting:
        key = waiting.pop()
        record = ledger.get(key)
        if record is not None and key not in found:
            found.add(key)
            waiting += [use.key for use in record.uses]
    return found


def ordered_for_removal(ledger: Ledger, records: Iterable[Record]) -> list[Record]:
    """Records so that each comes after those that were made with it or waited for it; ties by key.

    What only waited (`Record.after`) gives way where the two orders contradict each other.
    """
    waiting = {record.key: record for record in records}
    users = {key: found & waiting.keys() for key, found in ledger.users(waiting).items()}
    before = {key: set(found) for key, found in users.items()}
    after: dict[ObjectKey, set[ObjectKey]] = {key: set() for key in waiting}  # whom a record lets go
    for record in waiting.values():
        for use in record.uses:
            if use.key in waiting and record.key in users[use.key]:
                after[record.key].add(use.key)
    by_address: dict[Address, list[ObjectKey]] = {}
    for key in waiting:
        by_address.setdefault(key.address, []).append(key)
    for record in waiting.values():
        for key in (key for address in record.after for key in by_address.get(address, ()) if key != record.key):
            after[record.key].add(key)
            before[key].add(record.key)
    ordered: list[Record] = []
    ready = [key for key, found in before.items() if not found]
    heapq.heapify(ready)
    while waiting:
        if not ready:  # a circle: let the users decide alone
            ready = sorted(key for key in waiting if not users[key] & waiting.keys())[:1] or sorted(waiting)[:1]
        key = heapq.heappop(ready)
        if key not in waiting:
            continue
        ordered.append(waiting.pop(key))
        for other in after[key]:
            before[other].discard(key)
            if other in waiting and not before[other]:
                heapq.heappush(ready, other)
    return ordered
