"""Floor 7, the composition root: a project folder opened with its kinds, its state and a context. No logic lives here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mlctl.engine.ledger import Ledger
from mlctl.engine.store import LocalStore, Session
from mlctl.files.digests import FileDigests
from mlctl.provider import Context, Kind
from mlctl.registry import Registry
from mlctl.spec.project import Project, load_project
from mlctl.types.diagnostic import MlctlError, Severity
from mlctl.types.state import Record, State

HOME = ".mlctl"
ENVIRONMENT = "default"


@dataclass
class Workspace:
    """One project folder and one environment of it."""

    root: Path
    file: Path | None = None
    environment: str = ENVIRONMENT
    deep: bool = False

    def __post_init__(self) -> None:
        self.root = self.root.resolve()
        self.home = self.root / HOME / self.environment
        self.store = LocalStore(self.home)
        self.registry = Registry()
        self.digests = FileDigests(self.root / HOME / "cache" / "digests.json")
        self.stop = threading.Event()

    @cached_property
    def loaded(self) -> Project:
        """The project as it is written, typed and linked: enough to look at what was made, or to remove it. Raises MlctlError."""
        return load_project(self.root, self.registry, self.file)

    @cached_property
    def project(self) -> Project:
        """The project, wholly checked offline, for what works on it. Raises MlctlError with every problem of its files."""
        problems = [item for item in self.loaded.check(self.context(State(""))) if item.severity is Severity.ERROR]
        if problems:
            raise MlctlError(problems)
        return self.loaded

    def context(self, state: State | Ledger) -> Context:
        """What kinds may know, for a command that works on this state."""
        return Context(
            root=self.root, home=self.home, environment=self.environment, project=self.loaded.name, lineage=state.lineage,
            settings=self.loaded.settings, digests=self.digests, stop=self.stop, deep=self.deep,
        )  # fmt: skip

    @contextmanager
    def session(self, operation: str) -> Iterator[tuple[Session, Context]]:
        """The right to change the state, with a context for it."""
        before = self.context(State(""))  # a project that cannot be read must not even take the lock
        with self.store.session(operation) as session:
            yield session, replace(before, lineage=session.ledger.lineage)

    def kind(self, section: str) -> Kind:
        """The kind of a section. Raises MlctlError when there is none or a package is missing."""
        return self.registry.kind(section)

    def reader(self) -> tuple[Ledger, Context]:
        """The state as it is now and a context, for a command that changes nothing."""
        ledger = self.ledger()
        return ledger, self.context(ledger)

    def ledger(self) -> Ledger:
        """The state as it is now, whatever the project files look like."""
        return Ledger(self.store.read())

    def records(self) -> dict[str, Record]:
        """The object of each address that can be used, by address; what was never made to the end is left out."""
        ledger = self.ledger()
        found = {str(record.key.address): ledger.made(record.key.address) for record in ledger}
        return {name: record for name, record in sorted(found.items()) if record is not None}
