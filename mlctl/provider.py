"""Floor 2, public API: what a kind of resource is. Everything mlctl manages is an object that some `Kind` makes.

A kind is registered by entry point (group `mlctl.kinds`) under the YAML section it serves, and imported only when a
project uses that section. Its module must be cheap to import: tools are imported inside functions of `_client.py`, and
heavy work runs in a worker program (`mlctl.launch.job`). How to write one: docs/guides/providers.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from mlctl.files.digests import FileDigests
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import EdgeKind, FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.event import Progress
from mlctl.types.state import Gate, Record
from mlctl.types.value import Json, Unknown


class Family(StrEnum):
    """How the engine treats a kind."""

    BUILD = "build"  # computed once per content key; its identity is that key
    DEFINITION = "definition"  # declared into a tool
    SERVICE = "service"  # runs, and can die


@dataclass(frozen=True, slots=True)
class Reference:
    """Marks a text field that names a resource of a section: `dataset: Annotated[str, Reference("datasets")]`.

    With `guards`, the resource is a gate in front of the one it names: whatever else uses that one waits for the verdict.
    """

    section: str
    guards: bool = False


@dataclass(frozen=True, slots=True)
class Provided:
    """Marks a text field that names something another resource provides (see `Spec.provides`), e.g. `churn@champion`."""

    what: str


@dataclass(frozen=True, slots=True)
class Link:
    """One dependency found in a spec: where it stands in the block, what it points at, and how."""

    path: tuple[str | int, ...]
    address: Address
    edge: EdgeKind = EdgeKind.INPUT
    guards: bool = False


Metadata = FieldClass.METADATA


class Block(BaseModel):
    """Base of every mapping inside a spec: unknown fields are refused, so that a typo cannot run with defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class Spec(Block):
    """Base of every resource block. The fields here mean the same for all kinds."""

    description: Annotated[str, Metadata] = ""
    owner: Annotated[str, Metadata] = ""
    tags: Annotated[dict[str, str], Metadata] = {}
    depends_on: Annotated[list[str], Metadata] = []

    def links(self) -> Iterable[Link]:
        """Dependencies that no `Reference` marker can state, such as `references: users.user_id`."""
        return ()

    def provides(self) -> Iterable[str]:
        """What others may name in a `Provided` field, as `what:name`, for example `model:churn@champion`."""
        return ()


@dataclass(frozen=True, slots=True)
class Input:
    """A dependency as a kind sees it: the object and its outputs. `digest` says whether they are the same as before."""

    key: ObjectKey
    outputs: Mapping[str, Json]
    digest: str


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `apply` made. Outputs named `digest` decide what dependents see as changed; none may hold a secret."""

    id: str | None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    gate: Gate | None = None


def _ignore(progress: Progress) -> None:
    """The progress sink of a context that nobody watches."""


@dataclass(frozen=True)
class Context:
    """What a kind may know of its surroundings."""

    root: Path  # the folder of the project file; paths in a spec are relative to it and stay inside
    home: Path  # where this environment keeps its objects: .mlctl/<environment>
    environment: str
    project: str
    lineage: str
    settings: Mapping[
        str, Mapping[str, Json]
    ]  # the project's blocks that are not resources: `tracking`, `feature_store`
    digests: FileDigests
    progress: Callable[[Progress], None] = _ignore
    stop: threading.Event = field(default_factory=threading.Event)
    deep: bool = False  # `--refresh=deep`: ask the tool itself even when the cheap evidence has not moved

    def path(self, text: str) -> Path:
        """A path of the spec as an absolute one. Raises MlctlError when it leaves the project folder."""
        path = (self.root / text).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise MlctlError.of(
                "spec.path-outside",
                f"the path `{text}` leaves the project folder",
                "a project reads and writes only below the folder of its mlctl.yaml",
                "move the file into the project",
            )
        return path

    def folder(self, key: ObjectKey) -> Path:
        """Where an object of ours may keep files: one folder for each address and identity, made on first use by its writer."""
        return self.home / "objects" / str(key.address) / (key.identity or "self")


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
class Describes(Protocol):
    """A kind that can say more about an object in `mlctl status` than its condition."""

    def describe(self, prior: Record) -> str:
        """One short line from the record alone, for example `http://127.0.0.1:8080  churn v3`."""
        ...


def diff_fields(desired: Desired, prior: Record, seen: Observed) -> tuple[FieldChange, ...]:
    """Compare desired with recorded values leaf by leaf, and what the tool reports with what was recorded."""
    classes = _field_classes(type(desired.spec))
    new, old = flatten(desired.values), flatten(prior.spec)
    observed = flatten(seen.fields)
    changes = []
    for path in sorted(new.keys() | old.keys() | observed.keys()):
        was, want = old.get(path), new.get(path)
        now = observed.get(path, was)
        if was != want or (path in observed and now != was):
            changes.append(FieldChange(path, was, want, now, classes.get(path.split(".")[0])))
    return tuple(changes)


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of mappings as one mapping of dotted paths; lists and empty mappings are leaves."""
    leaves: dict[str, Any] = {}
    for name, item in value.items():
        path = f"{prefix}{name}"
        if isinstance(item, Mapping) and item:
            leaves.update(flatten(item, f"{path}."))
        else:
            leaves[path] = item
    return leaves


_CLASSES: dict[type, dict[str, FieldClass]] = {}


def _field_classes(spec: type[Spec]) -> dict[str, FieldClass]:
    """The marked class of each top-level field of a spec."""
    if spec not in _CLASSES:
        _CLASSES[spec] = {
            name: item
            for name, info in spec.model_fields.items()
            for item in info.metadata
            if isinstance(item, FieldClass)
        }
    return _CLASSES[spec]


def metadata_fields(spec: type[Spec]) -> frozenset[str]:
    """The fields of a spec whose change runs nothing."""
    return frozenset(name for name, item in _field_classes(spec).items() if item is FieldClass.METADATA)
