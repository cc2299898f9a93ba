"""A typed project: its resources, what each depends on, and a place in a file for everything that may be said about them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from mlctl.provider import Block, Context, Kind, Spec
from mlctl.spec import asking
from mlctl.spec.environments import DEFAULT
from mlctl.spec.graph import Edges
from mlctl.spec.lifecycle import lifecycle_problems
from mlctl.spec.places import Located
from mlctl.spec.policies import Policy
from mlctl.spec.report import told_once
from mlctl.spec.validation import YamlPath
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity, SourceRange
from mlctl.types.secret import Secrets
from mlctl.types.value import Json


class Owner(Block):
    """Who answers for a project. The team is the `owner` of every resource that names none."""

    team: str = ""
    on_call: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One block of a section, typed."""

    address: Address
    kind: Kind
    spec: Spec


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What of a project holds whatever its resources say: enough to look at what was made, and to work on that.

    `settings` holds the blocks that are not resources, with defaults filled in, for those that are written or in use.
    """

    name: str
    settings: Mapping[str, Mapping[str, Json]]
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    headings: Mapping[str, Located] = field(default_factory=dict, repr=False)  # where `policies`, `moved` … stand

    def where_block(self, path: YamlPath) -> SourceRange | None:
        """The place of a block of the project that is no resource, such as `("policies", "no_destroy")`, or of a field of it."""
        place = self.headings.get(str(path[0]))
        return None if place is None else place.where_key(path[1:])


@dataclass(frozen=True, kw_only=True)
class Project(Surroundings):
    """A valid project. `edges[a]` holds everything that `a` depends on and how; `order` puts dependencies first, ties by address.

    `digest` covers all values in force, secrets by their keyed digests; comments, layout and the order of fields do not count.
    """

    root: Path
    files: tuple[Path, ...]
    owner: Owner
    resources: Mapping[Address, Resource]
    edges: Edges
    order: tuple[Address, ...]
    digest: str
    places: Mapping[Address, Located] = field(default_factory=dict, repr=False)
    environment: str = DEFAULT
    base: str = (
        DEFAULT  # the declared environment whose overlay is in force: another one when the environment is ad hoc
    )
    texts: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # of all files by relative path, the main one first
    values: Mapping[str, Json] = field(default_factory=dict)  # variables in force, and `env.NAME`; no secrets
    unset: Mapping[str, Diagnostic] = field(
        default_factory=dict
    )  # secrets: only looking and removing works without them
    moved: tuple[tuple[Address, Address], ...] = ()  # from, to
    imports: Mapping[Address, str] = field(default_factory=dict)
    module_outputs: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)  # of each use, with names in full
    policies: Mapping[str, Policy] = field(default_factory=dict)  # those that count in this environment

    def block(self, address: Address) -> Spec | None:
        """What is asked of an address; None for one that is not in the project."""
        found = self.resources.get(address)
        return None if found is None else found.spec

    def uses(self, address: Address) -> Collection[Address]:
        """What an address depends on, itself and not through others."""
        return self.edges.get(address, {})

    def where(self, address: Address, path: YamlPath = (), *, key: bool = False) -> SourceRange | None:
        """The place of a resource's field, or of the resource's name for an empty path; None for an address not in the project."""
        place = self.places.get(address)
        if place is None:
            return None
        return place.where_key(path) if key or not path else place.where(path)

    def check(self, ctx: Context, *, secretless: bool = False) -> list[Diagnostic]:
        """Secrets that are missing, then every kind's offline rules for every resource in file order, each with its place.

        `secretless` is for a machine that is given no secrets: those that are missing are warnings then.
        """
        severity = Severity.WARNING if secretless else Severity.ERROR
        found: list[Diagnostic] = [replace(item, severity=severity) for item in self.unset.values()]
        for address in self.resources:
            resource = self.resources[address]
            try:
                diagnostics: Sequence[Diagnostic] = asking.check(resource.kind, address, resource.spec, ctx)
            except MlctlError as error:
                diagnostics = error.diagnostics
            if resource.spec.lifecycle.ignore_changes:
                diagnostics = [*diagnostics, *lifecycle_problems(resource.spec)]
            found += [self.located(address, item) for item in diagnostics]
        return told_once([*found, *self._contradictions(ctx)])

    def _contradictions(self, ctx: Context) -> Iterator[Diagnostic]:
        """What no block shows alone, such as two servers on one port: asked of each kind in use, once."""
        kinds = {address.section: resource.kind for address, resource in self.resources.items()}
        specs = {address: resource.spec for address, resource in self.resources.items()}
        for kind in kinds.values():
            try:
                for address, item in asking.check_together(kind, specs, self.edges, ctx):
                    yield self.located(address, item)
            except MlctlError as error:
                yield from error.diagnostics

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
