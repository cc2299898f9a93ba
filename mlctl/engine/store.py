"""State on disk: `state.json`, the journal beside it, a lock, and the last generations. One writer, any number of readers."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.engine import journal, provenance
from mlctl.engine.journal import Journal
from mlctl.engine.ledger import Ledger
from mlctl.files import atomic
from mlctl.files.lock import FileLock
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, Severity
from mlctl.types.state import FORMAT, Record, State

GENERATIONS = 20


@dataclass
class Session:
    """The right to change the state, from `LocalStore.session`. Every `record` and `forget` is durable when it returns."""

    ledger: Ledger
    _journal: Journal

    def record(self, record: Record) -> None:
        """Keep a record: an intent before a tool is touched, an outcome after. Raises MlctlError when it cannot be kept."""
        self._append(record.key, record)
        self.ledger.put(record)

    def forget(self, key: ObjectKey) -> None:
        """An object is gone. Raises MlctlError when that cannot be kept."""
        self._append(key, None)
        self.ledger.drop(key)

    def _append(self, key: ObjectKey, record: Record | None) -> None:
        try:
            self._journal.append(key, record)
        except OSError as error:
            raise MlctlError.of(
                "state.cannot-write",
                f"the journal cannot be written: {error.strerror}",
                f"{self._journal.path} takes every step before and after it is done",
                "free some space or mend the folder's permissions, then apply again",
                address=str(key.address),
            ) from error


class LocalStore:
    """The state of one environment in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "state.json"
        self.journal_path = home / "journal.jsonl"
        self.lock_path = home / "lock"
        self.holder_path = home / "lock.json"
        self.warnings: list[Diagnostic] = []

    def read(self) -> State:
        """The state as it is, with a journal that was left behind read into it. Writes nothing. Raises MlctlError."""
        entries = self._entries()  # first the journal: a fold in between then shows as a state that is ahead of it
        return _merged(self._stored(), entries)

    @contextmanager
    def session(self, operation: str) -> Iterator[Session]:
        """Become the one writer. Leaves the journal folded into the state file, whatever happens inside.

        Raises MlctlError: exit code 6 with the holder when another process writes, `state.*` when the files cannot be used.
        """
        lock = FileLock(self.lock_path)
        with self._writing():
            self.home.mkdir(parents=True, exist_ok=True)
            held = lock.acquire()
        if not held:
            raise self._locked()
        try:
            with self._writing():
                atomic.write_json(self.holder_path, _holder(operation))
                ledger = Ledger(self._recover())
            log = Journal(self.journal_path, ledger.lineage, ledger.serial)
            before = ledger.state()
            try:
                yield Session(ledger, log)
            finally:
                with self._writing():
                    log.close()
                    if log.begun:
                        self._fold(before, ledger.state())
        finally:
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

    def _recover(self) -> State:
        """Read state and journal and fold them, so that the next journal starts from nothing."""
        stored, entries = self._stored(), self._entries()
        if entries is not None and entries.damaged:
            self._set_aside("damaged", f"{entries.damaged} lines of the journal are damaged", "they were dropped")
        elif entries is not None and not _is_of(entries, stored) and not _was_folded(entries, stored):
            self._set_aside(
                "foreign",
                "the journal is not one of this state",
                f"it belongs to serial {entries.serial}, the state has {stored.serial}: the state file was exchanged",
            )
        if not self.journal_path.exists():
            return stored
        return self._fold(stored, _merged(stored, entries))

    def _set_aside(self, word: str, summary: str, why: str) -> None:
        """Keep a copy of a journal that could not be used as it is, and warn."""
        kept = self.home / f"journal.{word}-{time.time_ns()}.jsonl"
        atomic.write_bytes(kept, self.journal_path.read_bytes())
        self.warnings.append(
            Diagnostic(
                f"state.journal-{word}",
                summary,
                f"{why}; a copy is kept in {kept}",
                "look at the next plan closely",
                Severity.WARNING,
            )
        )

    def _fold(self, before: State, after: State) -> State:
        """Bring the journal into the state file. The serial grows only when the content does.

        A kill between the two last steps is harmless: a journal whose serial is not the state's was folded before.
        """
        if not self.path.exists() or before.objects != after.objects:
            if self.path.exists():
                self._keep_generation(before.serial)
            after = State(after.lineage, before.serial + 1, after.objects)
            atomic.write_bytes(self.path, _encode(after))
        self.journal_path.unlink(missing_ok=True)
        return after

    def _keep_generation(self, serial: int) -> None:
        folder = self.home / "generations"
        folder.mkdir(exist_ok=True)
        atomic.write_bytes(folder / f"{serial:08d}.json", self.path.read_bytes())
        for old in sorted(folder.glob("*.json"))[:-GENERATIONS]:
            old.unlink(missing_ok=True)

    def _stored(self) -> State:
        """The state file; a new lineage when there is none yet."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return State(str(uuid.uuid4()))
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return self._decode(data)

    def _entries(self) -> journal.Entries | None:
        try:
            return journal.read(self.journal_path)
        except OSError as error:
            raise _unreadable(self.journal_path, error) from error

    def _decode(self, data: bytes) -> State:
        try:
            value = json.loads(data)
            if value["format"] > FORMAT:
                raise MlctlError.of(
                    "state.newer-format",
                    f"the state has format {value['format']}, this mlctl knows formats up to {FORMAT}",
                    "a newer mlctl wrote it",
                    "upgrade mlctl",
                )
            objects = {}
            for name, stored in value["objects"].items():
                key = ObjectKey.parse(name)
                objects[key] = Record.from_json(key, stored)
            return State(value["lineage"], value["serial"], objects)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            generations = sorted((self.home / "generations").glob("*.json"))
            fix = f"the last good generation is {generations[-1]}" if generations else "restore it from a backup"
            raise MlctlError.of(
                "state.damaged",
                f"{self.path} is not a state file any more",
                f"{type(error).__name__}: {error}; mlctl writes it by rename only, so something else changed it",
                fix,
            ) from error

    def _locked(self) -> MlctlError:
        try:
            holder: dict[str, Any] = json.loads(self.holder_path.read_bytes())
            who = f"{holder['who']} (pid {holder['pid']}) since {holder['since']}, running `{holder['operation']}`"
        except (OSError, ValueError, KeyError):
            who = "a process that has not said yet who it is"
        return MlctlError.of(
            "state.locked",
            f"the state is held by {who}",
            "one writer at a time; plan and status need no lock",
            "wait for it to end, then try again",
            exit_code=ExitCode.LOCKED,
        )


def _is_of(entries: journal.Entries, state: State) -> bool:
    """Whether a journal is of this state, or of the first apply ever, which had no state file yet."""
    return state.serial == 0 or (entries.lineage, entries.serial) == (state.lineage, state.serial)


def _was_folded(entries: journal.Entries, state: State) -> bool:
    """Whether a journal is in this state already: a kill came between the fold and the removal of the journal."""
    return entries.lineage == state.lineage and entries.serial < state.serial


def _merged(state: State, entries: journal.Entries | None) -> State:
    """The state with the entries of its journal put in."""
    if entries is None or not entries.records or not _is_of(entries, state):
        return state
    objects = dict(state.objects)
    for key, record in entries.records:
        if record is None:
            objects.pop(key, None)
        else:
            objects[key] = record
    return State(entries.lineage, state.serial, objects)


def _unreadable(path: Path, error: OSError) -> MlctlError:
    return MlctlError.of(
        "state.cannot-read",
        f"the state cannot be read: {error.strerror}",
        f"it is kept in {path}",
        "mend the file's permissions",
    )


def _encode(state: State) -> bytes:
    """The bytes of a state file: one object a line, sorted, so that equal states are equal bytes and diffs are short."""
    lines = [
        f"{json.dumps(str(key))}: {json.dumps(record.to_json(), sort_keys=True, allow_nan=False)}"
        for key, record in sorted(state.objects.items())
    ]
    head = json.dumps({"format": FORMAT, "lineage": state.lineage, "serial": state.serial})[:-1]
    return (head + ', "objects": {\n' + ",\n".join(lines) + "\n}}\n").encode("utf-8", "surrogatepass")


def _holder(operation: str) -> dict[str, Any]:
    return {
        "who": provenance.who(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "operation": operation,
    }
