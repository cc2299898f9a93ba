"""A typed project: its resources, what each depends on, and a place in a file for everything that may be said about them."""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from mlctl.provider import Block, Context, Kind, Spec
from mlctl.spec.collection import NAME_RULE, Collected, is_name
from mlctl.spec.graph import Edges, Graph, cycles, order
from mlctl.spec.report import Report
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, found, shown
from mlctl.spec.validation import YamlPath, validate
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, MlctlError, SourceRange
from mlctl.types.value import Json, digest

PROJECT_FILE = "mlctl.yaml"
_CHAIN_ENDS = 4  # how much of a long cycle is told from each end


class Owner(Block):
    """Who answers for a project."""

    team: str = ""
    on_call: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One block of a section, typed."""

    address: Address
    kind: Kind
    spec: Spec


@dataclass(frozen=True)
class Project:
    """A valid project. `edges[a]` holds everything that `a` depends on and how; `order` puts dependencies first, ties by address.

    `settings` holds the blocks that are not resources, with defaults filled in, for those that are written or in use.
    `digest` covers all values of all files; comments, layout and the order of fields do not count.
    """

    root: Path
    files: tuple[Path, ...]
    name: str
    owner: Owner
    settings: Mapping[str, Mapping[str, Json]]
    resources: Mapping[Address, Resource]
    edges: Edges
    order: tuple[Address, ...]
    digest: str
    sources: Mapping[Address, Source] = field(default_factory=dict, repr=False)

    def where(self, address: Address, path: YamlPath = (), *, key: bool = False) -> SourceRange | None:
        """The place of a resource's field, or of the resource's name for an empty path; None for an address not in the project."""
        source = self.sources.get(address)
        if source is None:
            return None
        full = (address.section, address.name, *path)
        return source.where_key(full) if key or not path else source.where(full)

    def check(self, ctx: Context) -> list[Diagnostic]:
        """Every kind's offline rules for every resource, in file order, each with its place."""
        found: list[Diagnostic] = []
        for address in self.resources:
            resource = self.resources[address]
            try:
                diagnostics: Sequence[Diagnostic] = resource.kind.check(resource.spec, ctx)
            except MlctlError as error:
                diagnostics = error.diagnostics
            found += [self.located(address, item) for item in diagnostics]
        return found

    def located(self, address: Address, diagnostic: Diagnostic) -> Diagnostic:
        """A kind's diagnostic with the resource's address and the place its relative `path` leads to."""
        where = diagnostic.where or self.where(address, diagnostic.path)
        return replace(diagnostic, address=diagnostic.address or str(address), where=where)


class Kinds(Protocol):
    """What a project may hold; `mlctl.registry` reads it from what is installed."""

    def sections(self) -> Collection[str]:
        """The sections, each of one kind of resource."""
        ...

    def settings(self) -> Collection[str]:
        """The names of the blocks that are not resources."""
        ...

    def kind(self, section: str) -> Kind:
        """The kind of a section. Raises MlctlError."""
        ...

    def settings_model(self, name: str) -> type[BaseModel]:
        """The model of a settings block. Raises MlctlError."""
        ...


def load_project(root: Path, kinds: Kinds, file: Path | None = None) -> Project:
    """Read the project file of a folder, or another one, and what it includes. Raises MlctlError with every problem of every file."""
    with _no_collection():
        return _Loader(root, kinds, file if file is not None else root / PROJECT_FILE).load()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from walking a tree that only grows: it takes most of the time of a large project."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Loader:
    """Types what was collected, links it, and gives it back as a project when nothing is wrong."""

    def __init__(self, root: Path, kinds: Kinds, file: Path) -> None:
        self.root = root
        self.kinds = kinds
        self.report = Report()
        self.suggest = Suggestions()
        self.files = Collected(root, file, kinds.sections(), kinds.settings(), self.report, self.suggest)
        self.broken: set[str] = set()  # sections whose kind cannot be used
        self.resources: dict[Address, Resource] = {}
        self.templated: dict[Address, Json] = {}

    def load(self) -> Project:
        self.files.read()
        name, owner = self._heading(self.files.main, self.files.heading)
        self._validate_resources()
        settings = self._settings()
        graph = self._graph()
        ordered = self._ordered(graph)
        if self.report.failed:
            raise MlctlError(self.report.sorted(self.files.sources))
        return Project(
            root=self.root,
            files=tuple(self.files.files),
            name=name,
            owner=owner,
            settings=settings,
            resources=self.resources,
            edges=graph.edges,
            order=ordered,
            digest=digest(self._everything()),
            sources=self.files.homes,
        )

    def _heading(self, main: Source, top: Mapping[str, Json]) -> tuple[str, Owner]:
        """The project's name and owner."""
        name, owner = top.get("project"), top.get("owner", {})
        if name is None:
            if isinstance(main.value, dict):
                self.report.at(
                    main,
                    ("project",),
                    "spec.missing-field",
                    f"{main.name} needs the field `project`",
                    "it names the project in the tools it uses",
                    "add `project: NAME` as the first line",
                    key=True,
                )
        elif not isinstance(name, str):
            self.report.at(
                main,
                ("project",),
                "spec.wrong-type",
                "`project` takes a text",
                f"{found(name)} stands there",
                "put quotes around it",
            )
        elif not is_name(name):
            self.report.at(
                main,
                ("project",),
                "spec.bad-name",
                f"{shown(name)} cannot be the name of a project",
                NAME_RULE,
                "rename it",
            )
        made = self._block(main, ("owner",), Owner, owner, "owner")
        return str(name), made if made is not None else Owner()

    def _validate_resources(self) -> None:
        for address, source in self.files.homes.items():
            kind = self._kind(address.section, source)
            if kind is None:
                continue
            values = self.files.values[address]
            spec: Spec | None = self._block(
                source, (address.section, address.name), kind.spec, values, str(address), address
            )
            if spec is not None:
                self.resources[address] = Resource(address, kind, spec)

    def _kind(self, section: str, source: Source) -> Kind | None:
        if section in self.broken:
            return None
        try:
            return self.kinds.kind(section)
        except MlctlError as error:
            self.broken.add(section)
            for item in error.diagnostics:
                self.report.at(source, (section,), item.code, item.summary, item.why, item.fix, key=True)
            return None

    def _settings(self) -> dict[str, Mapping[str, Json]]:
        """The settings that are written or that a kind in use reads, with defaults."""
        wanted: dict[str, Address | None] = dict.fromkeys(self.files.settings)
        for address, resource in self.resources.items():
            for name in resource.kind.settings:
                wanted.setdefault(name, address)
        result: dict[str, Mapping[str, Json]] = {}
        for name, user in sorted(wanted.items()):
            source, value = self.files.settings.get(
                name, (self.files.homes[user] if user is not None else self.files.main, {})
            )
            path: YamlPath = (name,) if user is None else (user.section, user.name)
            try:
                model = self.kinds.settings_model(name)
            except MlctlError as error:
                for item in error.diagnostics:
                    self.report.at(source, path, item.code, item.summary, item.why, item.fix, key=True)
                continue
            made = self._block(source, path, model, value, name)
            if made is not None:
                result[name] = made.model_dump(mode="json")
        return result

    def _block(
        self, source: Source, path: YamlPath, model: type[Any], values: Json, label: str, address: Address | None = None
    ) -> Any:
        """One typed block, or None and its problems. Expressions are for resources: in other blocks nothing would replace them."""
        if not isinstance(values, dict):
            self.report.at(
                source,
                path,
                "spec.wrong-type",
                f"{label} takes a block",
                f"{found(values)} stands there",
                "write `field: value` lines below it, or `{}` for a block without fields",
                address=address,
            )
            return None
        text = json.dumps(values)
        if "${" in text:
            if address is None:
                self.report.at(
                    source,
                    path,
                    "spec.bad-expression",
                    f"{label} cannot hold an expression",
                    "it is needed before any resource exists",
                    "write the value itself",
                    key=True,
                )
            else:
                self.templated[address] = values
        made, problems = validate(model, values, text, label, self.suggest)
        for problem in problems:
            self.report.problem(source, path, problem, address)
        return made

    def _graph(self) -> Graph:
        graph = Graph(self.files.homes.keys(), self.suggest, complete=len(self.resources) == len(self.files.homes))
        try:
            graph.add({address: resource.spec for address, resource in self.resources.items()}, self.templated)
        except MlctlError as error:
            self.report.diagnostics += error.diagnostics
        for address, problem in graph.problems:
            self.report.problem(self.files.homes[address], (address.section, address.name), problem, address)
        return graph

    def _ordered(self, graph: Graph) -> tuple[Address, ...]:
        ordered = order(graph.edges)
        for cycle in cycles(graph.edges, ordered):
            first, second = cycle[0], cycle[1 % len(cycle)]
            path = (first.section, first.name, *graph.places[first, second])
            summary = f"these resources wait for each other: {_chain([*cycle, first])}"
            self.report.at(
                self.files.homes[first],
                path,
                "spec.cycle",
                f"{first} depends on itself" if len(cycle) == 1 else summary,
                f"{first} names {second} here; none of them could come first",
                "remove one of the references",
                address=first,
            )
        return ordered

    def _everything(self) -> Json:
        resources: dict[str, dict[str, Json]] = {}
        for address, value in self.files.values.items():
            resources.setdefault(address.section, {})[address.name] = value
        return {
            **{name: value for name, (_, value) in self.files.settings.items()},
            **resources,
            **{name: self.files.heading.get(name) for name in ("project", "owner")},
        }


def _chain(addresses: Sequence[Address]) -> str:
    """`a → b → a`; of a long chain the beginning and the end."""
    names = [str(address) for address in addresses]
    if len(names) > 2 * _CHAIN_ENDS + 1:
        names[_CHAIN_ENDS:-_CHAIN_ENDS] = [f"… {len(names) - 2 * _CHAIN_ENDS} more …"]
    return " → ".join(names)
