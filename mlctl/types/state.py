"""State: what mlctl made, keyed by object, as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from mlctl.types.address import ObjectKey
from mlctl.types.value import Json, digest

FORMAT = 1


class Pending(StrEnum):
    """An intent that was journalled before the tool was touched and has no outcome yet."""

    APPLY = "apply"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict of a check or an evaluation: dependents go on only when it passed or a person approved it."""

    passed: bool
    summary: str
    details: tuple[str, ...] = ()


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
            "gate": None if self.gate is None else asdict(self.gate),
            "pending": self.pending,
            "sequence": self.sequence,
            "provenance": dict(self.provenance),
        }
        return {name: value for name, value in stored.items() if value not in (None, {}, [])}

    @classmethod
    def from_json(cls, key: ObjectKey, stored: Mapping[str, Any]) -> Record:
        """Read the stored form. Raises KeyError, TypeError or ValueError when it is not one."""
        gate = stored.get("gate")
        pending = stored.get("pending")
        return cls(
            key=key,
            id=stored.get("id"),
            spec=stored.get("spec", {}),
            parts=stored.get("parts", {}),
            uses=tuple(Use(ObjectKey.parse(name), value) for name, value in stored.get("uses", {}).items()),
            outputs=stored.get("outputs", {}),
            gate=None if gate is None else Gate(gate["passed"], gate["summary"], tuple(gate.get("details", ()))),
            pending=None if pending is None else Pending(pending),
            sequence=stored["sequence"],
            provenance=stored.get("provenance", {}),
        )


@dataclass(frozen=True, slots=True)
class State:
    """All objects of one environment. `lineage` is fixed at birth; `serial` grows by one with every change of content."""

    lineage: str
    serial: int = 0
    objects: Mapping[ObjectKey, Record] = field(default_factory=dict)
