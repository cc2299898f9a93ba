"""State in a folder: `state.json`, the journal beside it, a lock, and the last generations. One writer, any number of readers."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from mlctl.engine import journal
from mlctl.engine.journal import Journal
from mlctl.engine.ledger import Ledger
from mlctl.engine.store import format
from mlctl.engine.store.folders import Documents, Generations
from mlctl.engine.store.protocol import (
    Choose,
    Generation,
    Holder,
    Waiting,
    locked,
    not_locked,
    pauses,
    unlock_refused,
    written,
)
from mlctl.engine.store.recovery import changes, is_of, merged, played, same, was_folded
from mlctl.engine.store.session import Session
from mlctl.files import atomic
from mlctl.files.lock import FileLock, is_locked
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.state import State


class LocalStore:
    """The state of one environment in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "state.json"
        self.journal_path = home / "journal.jsonl"
        self.lock_path = home / "lock"
        self.holder_path = home / "lock.json"
        self.warnings: list[Diagnostic] = []
        self._generations = Generations(home / "generations")
        self._documents = Documents(home / "documents")

    @property
    def location(self) -> str:
        """The state file."""
        return str(self.path)

    def read(self) -> State:
        """The state as it is, with a journal that was left behind read into it. Writes nothing. Raises MlctlError."""
        entries = self.entries()  # first the journal: a fold in between then shows as a state that is ahead of it
        return merged(self._stored(entries), entries)

    @contextmanager
    def session(
        self, operation: str, *, wait_seconds: float = 0, run: str = "", waiting: Waiting | None = None
    ) -> Iterator[Session]:
        """Become the one writer. Leaves the journal folded into the state file, whatever happens inside.

        Raises MlctlError: exit code 6 with the holder when another process writes, `state.*` when the files cannot be used.
        """
        with self._locked(Holder.me(operation, run), wait_seconds, waiting) as lock:

            def still_ours() -> None:
                if not lock.valid:
                    raise self._lost()

            with self._writing():
                ledger = Ledger(self._recover(operation))
            log = Journal(self.journal_path, ledger.lineage, ledger.serial)
            before = ledger.state()
            try:
                yield Session(ledger, log, still_ours)
            finally:
                with self._writing():
                    log.close()
                    if log.begun:
                        still_ours()
                        self._fold(before, ledger.state(), operation)

    def replace(self, operation: str, choose: Choose) -> State:
        """Under the lock, put another state in the place of the present one, which stays as a generation. Raises MlctlError."""
        with self._locked(Holder.me(operation), 0, None), self._writing():
            try:
                present: State | None = self._recover(operation)
            except MlctlError as error:
                if error.diagnostics[0].code not in ("state.damaged", "state.missing"):
                    raise
                present = None
            after = choose(present)
            if present is None:
                present, after = State(after.lineage, self._generations.newest() + 1), self._salvaged(after)
            return self._write(present, after, operation)

    def generations(self) -> list[Generation]:
        """The states that are kept, the newest first. Raises MlctlError."""
        with self._reading():
            return self._generations.all(self.path)

    def generation(self, serial: int) -> State:
        """One of them. Raises MlctlError."""
        with self._reading():
            return self._generations.get(serial, self.path)

    def put_document(self, name: str, data: bytes) -> None:
        """Keep some bytes beside the state. Raises MlctlError."""
        with self._writing():
            self._documents.put(name, data)

    def get_document(self, name: str) -> bytes | None:
        """What was kept under a name; None when there is nothing. Raises MlctlError."""
        with self._reading():
            return self._documents.get(name)

    def remove_document(self, name: str) -> None:
        """Drop a document; dropped already is fine. Raises MlctlError."""
        with self._writing():
            self._documents.remove(name)

    def documents(self, prefix: str = "") -> list[str]:
        """The names that begin with a text, sorted. Raises MlctlError."""
        with self._reading():
            return self._documents.names(prefix)

    def holder(self) -> Holder | None:
        """Who holds the lock now; None too in the moment before a holder has said who it is. Raises MlctlError."""
        with self._reading():
            return self._info() if is_locked(self.lock_path) else None

    def force_unlock(self, id: str) -> Holder:
        """Take the lock away from a holder that is gone. Raises MlctlError when it lives here, or when the id is not its."""
        with self._writing():
            info = self._info()
            if info is None:
                raise not_locked(self.location)
            if info.id != id:
                raise unlock_refused(
                    f"the lock of this state is not `{id}`", f"it is held by {info}", f"its id is `{info.id}`"
                )
            if is_locked(self.lock_path):
                if info.lives:
                    raise unlock_refused(
                        f"the holder lives: {info}",
                        "it would go on writing, and so would the next one",
                        f"stop it first (`kill {info.pid}`); the lock goes with it",
                    )
                self.lock_path.unlink(
                    missing_ok=True
                )  # whoever still holds the old file finds that out before it writes
            self.holder_path.unlink(missing_ok=True)
            return info

    @contextmanager
    def alone(self, operation: str) -> Iterator[None]:
        """Keep writers away without reading the state, which may be damaged. Raises MlctlError."""
        with self._locked(Holder.me(operation), 0, None):
            yield

    @contextmanager
    def _locked(self, me: Holder, wait_seconds: float, waiting: Waiting | None) -> Iterator[FileLock]:
        """Hold the lock, with a file that says who does."""
        lock = FileLock(self.lock_path)
        sleep, told = pauses(wait_seconds), False
        with self._writing():
            self.home.mkdir(parents=True, exist_ok=True)
            while not lock.acquire():
                problem = locked(self._info(), self.location)
                if waiting is not None and not told and wait_seconds > 0:
                    waiting(problem)
                    told = True
                if not sleep():
                    raise problem
        try:
            with self._writing():
                atomic.write_json(self.holder_path, asdict(me))
            yield lock
        finally:
            if lock.valid:
                with suppress(OSError):  # it only says who holds the lock; the lock itself goes with its holder
                    self.holder_path.unlink()
            lock.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Our own files in our own words; what goes wrong between these blocks is somebody else's."""
        try:
            yield
        except OSError as error:
            raise MlctlError.of(
                "state.cannot-write",
                f"the state cannot be written: {error}",
                "what was done is in the journal and is not lost",
                f"mend {self.home}, then run any command again",
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unreadable(Path(error.filename or self.home), error) from error

    def _recover(self, operation: str) -> State:
        """Read state and journal and fold them, so that the next journal starts from nothing."""
        entries = self.entries()
        stored = self._stored(entries)
        if entries is not None and entries.damaged:
            self._set_aside("damaged", f"{entries.damaged} lines of the journal are damaged", "they were dropped")
        elif entries is not None and not is_of(entries, stored) and not was_folded(entries, stored):
            self._set_aside(
                "foreign",
                "the journal is not one of this state",
                f"it belongs to serial {entries.serial}, the state has {stored.serial}: the state file was exchanged",
            )
        if not self.journal_path.exists():
            return stored
        return self._fold(stored, merged(stored, entries), f"{operation}, after one that was cut off")

    def _salvaged(self, chosen: State) -> State:
        """A state that takes the place of a damaged one: with what its journal knows, and the damaged files kept."""
        entries = self.entries()
        if entries is not None:
            self._set_aside("salvaged", "the journal was played over the state that was put back", "it was its own")
            if entries.lineage == chosen.lineage:
                chosen = played(chosen, entries)
        if self.path.exists():
            atomic.write_bytes(self.home / f"state.damaged-{time.time_ns()}.json", self.path.read_bytes())
        return chosen

    def _set_aside(self, word: str, summary: str, why: str) -> None:
        """Keep a copy of a journal that could not be used as it is, and warn."""
        kept = self.home / f"journal.{word}-{time.time_ns()}.jsonl"
        atomic.write_bytes(kept, self.journal_path.read_bytes())
        fix = "look at the next plan closely"
        self.warnings.append(
            Diagnostic(f"state.journal-{word}", summary, f"{why}; a copy is kept in {kept}", fix, Severity.WARNING)
        )

    def _fold(self, before: State, after: State, operation: str) -> State:
        """Bring the journal into the state file. The serial grows only when the content does.

        A kill between the two last steps is harmless: a journal whose serial is not the state's was folded before.
        """
        if not self.path.exists() or not same(before, after):
            return self._write(before, after, operation)
        self.journal_path.unlink(missing_ok=True)
        return after

    def _write(self, before: State, after: State, operation: str) -> State:
        """Write a state and drop the journal that is in it. The copy comes first: the state is never without a good one."""
        after = replace(after, serial=max(before.serial + 1, after.serial))
        data = format.encode(after, written(operation, changes(before, after)))
        self._generations.keep(after.serial, data)
        atomic.write_bytes(self.path, data)
        self.journal_path.unlink(missing_ok=True)
        return after

    def _stored(self, entries: journal.Entries | None) -> State:
        """The state file; a new lineage when there never was one. Raises MlctlError."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            if self._generations.newest() and (entries is None or entries.serial > 0):
                raise self._missing() from None
            return State(str(uuid.uuid4()))
        except OSError as error:
            raise _unreadable(self.path, error) from error
        try:
            return format.decode(data)
        except format.DamagedError as error:
            raise self._damaged(error) from error

    def entries(self) -> journal.Entries | None:
        """What a journal that was left behind holds; None when there is none. Raises MlctlError."""
        try:
            return journal.read(self.journal_path)
        except OSError as error:
            raise _unreadable(self.journal_path, error) from error

    def _info(self) -> Holder | None:
        """What the file beside the lock says."""
        try:
            return Holder.from_json(json.loads(self.holder_path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _damaged(self, error: Exception) -> MlctlError:
        return MlctlError.of(
            "state.damaged",
            f"{self.path} is not a state file any more",
            f"{error}; mlctl writes it by rename only, so something else changed it",
            self._way_back(),
        )

    def _missing(self) -> MlctlError:
        return MlctlError.of(
            "state.missing",
            f"{self.path} is gone",
            "there are older generations of it, so something else removed it",
            self._way_back(),
        )

    def _way_back(self) -> str:
        good = self._generations.newest_good()
        if good is None:
            return "restore it from a backup; `mlctl state fsck` tells what is left"
        return f"`mlctl state undo` puts back the last good generation, {good}; `mlctl state fsck` tells what else is wrong"

    def _lost(self) -> MlctlError:
        return MlctlError.of(
            "state.lock-lost",
            "the lock of the state was taken away from this command",
            f"somebody ran `mlctl force-unlock`, or removed {self.lock_path}; another writer may be at work",
            "see `mlctl state log`, then run the command again: what it had begun is in the journal",
        )


def _unreadable(path: Path, error: OSError) -> MlctlError:
    return MlctlError.of(
        "state.cannot-read",
        f"the state cannot be read: {error.strerror or error}",
        f"it is kept in {path}",
        "mend the file's permissions" if os.path.lexists(path) else "mend the folder",
    )
