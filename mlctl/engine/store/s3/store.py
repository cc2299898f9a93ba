"""The state of one environment in a bucket: the same promises as a folder, kept by conditional writes alone."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlctl.engine.ledger import Ledger
from mlctl.engine.store import format
from mlctl.engine.store.protocol import (
    Choose,
    Generation,
    Holder,
    Waiting,
    document_name,
    not_locked,
    unlock_refused,
    written,
)
from mlctl.engine.store.recovery import changes, merged, played, same
from mlctl.engine.store.s3 import lease as locks
from mlctl.engine.store.s3 import log as logs
from mlctl.engine.store.s3.bucket import Blob, Bucket, Refused
from mlctl.engine.store.s3.generations import STATE, BucketGenerations
from mlctl.engine.store.s3.lease import LEASE_SECONDS, Lease
from mlctl.engine.store.s3.log import BucketLog, Left
from mlctl.engine.store.s3.place import Place
from mlctl.engine.store.session import Session
from mlctl.files import atomic
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.state import State

DOCUMENTS, ASIDE = "documents/", "aside/"
ERRORED = "errored.state.json"
_RACES = 5  # a reader that a fold overtakes looks again


@dataclass(frozen=True, slots=True)
class _Stored:
    """The state object as it was read, with the ETag that guards its next write; none for one that is not there yet."""

    state: State
    blob: Blob | None
    folded: int = 0  # how many entries of the journal before it went into it


class S3Store:
    """The state of one environment in a bucket. `home` is the local folder, for what cannot be brought there."""

    def __init__(self, place: Place, home: Path, *, lease_seconds: float = LEASE_SECONDS, client: Any = None) -> None:
        self.place = place
        self.home = home
        self.bucket = Bucket(place, client)
        self.warnings: list[Diagnostic] = []
        self._lease_seconds = lease_seconds
        self._generations = BucketGenerations(self.bucket)

    @property
    def location(self) -> str:
        """The URI of the place."""
        return str(self.place)

    def read(self) -> State:
        """The state as it is, with a journal that was left behind read into it. Writes nothing. Raises MlctlError."""
        for _ in range(_RACES):
            journals = logs.left_behind(
                self.bucket
            )  # before the state, so that a fold in between shows as a state ahead of it
            stored = self._stored(journals).state
            left = logs.of(journals, stored.lineage, stored.serial)
            read = None if left is None else left.read(self.bucket)
            if left is None or read is not None:
                return merged(stored, None if read is None else read[0])
        return stored  # folded under our eyes each time: what was stored is whole in itself

    @contextmanager
    def session(
        self, operation: str, *, wait_seconds: float = 0, run: str = "", waiting: Waiting | None = None
    ) -> Iterator[Session]:
        """Become the one writer. Leaves the journal folded into the state object, whatever happens inside.

        Raises MlctlError: exit code 6 with the holder when another process writes, `state.*` when the bucket cannot be used
        or the lock was lost on the way.
        """
        with self._locked(operation, run, wait_seconds, waiting) as lease:
            stored = self._recover(operation, lease)
            ledger = Ledger(stored.state)
            before = ledger.state()
            log = BucketLog(self.bucket, lease, ledger.lineage, ledger.serial)
            try:
                yield Session(ledger, log, lease.check)
            finally:
                if log.names:
                    lease.check()
                    self._fold(replace(stored, state=before), ledger.state(), operation, log.names)

    def replace(self, operation: str, choose: Choose) -> State:
        """Under the lock, put another state in the place of the present one, which stays as a generation. Raises MlctlError."""
        with self._locked(operation, "", 0, None) as lease:
            try:
                stored = self._recover(operation, lease)
                present: State | None = stored.state
            except MlctlError as error:
                if error.diagnostics[0].code not in ("state.damaged", "state.missing"):
                    raise
                present = None
            after = choose(present)
            names: list[str] = []
            if present is None:
                newest = self._generations.newest()
                blob = self.bucket.get(STATE)
                after, names = self._salvaged(after, blob)
                stored = _Stored(State(after.lineage, newest + 1), blob)
            lease.check()
            return self._write(stored, after, operation, names).state

    def generations(self) -> list[Generation]:
        """The states that are kept, the newest first. Raises MlctlError."""
        return self._generations.all()

    def generation(self, serial: int) -> State:
        """One of them. Raises MlctlError."""
        return self._generations.get(serial)

    def put_document(self, name: str, data: bytes) -> None:
        """Keep some bytes beside the state. Raises MlctlError."""
        self.bucket.put(DOCUMENTS + document_name(name), data)

    def get_document(self, name: str) -> bytes | None:
        """What was kept under a name; None when there is nothing. Raises MlctlError."""
        found = self.bucket.get(DOCUMENTS + document_name(name))
        return None if found is None else found.data

    def remove_document(self, name: str) -> None:
        """Drop a document; dropped already is fine. Raises MlctlError."""
        self.bucket.delete([DOCUMENTS + document_name(name)])

    def documents(self, prefix: str = "") -> list[str]:
        """The names that begin with a text, sorted. Raises MlctlError."""
        return [item.name.removeprefix(DOCUMENTS) for item in self.bucket.names(DOCUMENTS + prefix)]

    def holder(self) -> Holder | None:
        """Who holds the lock now. Raises MlctlError."""
        taken = locks.look(self.bucket)
        return taken.holder if taken is not None and taken.left_seconds > 0 else None

    def force_unlock(self, id: str) -> Holder:
        """Take the lock away from a holder that is gone. Raises MlctlError when it lives here, or when the id is not its."""
        taken = locks.look(self.bucket)
        if taken is None:
            raise not_locked(self.location)
        info = taken.holder
        if info.id != id:
            raise unlock_refused(
                f"the lock of this state is not `{id}`", f"it is held by {info}", f"its id is `{info.id}`"
            )
        if info.lives and taken.left_seconds > 0:
            raise unlock_refused(
                f"the holder lives: {info}",
                "it would go on writing, and so would the next one",
                f"stop it first (`kill {info.pid}`)",
            )
        while not self.bucket.delete_if(locks.NAME, taken.blob.etag):
            again = locks.look(self.bucket)  # it was renewed between the two requests
            if again is None or again.holder.id != id:
                break
            taken = again
        return info

    @contextmanager
    def _locked(self, operation: str, run: str, wait_seconds: float, waiting: Waiting | None) -> Iterator[Lease]:
        lease = Lease(self.bucket, Holder.me(operation, run), self._lease_seconds)
        lease.acquire(wait_seconds, waiting)
        self.warnings += lease.warnings
        lease.warnings.clear()
        try:
            yield lease
        finally:
            lease.release()
            self.warnings += lease.warnings

    def _stored(self, journals: list[Left]) -> _Stored:
        """The state object; a new lineage when there never was one. Raises MlctlError."""
        blob = self.bucket.get(STATE)
        if blob is None:
            first = logs.of(journals, "", 0)
            if first is None and self._generations.newest():
                raise self._bad("state.missing", "the state is gone", "there are older generations of it")
            return _Stored(State(first.lineage if first else str(uuid.uuid4())), None)
        try:
            head = format.head(blob.data.partition(b"\n")[0])
            return _Stored(format.decode(blob.data), blob, int(head.written.get("entries", 0)))
        except format.DamagedError as error:
            raise self._bad("state.damaged", "the state is damaged", f"{error}; mlctl did not write it so") from error

    def _recover(self, operation: str, lease: Lease) -> _Stored:
        """Read state and journal and fold them, so that the next journal starts from nothing."""
        journals = logs.left_behind(self.bucket)
        stored = self._stored(journals)
        own = logs.of(journals, stored.state.lineage, stored.state.serial)
        for left in journals:
            if left is not own:
                self._clear(left, stored)
        if own is None:
            return stored
        read = own.read(self.bucket)
        if read is None:  # only a holder of the lock removes entries, and that is us
            raise self._bad("state.journal-torn", "an entry of the journal went away", "something else removes objects")
        entries, data = read
        if entries.damaged:
            self._set_aside(
                "damaged", own, data, f"{entries.damaged} entries of the journal are damaged", "they were dropped"
            )
        lease.check()
        return self._fold(stored, merged(stored.state, entries), f"{operation}, after one that was cut off", own.names)

    def _clear(self, left: Left, stored: _Stored) -> None:
        """A journal of another state: remove one that is in this state already, and keep a copy of any other."""
        state = stored.state
        folded = left.lineage == state.lineage and left.serial == state.serial - 1 and left.highest <= stored.folded
        if not folded:
            read = left.read(self.bucket)
            if read is not None:
                why = f"it belongs to serial {left.serial}, the state has {state.serial}: it was written without the lock, or the state was exchanged"
                self._set_aside("foreign", left, read[1], "the journal is not one of this state", why)
        self.bucket.delete(left.names)

    def _salvaged(self, chosen: State, blob: Blob | None) -> tuple[State, list[str]]:
        """A state that takes the place of a damaged one: with what its journals know, and the damaged bytes kept."""
        names: list[str] = []
        for left in logs.left_behind(self.bucket):
            read = left.read(self.bucket)
            if read is None:
                continue
            self._set_aside(
                "salvaged", left, read[1], "the journal was played over the state that was put back", "it was its own"
            )
            if left.lineage == chosen.lineage:
                chosen = played(chosen, read[0])
            names += left.names
        if blob is not None:
            self.bucket.put(f"{ASIDE}state.damaged-{time.time_ns()}.json", blob.data)
        return chosen, names

    def _set_aside(self, word: str, left: Left, data: bytes, summary: str, why: str) -> None:
        """Keep a copy of a journal that could not be used as it is, and warn."""
        name = f"{ASIDE}journal.{word}-{left.lineage}-{left.serial}-{time.time_ns()}.jsonl"
        self.bucket.put(name, data)
        kept = f"{why}; a copy is kept in {self.place}/{name}"
        self.warnings.append(
            Diagnostic(f"state.journal-{word}", summary, kept, "look at the next plan closely", Severity.WARNING)
        )

    def _fold(self, stored: _Stored, after: State, operation: str, names: tuple[str, ...] | list[str]) -> _Stored:
        """Bring the journal into the state object. The serial grows only when the content does."""
        if stored.blob is None or not same(stored.state, after):
            return self._write(stored, after, operation, names)
        self.bucket.delete(list(names))
        return stored

    def _write(self, stored: _Stored, after: State, operation: str, names: tuple[str, ...] | list[str]) -> _Stored:
        """Write a state where the one that was read still stands, then keep a copy and drop the journal that is in it."""
        before = stored.state
        after = replace(after, serial=max(before.serial + 1, after.serial))
        wrote = {**written(operation, changes(before, after)), "entries": len(names)}
        data = format.encode(after, wrote)
        try:
            old = self._generations.complete(stored.blob, before.serial)
            match = None if stored.blob is None else stored.blob.etag
            etag = self.bucket.put(STATE, data, absent=stored.blob is None, match=match)
        except Refused as refused:
            raise self._lost_update(data, refused) from None
        except MlctlError as error:
            raise self._errored(data, error) from error
        self._generations.keep(after.serial, data)
        self.bucket.delete([*names, *old])
        return _Stored(after, Blob(data, etag, 0.0), len(names))

    def _lost_update(self, data: bytes, refused: Refused) -> MlctlError:
        there = "nothing" if refused.there is None else "another state"
        return MlctlError.of(
            "state.lost-update",
            f"{there} stands at {self.place}/{STATE} where the one that was read stood",
            "something wrote it without holding the lock; nothing of it was overwritten, and our journal stays in the bucket",
            self._rescue(data),
        )

    def _errored(self, data: bytes, error: MlctlError) -> MlctlError:
        (item,) = error.diagnostics
        why = f"{item.why}; every step is in the journal in the bucket, and the next command brings it in"
        return MlctlError.of(item.code, item.summary, why, f"{item.fix}; {self._rescue(data)}")

    def _rescue(self, data: bytes) -> str:
        """Keep a state that could not be brought to the bucket, and say how to bring it there."""
        path = self.home / ERRORED
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(path, data)
        except OSError as error:  # the last way out: the state must not end with this process
            sys.stderr.buffer.write(data)
            return f"{path} cannot be written either ({error.strerror}), so the state was printed: keep it for `mlctl state push`"
        return f"if it does not: `mlctl state push {path}`"

    def _bad(self, code: str, summary: str, why: str) -> MlctlError:
        newest = self._generations.newest()
        fix = (
            f"`mlctl state undo` puts back the last good generation (the newest is {newest})"
            if newest
            else "restore it from the bucket's versions"
        )
        return MlctlError.of(code, f"{summary}: {self.place}/{STATE}", why, f"{fix}; `mlctl state fsck` tells more")
