"""Floor 7, the composition root: a project folder opened with its kinds, its state and a context. No logic lives here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from mlctl.engine.ledger import Ledger
from mlctl.engine.store import Session, Store, open_store
from mlctl.engine.store.protocol import Waiting
from mlctl.estimate.prices import PriceList, Prices, Pricing
from mlctl.files.digests import FileDigests
from mlctl.provider import Context, Kind
from mlctl.registry import Registry
from mlctl.spec import price_files
from mlctl.spec.assigned import Assignment
from mlctl.spec.environments import HOME
from mlctl.spec.heading import Heading, read_heading, read_names
from mlctl.spec.project import PROJECT_FILE, Chosen, Project, Surroundings, load_project, load_surroundings
from mlctl.spec.reading import Reader
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.interrupt import Interrupt
from mlctl.types.secret import sealed_names
from mlctl.types.state import Record, State
from mlctl.types.value import Json

__all__ = ["HOME", "Chosen", "Workspace"]


@dataclass
class Workspace:
    """One project folder and one environment of it. Files are read, and the state is opened, when they are asked for."""

    root: Path
    file: Path | None = None
    chosen: Chosen = field(default_factory=Chosen)
    deep: bool = False
    texts: Mapping[str, str] | None = None  # the project files of a saved plan, in place of those on the disk
    values: Mapping[str, Json] | None = None  # and the values of its variables
    pricing: Pricing = field(default_factory=Pricing)  # what the command line says of prices
    given: tuple[Assignment, ...] = ()  # values in place of those in the files
    secretless: bool = False  # whether the project is checked where there are no secrets, and is not to be made

    def __post_init__(self) -> None:
        self.root = self.root.resolve()
        self.files = Reader(self.root, self.texts)
        self.registry = Registry()
        self.digests = FileDigests(self.root / HOME / "cache" / "digests.txt")
        self.stop = Interrupt()
        self._noticed: list[Diagnostic] = []
        self.unread: Sequence[
            Diagnostic
        ] = ()  # why the project's resources cannot be read, where a command did without them

    @property
    def main(self) -> Path:
        """The project file itself."""
        kept = next(iter(self.texts), "") if self.texts is not None and PROJECT_FILE not in self.texts else ""
        return self.file or self.root / (kept or PROJECT_FILE)

    @cached_property
    def heading(self) -> Heading:
        """The environment and where its state is, whatever is wrong with the rest of the project. Raises MlctlError."""
        return read_heading(self.files, self.main, self.chosen, self.values)

    @cached_property
    def declared(self) -> list[str]:
        """The environments that the project declares; `default` when it declares none. Raises MlctlError."""
        return read_names(self.files, self.main)

    @property
    def environment(self) -> str:
        """The name of the environment that was chosen, or that is meant when none was."""
        return self.heading.environment.name

    @property
    def home(self) -> Path:
        """Where this environment keeps its objects."""
        return self.root / HOME / self.environment

    @cached_property
    def store(self) -> Store:
        """The state of this environment."""
        settings = self.heading.backend.model_dump(exclude_none=True, exclude_unset=True)
        return open_store(self.home, settings or None, self.heading.project, self.environment)

    @cached_property
    def loaded(self) -> Project:
        """The project as it is written, typed and linked: enough to look at what was made, or to remove it. Raises MlctlError.

        Secrets that are not set are no error here: their places are held by a word.
        """
        chosen = replace(self.chosen, environment=self.environment)
        return load_project(
            self.root, self.registry, self.main, chosen, values=self.values, reader=self.files, given=self.given
        )

    @cached_property
    def surroundings(self) -> Surroundings:
        """What holds of the project whatever its resources say: what was made can be looked at, stopped and taken back while somebody
        is still writing them. `unread` then tells what is wrong. Raises MlctlError when not even that can be told."""
        try:
            return self.loaded
        except MlctlError as error:
            chosen = replace(self.chosen, environment=self.environment)
            records = list(self.ledger())
            sections = {record.key.address.section for record in records}
            secrets = sealed_names([record.to_json() for record in records])
            found = load_surroundings(
                self.root, self.registry, self.main, chosen, reader=self.files, sections=sections, secrets=secrets
            )
            self.unread = error.diagnostics
            return found

    @cached_property
    def _price_lists(self) -> tuple[PriceList, PriceList]:
        """The user's and the project's."""
        around = self.surroundings
        return price_files.lists(self.root, around.settings, lambda: around.where_block(("prices", "file")))

    @cached_property
    def prices(self) -> Prices:
        """What devices cost: by the lists of the package, the user and the project, and by the command line."""
        allow_stale = self.pricing.allow_stale or price_files.stale_allowed()
        return Prices(self._price_lists, self.pricing.rows, today=price_files.day(), allow_stale=allow_stale)

    @cached_property
    def project(self) -> Project:
        """The project, wholly checked offline, for what works on it. Raises MlctlError with every problem of its files."""
        found = self.loaded.check(self.context(State("")), secretless=self.secretless)
        found += price_files.problems(self._price_lists[1])
        problems = [item for item in found if item.severity is Severity.ERROR]
        if problems:
            raise MlctlError(problems)
        self._noticed = found
        return self.loaded

    @property
    def noticed(self) -> tuple[Diagnostic, ...]:
        """The warnings of the project's check; none before `project` is asked for, as it is not to look at what was made."""
        return tuple(self._noticed)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What a command that plans tells beside the plan: of the project, and of its state."""
        return (*self._noticed, *self.store.warnings)

    def context(self, state: State | Ledger) -> Context:
        """What kinds may know, for a command that works on this state."""
        around = self.surroundings
        return Context(
            root=self.root, home=self.home, environment=self.environment, project=around.name, lineage=state.lineage,
            settings=around.settings, digests=self.digests, stop=self.stop, deep=self.deep,
            secrets=around.secrets, origins=state.origins if isinstance(state, Ledger) else {}, prices=self.prices,
        )  # fmt: skip

    @contextmanager
    def session(
        self, operation: str, *, wait_seconds: float = 0.0, run: str = "", waiting: Waiting | None = None
    ) -> Iterator[tuple[Session, Context]]:
        """The right to change the state, with a context for it; `wait_seconds` is how long another writer is waited for."""
        before = self.context(State(""))  # whatever may be wrong with the project must not even take the lock
        with self.store.session(operation, wait_seconds=wait_seconds, run=run, waiting=waiting) as session:
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
