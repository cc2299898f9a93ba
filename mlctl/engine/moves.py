"""`moved:` blocks and `state mv`: an object gets another address and stays what and where it is.

Its key changes, and with it what others say they were made with. `Record.origin` remembers the key it was made under,
since that names its folder and its marks in a tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from mlctl.engine.ledger import Ledger
from mlctl.engine.store import Session
from mlctl.provider import named_by_address
from mlctl.spec.project import Project
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record, Use


@dataclass(frozen=True)
class Moves:
    """What the `moved:` blocks of a project mean for a state. `sources` is where each moved address was before.

    `gone` are the keys that nothing has any more, `changed` the records in their place and those of their users. What its
    tool knows by its address cannot be moved: `again` are the addresses at which such an object has to be made anew.
    """

    sources: Mapping[Address, Address] = field(default_factory=dict)
    gone: tuple[ObjectKey, ...] = ()
    changed: tuple[Record, ...] = ()
    again: Mapping[Address, Address] = field(default_factory=dict)

    def applied(self, ledger: Ledger) -> Ledger:
        """A ledger as it will be once the moves are made; the given one stays as it is."""
        if not self.gone:
            return ledger
        seen = Ledger(ledger.state())
        for key in self.gone:
            seen.drop(key)
        for record in self.changed:
            seen.put(record)
        return seen

    def carry_out(self, session: Session) -> None:
        """Make them in the state, all at once. Raises MlctlError when that cannot be kept."""
        session.exchange(self.gone, self.changed)


def moves(project: Project, ledger: Ledger) -> Moves:
    """The moves that are still to be made. One whose target has objects already was made before, or came too late."""
    if not project.moved:
        return Moves()
    sources: dict[Address, Address] = {}
    again: dict[Address, Address] = {}
    records = {record.key: record for record in ledger}
    stored = {key.address for key in records}
    for source, target in project.moved:
        for address in sorted(found for found in stored if source.covers(found)):
            there = Address(target.section, target.name + address.name[len(source.name) :])
            if there in stored or there not in project.resources or address in project.resources:
                continue
            if named_by_address(project.resources[there].kind):
                again[there] = address
                continue
            records = {record.key: record for record in renamed(list(records.values()), address, there)}
            stored = (stored - {address}) | {there}
            sources[there] = sources.pop(address, address)
    gone = tuple(sorted(record.key for record in ledger if record.key not in records))
    changed = tuple(record for _, record in sorted(records.items()) if ledger.get(record.key) != record)
    return Moves(sources, gone, changed, again)


def renamed(records: Sequence[Record], source: Address, target: Address) -> list[Record]:
    """All records, with the objects of one address under another: their keys, and who uses them, by key and by name."""
    return [_renamed(record, source, target) for record in records]


def free_place(ledger: Ledger, key: ObjectKey) -> ObjectKey | None:
    """Where a new object is to be made when its own place belongs to one that has moved since; None when it is free."""
    taken = {origin for other, origin in ledger.origins.items() if other != key}
    if key not in taken:
        return None
    places = (ObjectKey(key.address, f"{key.identity}-{number}".lstrip("-")) for number in count(2))
    return next(place for place in places if place not in taken)


def _renamed(record: Record, source: Address, target: Address) -> Record:
    mine = record.key.address == source
    uses = tuple(_use(use, source, target) for use in record.uses)
    after = tuple(sorted(target if address == source else address for address in record.after))
    old, new = f"input:{source}", f"input:{target}"
    parts = (
        {new if name == old else name: part for name, part in record.parts.items()}
        if old in record.parts
        else record.parts
    )
    if not mine and uses == record.uses and parts is record.parts and after == record.after:
        return record
    if not mine:
        return replace(record, uses=uses, parts=parts, after=after)
    key = ObjectKey(target, record.key.identity)
    origin = None if record.made_as == key else record.made_as  # moved back to where it was made
    return replace(record, key=key, origin=origin, uses=uses, parts=parts, after=after)


def _use(use: Use, source: Address, target: Address) -> Use:
    return replace(use, key=ObjectKey(target, use.key.identity)) if use.key.address == source else use
