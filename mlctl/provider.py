"""Floor 2, public API: what a kind of resource is. Everything mlctl manages is an object that some `Kind` makes.

A kind is registered by entry point (group `mlctl.kinds`) under the YAML section it serves, and imported only when a
project uses that section. Its module must be cheap to import: tools are imported inside functions of `_client.py`, and
heavy work runs in a worker program (`mlctl.launch.job`). How to write one: docs/guides/providers.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from mlctl.block import Block as Block
from mlctl.block import Lifecycle as Lifecycle
from mlctl.block import Link as Link
from mlctl.block import Metadata as Metadata
from mlctl.block import Provided as Provided
from mlctl.block import Reference as Reference
from mlctl.block import Retries as Retries
from mlctl.block import Spec as Spec
from mlctl.estimate.prices import Prices
from mlctl.files.digests import FileDigests
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.estimate import Estimate
from mlctl.types.event import Progress
from mlctl.types.interrupt import Interrupt
from mlctl.types.leaves import class_of as class_of
from mlctl.types.leaves import default_of
from mlctl.types.leaves import flatten as flatten
from mlctl.types.leaves import metadata_fields as metadata_fields
from mlctl.types.secret import Secrets
from mlctl.types.state import Gate, Record, check_outcome
from mlctl.types.value import Json, Unknown

if TYPE_CHECKING:
    from mlctl.estimate.workload import Workload

# Of this module and `mlctl.testing`, as `major.minor`; a package may say by `Kind.api_version` which one it was written for.
API_VERSION = "1.0"


class Family(StrEnum):
    """How the engine treats a kind."""

    BUILD = "build"  # computed once per content key; its identity is that key
    DEFINITION = "definition"  # declared into a tool
    SERVICE = "service"  # runs, and can die


@dataclass(frozen=True, slots=True)
class Input:
    """A dependency as a kind sees it: the object and its outputs. `digest` says whether they are the same as before."""

    key: ObjectKey
    outputs: Mapping[str, Json]
    digest: str


class Blocks(Protocol):
    """The blocks of a project, for who has to look at what is asked of a dependency that is not made yet."""

    def block(self, address: Address) -> Any | None:
        """What the project says of an address, typed; None for one that it has not."""
        ...

    def uses(self, address: Address) -> Collection[Address]:
        """What a block depends on, itself and not through others."""
        ...


@dataclass(frozen=True, slots=True)
class Desired:
    """What the project asks of one address, with references put in as far as they are known.

    `values` is the canonical JSON form of `spec` (with Unknown where an output is still to come) and what the state
    keeps; `parts` is what the content key of a build is made of. When `apply` is called nothing is Unknown any more.
    """

    address: Address
    spec: Any
    values: Mapping[str, Json | Unknown]
    inputs: Mapping[Address, Input | Unknown]
    parts: Mapping[str, str | Unknown]
    identity: str | Unknown
    # the dotted fields of a build that name resources: names do not change what it is
    named: frozenset[str] = frozenset()
    blocks: Blocks | None = field(default=None, compare=False, repr=False)  # the project's, where there is one

    @property
    def key(self) -> ObjectKey:
        """The object asked for. Raises ValueError while its identity is not known."""
        if isinstance(self.identity, Unknown):
            raise ValueError(f"the identity of {self.address} is not known yet")
        return ObjectKey(self.address, self.identity)

    def input(self, section: str, name: str) -> Input:
        """The dependency named in a field. Raises KeyError, and ValueError while it is unknown."""
        found = self.inputs[Address(section, name)]
        if isinstance(found, Unknown):
            raise ValueError(f"{section}.{name} is not known yet")
        return found


class Condition(StrEnum):
    """What `read` found."""

    READY = "ready"
    RUNNING = "running"  # a job of ours is at work on it
    RESUMABLE = "resumable"  # the job is gone, its checkpoint is not
    BROKEN = "broken"  # it exists and does not work


@dataclass(frozen=True, slots=True)
class Observed:
    """An object as its tool reports it now. `fields` holds only fields of the spec that the tool can be asked for."""

    fields: Mapping[str, Json] = field(default_factory=dict)
    condition: Condition = Condition.READY
    detail: str = ""
    note: str = ""  # what a plan tells of an object that it leaves as it is


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `apply` made. Outputs named `digest` decide what dependents see as changed; none may hold a secret."""

    id: str | None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    gate: Gate | None = None

    def __post_init__(self) -> None:
        """Raise TypeError for what could be written into a state and not be read out of it again."""
        check_outcome(self.id, self.outputs, self.gate)


@dataclass(frozen=True)
class Context:
    """What a kind may know of its surroundings."""

    root: Path  # the folder of the project file; paths in a spec are relative to it and stay inside
    home: Path  # where this environment keeps its objects: .mlctl/<environment>
    environment: str
    project: str
    lineage: str
    settings: Mapping[str, Mapping[str, Json]]  # the project's blocks that are no resources, such as `tracking`
    digests: FileDigests
    progress: Callable[[Progress], None] = lambda progress: None  # nobody watches
    stop: Interrupt = field(default_factory=Interrupt)
    secrets: Secrets = field(default_factory=Secrets)  # never in outputs, files or arguments; see `mlctl.types.secret`
    origins: Mapping[ObjectKey, ObjectKey] = field(default_factory=dict)  # of moved: the key each was made under
    pinned: Mapping[Address, str] = field(default_factory=dict)  # builds a rollback goes back to, whatever their inputs
    prices: Prices = field(default_factory=Prices)  # of devices by the hour, read when they are first asked for
    deep: bool = False  # `--refresh=deep`: ask the tool itself even when the cheap evidence has not moved

    def path(self, text: str) -> Path:
        """A path of the spec as an absolute one. Raises MlctlError when it leaves the project folder."""
        path = (self.root / text).resolve()
        if not path.is_relative_to(self.root.resolve()):
            link, rule = self._link_outside(text), "a project reads and writes only below the folder of its mlctl.yaml"
            raise MlctlError.of(
                "spec.path-outside",
                f"the path `{text}` leaves the project folder",
                rule if link is None else f"`{link}` is a link to {os.readlink(self.root / link)}, and {rule}",
                "move the file into the project" if link is None else "put what it links to in its place",
            )
        return path

    def _link_outside(self, text: str) -> Path | None:
        """The first part of a path, from the project folder, that is a link out of it."""
        for part in reversed((Path(text), *Path(text).parents)):
            path = self.root / part
            if part.parts and path.is_symlink() and not path.resolve().is_relative_to(self.root.resolve()):
                return part
        return None

    def made_as(self, key: ObjectKey) -> ObjectKey:
        """The key that an object was made under: what its marks in a tool and its folder are named by, moved or not."""
        return self.origins.get(key, key)

    def folder(self, key: ObjectKey) -> Path:
        """Where an object of ours may keep files: one folder for each address and identity, made on first use by its writer.

        The folder of a moved object stays where it was made. `trips["eu"]` becomes `trips@eu`, since quotes and brackets
        mean something to shells, patterns and URIs.
        """
        made = self.made_as(key)
        name = str(made.address).replace('["', "@").replace('"]', "")
        return self.home / "objects" / name / (made.identity or "self")


@runtime_checkable
class Kind(Protocol):
    """One kind of resource; a plain class, no base class needed. All methods may raise MlctlError, and nothing else."""

    section: ClassVar[str]
    family: ClassVar[Family]
    spec: ClassVar[type[Spec]]
    identity: ClassVar[frozenset[str]]  # the fields that make it *that* object; a build leaves it empty
    field_class: ClassVar[FieldClass]  # the class of every field that is not marked otherwise
    settings: ClassVar[frozenset[str]]  # the project settings it reads; they count as fields of its spec

    def check(self, spec: Any, ctx: Context) -> Sequence[Diagnostic]:
        """Offline rules that the schema cannot state. `Diagnostic.path` is relative to the block."""
        ...

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Look at the real object by cheap evidence (files, pids, rows through sqlite3); None when it is gone. Never writes."""
        ...

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """What differs between recorded, desired and observed. Pure; nearly always `diff_fields`."""
        ...

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Create or update, never replace. A repeat after a crash must end in the same object, made once."""
        ...

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove what `apply` made, and only that. Gone already is success; `prior.id` is None when apply was cut off."""
        ...


@runtime_checkable
class ChecksTogether(Protocol):
    """A kind whose resources can contradict each other, or what they depend on, in ways that no block shows alone."""

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """Offline rules over the whole project: every spec, and what each depends on. Gives the resource to blame with each problem."""
        ...


@runtime_checkable
class Keyed(Protocol):
    """A kind whose objects depend on more than their spec and inputs: files on disk, code."""

    def parts(self, spec: Any, ctx: Context) -> Mapping[str, str]:
        """Extra parts of the content key, name to digest, for example `file:data/trips.parquet`. Raises MlctlError."""
        ...


@runtime_checkable
class Logs(Protocol):
    """A kind whose objects write a log."""

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log file of an object, if it has one yet."""
        ...


@runtime_checkable
class LogsOfRanks(Protocol):
    """A kind whose objects are made by several processes at once, each of which writes a log."""

    def rank_logs(self, prior: Record, rank: int, ctx: Context) -> Sequence[Path]:
        """The log files of one process, of its last try; none when there is no such process."""
        ...


@runtime_checkable
class Importable(Protocol):
    """A kind that can take over an object which exists already."""

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Find the object that its tool knows as `id`, check that it is what `desired` asks for, and mark it as ours.

        Raises MlctlError when there is none, when it carries another project's mark, or when it differs (naming the
        fields). A repeat after a crash must end in the same; nothing of the object but our mark may change.
        """
        ...


@runtime_checkable
class Approvable(Protocol):
    """A kind that publishes on a pass, and does so too when a person approves a gate that did not pass."""

    def approved(self, prior: Record, ctx: Context) -> Outcome:
        """Publish what a passed gate would have published, and give the whole outcome, with the gate as `prior` has it.

        Also asked again of an approved object that is broken, or whose publication was cut off or undone behind our back:
        it is then to be whole and published. Repeatable.
        """
        ...


def metadata_settings(kind: Kind) -> frozenset[str]:
    """The settings among `Kind.settings` that say where something is noted and not what it is; a class attribute of that name.

    A change of one makes nothing anew: what is there stays noted where it was.
    """
    return frozenset(getattr(kind, "metadata_settings", ()))


def named_by_address(kind: Kind) -> bool:
    """Whether the tool knows an object by the name of its address, so that a moved one is another: a class attribute of that name."""
    return bool(getattr(kind, "named_by_address", False))


def used_by_definition(kind: Kind) -> frozenset[str]:
    """Sections of whose objects only the output `definition` counts, not new content: a class attribute of that name."""
    return frozenset(getattr(kind, "used_by_definition", ()))


def judges(kind: Kind) -> bool:
    """Whether outcomes of the kind carry a gate, so that its resources stand in front of what uses them: an attribute of that name."""
    return bool(getattr(kind, "judges", False))


@runtime_checkable
class Describes(Protocol):
    """A kind that can say more about an object in `mlctl status` than its condition."""

    def describe(self, prior: Record) -> str:
        """One short line from the record alone, for example `http://127.0.0.1:8080  churn v3`."""
        ...


@runtime_checkable
class Estimates(Protocol):
    """A kind that can foresee what the making of an object takes of memory, time and money."""

    def estimate(self, desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate | None:
        """Asked in every plan: quick, and of nobody else. `made` are the kind's own objects, oldest first. Raises MlctlError for what cannot fit."""
        ...


@runtime_checkable
class Movable(Protocol):
    """A kind whose objects could be made, or run, on other devices than the project says."""

    def workload(self, desired: Desired, made: Sequence[Record], ctx: Context) -> Workload | None:
        """What it is as far as devices matter; None where too little is known. Asked by `mlctl cost`: quick, and of nobody else."""
        ...


def diff_fields(desired: Desired, prior: Record, seen: Observed) -> tuple[FieldChange, ...]:
    """Compare desired with recorded values leaf by leaf, and what the tool reports with what was recorded."""
    new, old = flatten(desired.values), flatten(prior.spec)
    observed = flatten(seen.fields)
    changes = []
    for path in sorted(new.keys() | old.keys() | observed.keys()):
        was, want = old.get(path), new.get(path)
        now = observed.get(path, was)
        if was != want or (path in observed and now != was):
            field_class = class_of(desired.spec, path)
            if was is None or want is None:  # not written: what holds then is the default
                unset = default_of(desired.spec, path, old, new)
                was, want, now = (unset if value is None else value for value in (was, want, now))
            changes.append(FieldChange(path, was, want, now, field_class))
    return tuple(changes)
