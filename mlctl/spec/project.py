"""Load a project: collect its blocks, choose the environment, put values in, expand modules and instances, type, link, order."""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlctl.provider import Spec
from mlctl.spec import assigned, environments
from mlctl.spec.assigned import Assignment
from mlctl.spec.blocks import NAME_RULE, Written, is_name
from mlctl.spec.collection import Collected
from mlctl.spec.environments import Environment
from mlctl.spec.expansion import Expansion
from mlctl.spec.graph import Graph
from mlctl.spec.heading import in_force
from mlctl.spec.model import Kinds, Owner, Project, Resource, Surroundings
from mlctl.spec.modules import Modules
from mlctl.spec.naming import in_full
from mlctl.spec.places import Located, Part, Place
from mlctl.spec.policies import Policy
from mlctl.spec.reading import Reader
from mlctl.spec.renames import Renames
from mlctl.spec.report import Report
from mlctl.spec.scope import Broken, Scope, Unresolved, World
from mlctl.spec.secret_key import project_key
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, found, shown
from mlctl.spec.validation import YamlPath, validate
from mlctl.spec.values import Chosen, Values
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.secret import Secrets, announce
from mlctl.types.value import Json, digest

__all__ = [
    "PROJECT_FILE", "Chosen", "Kinds", "Owner", "Project", "Resource", "Surroundings", "load_project", "load_surroundings"
]  # fmt: skip

PROJECT_FILE = "mlctl.yaml"


def load_project(
    root: Path,
    kinds: Kinds,
    file: Path | None = None,
    chosen: Chosen | None = None,
    texts: Mapping[str, str] | None = None,
    values: Mapping[str, Json] | None = None,
    *,
    reader: Reader | None = None,
    given: Sequence[Assignment] = (),
) -> Project:
    """Read the project file of a folder, or another one, and what it includes. Raises MlctlError with every problem of every file.

    With `texts` and `values`, those of an earlier `Project`, nothing but secrets is read from anywhere else. What is `given` is
    laid over what the files say.
    """
    with _no_collection():
        used = reader if reader is not None else Reader(root, texts)
        return _Loader(used, kinds, file or root / PROJECT_FILE, chosen or Chosen(), values, given).load()


def load_surroundings(
    root: Path,
    kinds: Kinds,
    file: Path | None = None,
    chosen: Chosen | None = None,
    *,
    reader: Reader,
    sections: Collection[str] = (),
    secrets: Collection[str] = (),
) -> Surroundings:
    """What holds of a project whose resources somebody is still writing, with the defaults of what these `sections` and the written
    ones need, and these `secrets`, which what was made holds. Raises MlctlError when not even that can be told."""
    with _no_collection():
        loader = _Loader(reader, kinds, file or root / PROJECT_FILE, chosen or Chosen(), None)
        return loader.surroundings(sections, secrets)


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

    def __init__(
        self,
        reader: Reader,
        kinds: Kinds,
        file: Path,
        chosen: Chosen,
        kept: Mapping[str, Json] | None,
        given: Sequence[Assignment] = (),
    ) -> None:
        self.reader = reader
        self.kinds = kinds
        self.chosen = chosen
        self.kept = kept
        self.given = given
        self.report = Report()
        self.suggest = Suggestions()
        sections, settings = kinds.sections(), kinds.settings()
        self.files = Collected(reader, file, sections, settings, self.report, self.suggest)
        self.modules = Modules(reader, sections, settings, self.report, self.suggest)
        self.broken: set[str] = set()  # sections whose kind cannot be used
        self.blocks: dict[Address, Written] = {}
        self.resolved: dict[Address, Json] = {}  # the values of each block with everything put in
        self.resources: dict[Address, Resource] = {}
        self.templated: dict[Address, Json] = {}

    def _collected(self) -> tuple[Environment, Values, World]:
        """The environment and the values in force, once all files are read and what they say is sorted."""
        self.files.read()
        environment = self._environment()
        main = self.files.main
        values = in_force(
            main, self.files.said("variables"), environment, self.chosen, self.kept, self.report, self.suggest
        )
        world = World(values, self.suggest)
        self.scope = Scope(world)
        environments.state_backend(main, self.files.said("state"), environment, self.scope, self.report, self.suggest)
        self.files.collect(self.scope)
        self.files.lay(environment, self.scope)
        known = self.kinds.sections(), self.kinds.settings()
        assigned.lay(self.given, self.files, *known, self.scope, self.report, self.suggest)
        return environment, values, world

    def surroundings(self, sections: Collection[str], secrets: Collection[str]) -> Surroundings:
        """What holds whatever the blocks of resources say."""
        _, values, _ = self._collected()
        told = list(self.report.diagnostics)  # of it only what leaves the name or a setting unknown is of matter here
        self.report.diagnostics.clear()
        places: dict[str, Located] = dict.fromkeys(sections, Place(self.files.main, ()))
        places |= {address.section: block.place for address, block in self.files.blocks.items()}
        used: dict[str, Located] = {}
        for section, place in places.items():
            with suppress(MlctlError):  # a kind that is not installed reads no settings
                used |= dict.fromkeys(self.kinds.kind(section).settings, place)
        name, settings = self._project_name(self.files.main), self._settings(used)
        for label in secrets:  # no expression of a block is looked at here, so that nobody else asks for them
            if label.startswith("env."):
                values.environ(label.removeprefix("env."))
        announce(Secrets(values.secrets))
        if not self.report.failed and (self._unreadable() or {*used, *self.files.settings} - settings.keys()):
            self.report.diagnostics += told
        if self.report.failed:
            raise self._failure()
        return Surroundings(name=name, settings=settings, secrets=self._secrets(values), headings=self._headings())

    def _unreadable(self) -> bool:
        """Whether there is a file of which nothing is known: the name and settings could stand there."""
        unread = any(source.value is None and source.diagnostics for source in self.files.sources)
        return unread or not isinstance(self.files.main.value, dict)

    def load(self) -> Project:
        environment, values, world = self._collected()
        main = self.files.main
        title, owner = self._project_name(main), self._owner()
        expansion = Expansion(world, self.modules, self.report, self.suggest)
        expansion.run(self.files.blocks)
        if expansion.broken:
            raise self._failure()
        self.blocks = expansion.blocks
        self._validate_resources(owner)
        used: dict[str, Located] = {}
        for address, resource in self.resources.items():
            for name in resource.kind.settings:
                used.setdefault(name, self.blocks[address].place)
        settings = self._settings(used)
        graph, ordered = self._graph(expansion, world)
        renames = Renames(world.addresses, self.files.removed, self.report, self.suggest)
        moved = renames.moved(self.files.said("moved"), Place(main, ("moved",)))
        imports = renames.imports(self.files.said("import"), self._heading_place("import"), self.scope)
        policies = self._policies(environment)
        announce(Secrets(values.secrets))  # before anything is said of the project, and its mistakes are said first
        if self.report.failed:
            raise self._failure()
        secrets = self._secrets(values)
        return Project(
            root=self.reader.root,
            files=tuple(self.files.files),
            name=title,
            owner=owner,
            settings=settings,
            resources=self.resources,
            edges=graph.edges,
            order=ordered,
            digest=digest(secrets.masked(self._everything(settings))),
            places={address: block.place for address, block in self.blocks.items()},
            environment=environment.name,
            base=environment.base,
            texts=self.reader.texts,
            values=values.plain(),
            secrets=secrets,
            unset=values.missing,
            moved=moved,
            imports=imports,
            module_outputs={name: module.outputs() for name, module in world.modules.items()},
            policies=policies,
            headings=self._headings(),
        )

    def _secrets(self, values: Values) -> Secrets:
        return Secrets(values.secrets, project_key(self.reader.root)) if values.secrets else Secrets()

    def _headings(self) -> dict[str, Located]:
        return {name: place for name, (place, _) in (self.files.heading | self.files.settings).items()}

    def _failure(self) -> MlctlError:
        return MlctlError(self.report.sorted([*self.files.sources, *self.modules.sources]))

    def _environment(self) -> Environment:
        """The environment that was chosen. Raises MlctlError when none can be."""
        main = self.files.main
        known = environments.declared(main, self.files.said("environments"), self.report, self.suggest)
        return environments.choose(known, self.chosen.environment, main, self.reader)

    def _project_name(self, main: Source) -> str:
        name = self.files.said("project")
        if name is None:
            if isinstance(main.value, dict):
                summary, why = f"{main.name} needs the field `project`", "it names the project in the tools it uses"
                fix = "add `project: NAME` as the first line"
                self.report.at(main, ("project",), "spec.missing-field", summary, why, fix, key=True)
        elif not isinstance(name, str):
            why = f"{found(name)} stands there"
            self.report.at(main, ("project",), "spec.wrong-type", "`project` takes a text", why, "put quotes around it")
        elif not is_name(name):
            summary = f"{shown(name)} cannot be the name of a project"
            self.report.at(main, ("project",), "spec.bad-name", summary, NAME_RULE, "rename it")
        return str(name)

    def _owner(self) -> Owner:
        value = self.files.said("owner") if "owner" in self.files.heading else {}
        made = self._block(self._heading_place("owner"), Owner, value, "owner")
        return made if made is not None else Owner()

    def _heading_place(self, name: str) -> Located:
        return self.files.heading[name][0] if name in self.files.heading else Place(self.files.main, (name,))

    def _policies(self, environment: Environment) -> dict[str, Policy]:
        """The policies that count in this environment."""
        place, block = self._heading_place("policies"), self.files.said("policies")
        if block is not None and not isinstance(block, dict):
            why = f"{found(block)} stands there"
            summary = "`policies` takes a block of policies by name"
            self.report.at(place, (), "spec.wrong-type", summary, why, "write `policies: {NAME: {deny: …}}`")
            return {}
        result: dict[str, Policy] = {}
        known = self.files.said("environments")
        for name, values in (block or {}).items():
            here = Part(place, (name,))
            made = self._block(here, Policy, values, f"policies.{name[:60]}")
            if made is None:
                continue
            for index, wanted in enumerate(made.environments or ()):
                if wanted not in (known if isinstance(known, dict) else (environments.DEFAULT,)):
                    why, fix = "the policy would never count there", self.suggest(wanted, list(known or ()))
                    summary = f"there is no environment {shown(wanted)}"
                    self.report.at(here, ("environments", index), "spec.dangling-reference", summary, why, fix)
            if made.environments is None or {environment.name, environment.base} & set(made.environments):
                result[name] = made
        return result

    def _validate_resources(self, owner: Owner) -> None:
        for address, block in self.blocks.items():
            kind = self._kind(address.section, block)
            if kind is None:
                continue
            values = block.values
            if owner.team and isinstance(values, dict) and "owner" not in values:
                values = {**values, "owner": owner.team}
            spec: Spec | None = self._block(block.place, kind.spec, values, str(address), address, block.scope)
            if spec is not None:
                self.resources[address] = Resource(address, kind, spec)

    def _kind(self, section: str, block: Written) -> Any:
        if section in self.broken:
            return None
        try:
            return self.kinds.kind(section)
        except MlctlError as error:
            self.broken.add(section)
            place = block.place
            for item in error.diagnostics:
                if isinstance(place, Place):  # the section's own line says more than that of its first resource
                    self.report.at(place.source, place.path[:-1], item.code, item.summary, item.why, item.fix, key=True)
                else:
                    self.report.at(place, (), item.code, item.summary, item.why, item.fix, key=True)
            return None

    def _settings(self, used: Mapping[str, Located]) -> dict[str, Mapping[str, Json]]:
        """The settings that are written or `used` by a kind, whose block is told where its defaults do not hold; with defaults."""
        wanted = {**{name: (place, {}) for name, place in used.items()}, **self.files.settings}
        result: dict[str, Mapping[str, Json]] = {}
        for name, (place, value) in sorted(wanted.items()):
            try:
                model = self.kinds.settings_model(name)
            except MlctlError as error:
                for item in error.diagnostics:
                    self.report.at(place, (), item.code, item.summary, item.why, item.fix, key=True)
                continue
            field = getattr(model, "short", None)
            made = self._block(place, model, {field: value} if field and isinstance(value, str) else value, name)
            if made is not None:
                result[name] = made.model_dump(mode="json")
        return result

    def _block(
        self,
        place: Located,
        model: type[Any],
        values: Json,
        label: str,
        address: Address | None = None,
        scope: Scope | None = None,
    ) -> Any:
        """One typed block, or None and its problems. Outputs are for resources: other blocks are needed before any exists."""
        if not isinstance(values, dict):
            why, fix = (
                f"{found(values)} stands there",
                "write `field: value` lines below it, or `{}` for a block without fields",
            )
            self.report.at(place, (), "spec.wrong-type", f"{label} takes a block", why, fix, address=address)
            return None
        text = json.dumps(values)
        if "${" in text:
            values = self._put_in(place, values, address, scope or self.scope)
            if values is None:
                return None
            text = json.dumps(values)
            if "${" in text and address is None:
                why, fix = "it is needed before any resource exists", "write the value itself"
                summary = f"{label} cannot hold an expression"
                self.report.at(place, (), "spec.bad-expression", summary, why, fix, key=True)
        made, problems = validate(model, values, text, label, self.suggest)
        for problem in problems:
            self.report.problem(place, (), problem, address)
        if made is not None and scope is not None and scope.module is not None:
            full = in_full(made, values, scope)
            if full is not values:
                values = full
                made = model.model_validate(values)
        if address is not None:
            self.resolved[address] = values
            if "${" in text:
                self.templated[address] = values
        return made

    def _put_in(self, place: Located, values: Json, address: Address | None, scope: Scope) -> Json:
        """The values of a block with everything put in that is known before anything runs; None when that cannot be."""
        problems: list[tuple[YamlPath, Unresolved]] = []
        try:
            result = scope.resolve(values, lambda at, problem: problems.append((at, problem)))
        except Broken:
            return None
        for at, problem in problems:
            self.report.at(place, at, *problem.told, address=address)
        return None if problems else result

    def _graph(self, expansion: Expansion, world: World) -> tuple[Graph, tuple[Address, ...]]:
        complete = len(self.resources) == len(expansion.declared)
        graph = Graph(expansion.declared, self.suggest, complete=complete, instances=world.instances)
        try:
            graph.add({address: resource.spec for address, resource in self.resources.items()}, self.templated)
        except MlctlError as error:
            self.report.diagnostics += error.diagnostics
        ordered = graph.ordered()
        for address, problem in graph.problems:
            self.report.problem(self.blocks[address].place, (), problem, address)
        return graph, ordered

    def _everything(self, settings: Mapping[str, Json]) -> Json:
        resources: dict[str, dict[str, Json]] = {}
        for address, value in self.resolved.items():
            resources.setdefault(address.section, {})[address.name] = value
        return {
            **settings,
            **resources,
            **{name: self.files.said(name) for name in ("project", "owner", "policies", "moved", "import")},
        }
