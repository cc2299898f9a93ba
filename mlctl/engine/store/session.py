"""The right to change a state: what was made is in memory, and durable before the one who recorded it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from mlctl.engine.journal import Entry
from mlctl.engine.ledger import Ledger
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Held, Record


class Log(Protocol):
    """Where entries become durable."""

    def append(self, entry: Entry) -> None:
        """Keep an entry. Raises OSError or MlctlError; it then counts as not kept."""
        ...


@dataclass
class Session:
    """The right to change the state, from `Store.session`. All that it is told is durable when it returns.

    `still_ours` raises MlctlError once the lock was taken away: from then on nothing more is written.
    """

    ledger: Ledger
    log: Log
    still_ours: Callable[[], None] = lambda: None

    def record(self, record: Record) -> None:
        """Keep a record: an intent before a tool is touched, an outcome after. Raises MlctlError when it cannot be kept."""
        self._append(Entry(((record.key, record),)))
        self.ledger.put(record)

    def forget(self, key: ObjectKey) -> None:
        """An object is gone. Raises MlctlError when that cannot be kept."""
        self._append(Entry(((key, None),)))
        self.ledger.drop(key)

    def exchange(self, gone: Iterable[ObjectKey], records: Iterable[Record]) -> None:
        """Drop some objects and keep others in one entry: after a kill all of it counts, or nothing. Raises MlctlError."""
        dropped, kept = list(gone), list(records)
        edits = [*((key, None) for key in dropped), *((record.key, record) for record in kept)]
        if not edits:
            return
        self._append(Entry(tuple(edits)))
        for key in dropped:
            self.ledger.drop(key)
        for record in kept:
            self.ledger.put(record)

    def hold(self, held: Held | None) -> None:
        """Say which result is to stay, or lift it. Raises MlctlError when that cannot be kept."""
        self._append(Entry(held=held, holds=True))
        self.ledger.held = held

    def _append(self, entry: Entry) -> None:
        self.still_ours()
        try:
            self.log.append(entry)
        except OSError as error:
            raise MlctlError.of(
                "state.cannot-write",
                f"the journal cannot be written: {error.strerror or error}",
                "it takes every step before and after it is done",
                "free some space or mend the folder's permissions, then apply again",
                address=str(entry.edits[0][0].address) if entry.edits else "",
            ) from error
