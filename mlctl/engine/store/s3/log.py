"""The journal in a bucket: one small object an entry, in a folder named by the lineage and the serial it belongs to.

Each object is a journal of its own: a header that names the lock it was written under, and one line. The number in the
name orders them; an entry that is there already was written by another holder of the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from mlctl.engine import journal
from mlctl.engine.journal import Entries, Entry
from mlctl.engine.store.s3.bucket import Bucket, Refused
from mlctl.engine.store.s3.lease import Lease
from mlctl.types.diagnostic import MlctlError

FOLDER = "journal/"


class BucketLog:
    """Appends entries under a lease. Safe to use from several threads."""

    def __init__(self, bucket: Bucket, lease: Lease, lineage: str, serial: int) -> None:
        self.names: list[str] = []  # of all entries that were begun, whether or not an answer came
        self._bucket = bucket
        self._lease = lease
        self._header = journal.header(lineage, serial, lease.holder.id)
        self._folder = f"{FOLDER}{lineage}-{serial}/"
        self._lock = threading.Lock()

    def append(self, entry: Entry) -> None:
        """Write one entry. It is durable, and written under our own lock, when this returns. Raises MlctlError."""
        with self._lock:
            name = f"{self._folder}{len(self.names) + 1:08d}"
            self.names.append(name)
        try:
            self._bucket.put(name, self._header + entry.encode(), absent=True)
        except Refused:
            raise MlctlError.of(
                "state.lease-lost",
                f"another writer is at work on {self._bucket.place}",
                f"it wrote `{name}`, which was ours to write",
                "nothing more is written; run the command again when the other one is through",
            ) from None
        self._lease.check()  # one that arrived after the lease ran out may have been missed by the next holder


@dataclass(frozen=True, slots=True)
class Left:
    """A journal that stands in the bucket, unread: a kill or an unreachable server left it behind."""

    lineage: str
    serial: int
    names: tuple[str, ...]

    @property
    def highest(self) -> int:
        """The number of its last entry."""
        return int(self.names[-1].rpartition("/")[2])

    def read(self, bucket: Bucket) -> tuple[Entries, bytes] | None:
        """Its entries, and its bytes as one journal file; None when somebody folded it just now. Raises MlctlError."""
        found = bucket.get_all(self.names)
        data = [item for item in found if item is not None]
        if len(data) < len(found):
            return None
        entries: list[Entry] = []
        damaged = 0
        for item in data:
            decoded = [Entry.decode(line) for line in item.split(b"\n")[1:] if line]
            entries += [entry for entry in decoded if entry is not None]
            damaged += sum(1 for entry in decoded if entry is None) + (not decoded)
        lines = [line for item in data for line in item.split(b"\n")[1:] if line]
        file = b"\n".join([journal.header(self.lineage, self.serial).rstrip(), *lines, b""])
        return Entries.of(self.lineage, self.serial, entries, damaged), file


def left_behind(bucket: Bucket) -> list[Left]:
    """All journals in the bucket, by one listing. Raises MlctlError."""
    folders: dict[tuple[str, int], list[str]] = {}
    for item in bucket.names(FOLDER):
        parsed = _parse(item.name)
        if parsed is not None:
            folders.setdefault(parsed, []).append(item.name)
    return [Left(lineage, serial, tuple(names)) for (lineage, serial), names in sorted(folders.items())]


def _parse(name: str) -> tuple[str, int] | None:
    """Lineage and serial of an entry by its name; None for what is not one."""
    folder, _, number = name.removeprefix(FOLDER).rpartition("/")
    lineage, dash, serial = folder.rpartition("-")
    return (lineage, int(serial)) if dash and serial.isdigit() and number.isdigit() else None


def of(journals: Sequence[Left], lineage: str, serial: int) -> Left | None:
    """The journal of a state; of one that is not there yet, the journal of a first apply."""
    if serial == 0:
        return next((item for item in journals if item.serial == 0), None)
    return next((item for item in journals if (item.lineage, item.serial) == (lineage, serial)), None)
