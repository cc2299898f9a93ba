"""State: what mlctl made, keyed by object, as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from mlctl.types.address import Address, ObjectKey
from mlctl.types.value import Json, digest

FORMAT = 2


class Pending(StrEnum):
    """An intent that was journalled before the tool was touched and has no outcome yet."""

    APPLY = "apply"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's decision to go on although a gate did not pass."""

    who: str
    why: str
    at: str

    def __post_init__(self) -> None:
        _must_be(str, who=self.who, why=self.why, at=self.at)


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict of a check or an evaluation: dependents go on only when it passed or a person approved it."""

    passed: bool
    summary: str
    details: tuple[str, ...] = ()
    approval: Approval | None = None

    def __post_init__(self) -> None:
        _must_be(bool, passed=self.passed)
        _must_be(str, summary=self.summary, **{f"details[{number}]": item for number, item in enumerate(self.details)})

    @property
    def open(self) -> bool:
        """Whether dependents may go on."""
        return self.passed or self.approval is not None

    def to_json(self) -> dict[str, Any]:
        """The stored form; an approval is there only when somebody gave one."""
        stored = asdict(self)
        return stored if self.approval is not None else {k: v for k, v in stored.items() if k != "approval"}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Gate:
        """Read the stored form. Raises KeyError or TypeError when it is not one."""
        approval = stored.get("approval")
        _must_be((list, tuple), details=stored.get("details", ()))
        return cls(
            stored["passed"],
            stored["summary"],
            tuple(stored.get("details", ())),
            None if approval is None else Approval(approval["who"], approval["why"], approval["at"]),
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """How often the making of an object failed in a row, each time from the same spec and inputs."""

    count: int
    at: str  # of the last one, ISO 8601 in UTC
    summary: str
    of: str = ""  # the digest of what was asked for each time

    def __post_init__(self) -> None:
        _must_be(int, count=self.count)
        _must_be(str, at=self.at, summary=self.summary, of=self.of)


@dataclass(frozen=True, slots=True)
class Held:
    """A rollback: the run whose result is to stay, until somebody lifts it with `--unhold`."""

    run: str
    reason: str
    who: str
    at: str

    def __post_init__(self) -> None:
        _must_be(str, run=self.run, reason=self.reason, who=self.who, at=self.at)


@dataclass(frozen=True, slots=True)
class Use:
    """A direct dependency as it was when the object was made: which object, and the digest of its outputs."""

    key: ObjectKey
    digest: str


@dataclass(frozen=True, slots=True)
class Record:
    """One object that a tool holds for us. Outputs are what dependents may read; they never hold a secret."""

    key: ObjectKey
    id: str | None = None
    spec: Mapping[str, Json] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    uses: tuple[Use, ...] = ()
    outputs: Mapping[str, Json] = field(default_factory=dict)
    gate: Gate | None = None
    pending: Pending | None = None
    sequence: int = 0
    provenance: Mapping[str, Json] = field(default_factory=dict)
    protected: bool = (
        False  # `lifecycle: {prevent_destroy: true}` as it was applied; taking the block away does not lift it
    )
    origin: ObjectKey | None = None  # the key it was made under, when a move has renamed it since
    failure: Failure | None = None
    after: tuple[
        Address, ...
    ] = ()  # what it waits for without using it: `depends_on` and gates; it is removed before them

    @property
    def made_as(self) -> ObjectKey:
        """The key it was made under: what names its folder."""
        return self.origin or self.key

    @property
    def complete(self) -> bool:
        """Whether the object was made and nothing was begun on it since."""
        return self.pending is None

    @property
    def digest(self) -> str:
        """What dependents compare: the `digest` output when the kind gives one, else the digest of all outputs."""
        own = self.outputs.get("digest")
        return own if isinstance(own, str) else digest(dict(self.outputs))

    def to_json(self) -> dict[str, Any]:
        """The stored form, without the key. Empty fields are left out."""
        stored: dict[str, Any] = {
            "id": self.id,
            "spec": dict(self.spec),
            "parts": dict(self.parts),
            "uses": {str(use.key): use.digest for use in self.uses},
            "outputs": dict(self.outputs),
            "gate": None if self.gate is None else self.gate.to_json(),
            "pending": self.pending,
            "sequence": self.sequence,
            "provenance": dict(self.provenance),
            "protected": self.protected or None,
            "origin": None if self.origin is None else str(self.origin),
            "failure": None if self.failure is None else asdict(self.failure),
            "after": [str(address) for address in self.after],
        }
        return {name: value for name, value in stored.items() if value not in (None, {}, [])}

    @classmethod
    def from_json(cls, key: ObjectKey, stored: Mapping[str, Any]) -> Record:
        """Read the stored form. Raises KeyError, TypeError or ValueError when it is not one."""
        _check_stored(stored)
        gate, pending, failure = stored.get("gate"), stored.get("pending"), stored.get("failure")
        origin = stored.get("origin")
        return cls(
            key=key,
            id=stored.get("id"),
            spec=stored.get("spec", {}),
            parts=stored.get("parts", {}),
            uses=tuple(Use(ObjectKey.parse(name), value) for name, value in stored.get("uses", {}).items()),
            outputs=stored.get("outputs", {}),
            gate=None if gate is None else Gate.from_json(gate),
            pending=None if pending is None else Pending(pending),
            sequence=stored["sequence"],
            provenance=stored.get("provenance", {}),
            protected=stored.get("protected", False),
            origin=None if origin is None else ObjectKey.parse(origin),
            failure=None if failure is None else Failure(**failure),
            after=tuple(map(Address.parse, stored.get("after", ()))),
        )


@dataclass(frozen=True, slots=True)
class State:
    """All objects of one environment. `lineage` is fixed at birth; `serial` grows by one with every change of content."""

    lineage: str
    serial: int = 0
    objects: Mapping[ObjectKey, Record] = field(default_factory=dict)
    held: Held | None = None
    project: str = ""  # whose objects they are; empty in a state that was written before this was kept


# The type of each stored field. A state may be written by hand or by a merge, and nothing behind this point asks again.
_STORED: Mapping[str, type] = {
    "id": str, "spec": dict, "parts": dict, "uses": dict, "outputs": dict, "gate": dict, "sequence": int,
    "provenance": dict, "protected": bool, "origin": str, "failure": dict, "after": list,
}  # fmt: skip
DEPTH_LIMIT = 100  # a project file is nested 60 levels at most; what compares values calls itself for each level


def _check_stored(stored: Mapping[str, Any]) -> None:
    """Raise TypeError when a field of a stored record has another type than it should, or is nested beyond any use."""
    for name, value in stored.items():
        wanted = _STORED.get(name)
        if wanted is not None and type(value) is not wanted:
            raise TypeError(f"`{name}` is {value!r:.40} and no {wanted.__name__}")
    for name in ("parts", "uses"):
        for item in stored.get(name, {}).values():
            if type(item) is not str:
                raise TypeError(f"`{name}` holds {item!r:.40}, which is no text")
    for item in stored.get("after", ()):
        if type(item) is not str:
            raise TypeError(f"`after` holds {item!r:.40}, which is no text")
    if too_deep(stored):
        raise TypeError(f"it is nested more than {DEPTH_LIMIT} levels deep")


def too_deep(value: Mapping[str, Any]) -> bool:
    """Whether a JSON value is nested deeper than what is kept may be."""
    level: list[Any] = [value]
    for _ in range(DEPTH_LIMIT):
        level = [inner for item in level for inner in (item.values() if type(item) is not list else item)
                 if type(inner) is dict or type(inner) is list]  # fmt: skip
        if not level:
            return False
    return True


def check_outcome(id: object, outputs: object, gate: object) -> None:
    """Raise TypeError for what a kind gave that could be written into a state and not be read out of it again."""
    if not (id is None or isinstance(id, str)):
        raise TypeError(f"the id of an object is {id!r:.60}; it is a text, or None")
    if not isinstance(outputs, Mapping) or not all(isinstance(name, str) for name in outputs):
        raise TypeError(f"outputs are {outputs!r:.60}; they are a mapping, and their names are texts")
    if too_deep(outputs):
        raise TypeError(f"the outputs are nested more than {DEPTH_LIMIT} levels deep")
    if not (gate is None or isinstance(gate, Gate)):
        raise TypeError(f"the gate is {gate!r:.60}; it is a Gate, or None")


def _must_be(wanted: type | tuple[type, ...], **values: object) -> None:
    """Raise TypeError for a value of another type, so that what is kept can be read again; True is no number here."""
    for name, value in values.items():
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise TypeError(f"`{name}` is {value!r:.40}, which has the wrong type: {type(value).__name__}")
