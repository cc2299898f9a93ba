"""A tool that exists only in memory, with kinds of every family, that can refuse calls and die in the middle of one.

It checks what no real tool checks for us: that nothing is built on what is not there, and nothing is deleted under a user.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import Field

from mlctl.provider import (
    Condition,
    Context,
    Desired,
    Family,
    Input,
    Metadata,
    Observed,
    Outcome,
    Provided,
    Reference,
    Spec,
    diff_fields,
)
from mlctl.types.address import ObjectKey
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.state import Gate, Record
from mlctl.types.value import Json, digest


class Crash(BaseException):
    """The process dies here. A BaseException, so that nothing that handles errors can live through it."""


@dataclass
class FakeObject:
    """What the tool holds under a name."""

    spec: Mapping[str, Json]
    inputs: Mapping[str, str]  # names of the objects it was made with, and their digests
    published: bool = False


@dataclass
class FakeTool:
    """The tool: its objects, a log of the calls that changed them, and the faults to come. Safe to use from several threads.

    `faults` maps the number of a call to "refuse", "crash-before" or "crash-after"; `on_crash` runs at the moment of death,
    and `dead` then holds until the next process. What is in `broken` exists and does not work until it is made anew. What
    is in `replacing` may be removed under its users, since it is made again at once. `foreign` are the names of objects
    that were taken over, by the ids that they had before.
    """

    objects: dict[str, FakeObject] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    on_crash: Callable[[], None] = lambda: None
    violations: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    replacing: set[str] = field(default_factory=set)
    foreign: dict[str, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)  # the numbers of the calls that did nothing
    dead: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def make(self, key: ObjectKey, spec: Mapping[str, Json], inputs: Mapping[str, str]) -> None:
        """Create or update an object."""
        self._call(f"make {key}", lambda: self._make(str(key), spec, inputs))

    def adopt(self, key: ObjectKey, id: str, spec: Mapping[str, Json], inputs: Mapping[str, str]) -> None:
        """Give an object that exists already the name of a key."""

        def do() -> None:
            before = self.foreign.get(id)
            if before is not None:
                self.objects.pop(before, None)  # it is one object, and has a new name
            self.foreign[id] = str(key)
            self._make(str(key), spec, inputs)

        self._call(f"adopt {key}", do)

    def publish(self, key: ObjectKey) -> None:
        """Tell the world of an object."""

        def do() -> None:
            if str(key) not in self.objects:
                self.violations.append(f"{key} was published, and is not there")
            else:
                self.objects[str(key)].published = True
                self.broken.discard(str(key))

        self._call(f"publish {key}", do)

    def remove(self, key: ObjectKey) -> None:
        """Remove an object; gone already is fine."""
        self._call(f"remove {key}", lambda: self._remove(str(key)))

    def _make(self, name: str, spec: Mapping[str, Json], inputs: Mapping[str, str]) -> None:
        self.violations += [
            f"{name} was made with {used}, which is not there" for used in inputs if used not in self.objects
        ]
        self.objects[name] = FakeObject(dict(spec), dict(inputs))
        self.broken.discard(name)

    def _remove(self, name: str) -> None:
        users = [other for other, item in self.objects.items() if name in item.inputs and other != name]
        users = [] if name in self.replacing else users
        self.violations += [f"{name} was removed under its user {user}" for user in users if name in self.objects]
        self.objects.pop(name, None)

    def _call(self, what: str, do: Callable[[], None]) -> None:
        with self.lock:
            if self.dead:
                raise Crash
            fault = self.faults.pop(len(self.calls), None)
            self.calls.append(what)
            if fault == "refuse":
                self.refused.add(len(self.calls) - 1)
                raise MlctlError.of("fake.refused", f"the tool refused to {what}")
            if fault == "crash-before":
                self.crash()
            do()
            if fault == "crash-after":
                self.crash()

    def crash(self) -> None:
        """The process that uses the tool dies at this moment; nothing it still does counts."""
        self.dead = True
        self.on_crash()
        raise Crash


class FakeSpec(Spec):
    """A block of any fake kind."""

    value: int = 0
    gate: int | None = None  # the verdict is a pass when `value` is at least this
    note: Annotated[str, Metadata] = ""
    uses_builds: list[Annotated[str, Reference("builds")]] = Field(default_factory=list)
    uses_things: list[Annotated[str, Reference("things")]] = Field(default_factory=list)
    uses_model: Annotated[str, Provided("model")] | None = None
    guarded: Annotated[str, Reference("builds", guards=True)] | None = None
    offers: str = ""
    label: str = ""

    def provides(self) -> Sequence[str]:
        """What `offers` says."""
        return [f"model:{self.offers}"] if self.offers else []


class _Fake:
    """What the fake kinds share."""

    section: ClassVar[str]
    family: ClassVar[Family]
    spec: ClassVar[type[Spec]] = FakeSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.DATA
    settings: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, tool: FakeTool) -> None:
        self.tool = tool

    def check(self, spec: FakeSpec, ctx: Context) -> Sequence[Diagnostic]:
        """A negative value is refused."""
        return (
            [
                Diagnostic(
                    "fake.negative", "`value` is negative", "values count things", "use 0 or more", path=("value",)
                )
            ]
            if spec.value < 0
            else []
        )

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """What the tool holds under the key's name."""
        name = str(ctx.made_as(prior.key))
        found = self.tool.objects.get(name)
        if found is None:
            return None
        value = found.spec.get("value", 0)
        fields = {"value": value} if value or "value" in prior.spec else {}
        if name in self.tool.broken:
            return Observed(fields, Condition.BROKEN, "it does not answer")
        return Observed(fields)

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Put the object into the tool. Half of a value is the digest, so that neighbours give the same output."""
        self.tool.make(ctx.made_as(desired.key), desired.values, _inputs(desired, ctx))
        return self._outcome(desired, ctx)

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Any id is that of an object which is as it should be."""
        self.tool.adopt(ctx.made_as(desired.key), id, desired.values, _inputs(desired, ctx))
        return self._outcome(desired, ctx)

    def _outcome(self, desired: Desired, ctx: Context) -> Outcome:
        spec: FakeSpec = desired.spec
        inputs = _inputs(desired, ctx)
        outputs: dict[str, Any] = {
            "name": desired.address.name,
            "digest": digest([spec.value // 2, sorted(inputs.values())]),
        }
        gate = (
            None
            if spec.gate is None
            else Gate(spec.value >= spec.gate, f"value {spec.value}, at least {spec.gate} wanted")
        )
        return Outcome(str(desired.key), outputs, gate)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Take the object out of the tool."""
        self.tool.remove(ctx.made_as(prior.key))


def _inputs(desired: Desired, ctx: Context) -> dict[str, str]:
    """What an object is made with, by the names that the tool has for it."""
    return {str(ctx.made_as(item.key)): item.digest for item in desired.inputs.values() if isinstance(item, Input)}


class FakeBuild(_Fake):
    """Computed once per content key."""

    section = "builds"
    family = Family.BUILD

    def approved(self, prior: Record, ctx: Context) -> Outcome:
        """Publish it; its outputs stay as they are."""
        self.tool.publish(ctx.made_as(prior.key))
        return Outcome(prior.id, prior.outputs, prior.gate)


class FakeThing(_Fake):
    """Declared into the tool under its address; its label is its identity."""

    section = "things"
    family = Family.DEFINITION
    named_by_address: ClassVar[bool] = True
    identity = frozenset({"label"})


class FakeService(_Fake):
    """Runs under the name of its address."""

    section = "services"
    family = Family.SERVICE


def fake_kinds(tool: FakeTool) -> tuple[_Fake, ...]:
    """One kind of each family over one tool."""
    return FakeBuild(tool), FakeThing(tool), FakeService(tool)
