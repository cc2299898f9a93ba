"""The records of one environment in memory, indexed by address and by who uses whom."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record, State


class Ledger:
    """A changeable view of a state. Safe to use from several threads."""

    def __init__(self, state: State) -> None:
        self.lineage = state.lineage
        self.serial = state.serial
        self.held = state.held
        self.project = state.project
        self.origins: dict[ObjectKey, ObjectKey] = {}  # of moved objects: the key each was made under
        self._lock = threading.RLock()
        self._records: dict[ObjectKey, Record] = {}
        self._by_address: dict[Address, dict[ObjectKey, Record]] = {}
        self._users: dict[ObjectKey, set[ObjectKey]] = {}
        self._sequence = 0
        for record in state.objects.values():
            self.put(record)

    def __iter__(self) -> Iterator[Record]:
        with self._lock:
            return iter(list(self._records.values()))

    def get(self, key: ObjectKey) -> Record | None:
        """The record of one object."""
        return self._records.get(key)

    def addresses(self) -> list[Address]:
        """All addresses that have an object, sorted."""
        with self._lock:
            return sorted(address for address, found in self._by_address.items() if found)

    def at(self, address: Address) -> list[Record]:
        """All objects of an address, the one made or chosen last first."""
        with self._lock:
            return sorted(self._by_address.get(address, {}).values(), key=lambda record: -record.sequence)

    def current(self, address: Address) -> Record | None:
        """The object of an address that was made or chosen last."""
        with self._lock:
            return max(self._by_address.get(address, {}).values(), key=lambda record: record.sequence, default=None)

    def made(self, address: Address) -> Record | None:
        """The object of an address that was last made to the end: the one that can be used while a newer one is cut off."""
        return next((record for record in self.at(address) if record.complete or record.outputs), None)

    def put(self, record: Record) -> None:
        """Add or replace one record."""
        with self._lock:
            self._unlink(record.key)
            for use in record.uses:
                self._users.setdefault(use.key, set()).add(record.key)
            self._records[record.key] = record
            if record.origin is not None:
                self.origins[record.key] = record.origin
            self._by_address.setdefault(record.key.address, {})[record.key] = record
            self._sequence = max(self._sequence, record.sequence)

    def drop(self, key: ObjectKey) -> None:
        """Forget one record; forgotten already is fine."""
        with self._lock:
            self._unlink(key)
            self._records.pop(key, None)
            self._by_address.get(key.address, {}).pop(key, None)

    def next_sequence(self) -> int:
        """A number larger than that of every record so far."""
        with self._lock:
            self._sequence += 1
            return self._sequence

    def users(self, keys: Iterable[ObjectKey]) -> dict[ObjectKey, set[ObjectKey]]:
        """For each of some objects, the others that were made with it."""
        with self._lock:
            return {key: self._users.get(key, set()) - {key} for key in keys}

    def _unlink(self, key: ObjectKey) -> None:
        """Take an object out of the users of what it was made with."""
        self.origins.pop(key, None)
        if key in self._records:
            for use in self._records[key].uses:
                self._users[use.key].discard(key)

    def state(self) -> State:
        """What stands in the ledger now."""
        with self._lock:
            return State(self.lineage, self.serial, dict(self._records), self.held, self.project)
