"""Events: everything a view may show while a plan is made or applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlctl.types.address import Address
from mlctl.types.change import Change
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.state import Gate, Record


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step has begun; its intent is in the journal."""

    change: Change


@dataclass(frozen=True, slots=True)
class StepProgress:
    """A step moves on. `done` of `total` are in `unit`; total is None while it is not known."""

    address: Address
    message: str
    done: float | None = None
    total: float | None = None
    unit: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step has ended well; its outcome is in the journal. `reused` when the object was there already."""

    change: Change
    record: Record | None
    seconds: float
    reused: bool = False


@dataclass(frozen=True, slots=True)
class StepGate:
    """A check or an evaluation gave its verdict."""

    address: Address
    gate: Gate


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step has failed; `resumable` when the next apply goes on where it stopped."""

    change: Change
    diagnostics: tuple[Diagnostic, ...]
    seconds: float
    resumable: bool = False


@dataclass(frozen=True, slots=True)
class StepDetached:
    """A step goes on without this command, which was asked to end; the next apply joins it."""

    change: Change
    seconds: float


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """A step was not begun because of another."""

    change: Change
    because: Address
    why: str


Event = StepStarted | StepProgress | StepDone | StepGate | StepFailed | StepSkipped | StepDetached


@dataclass(frozen=True, slots=True)
class Progress:
    """What a worker program reports on its event stream: one JSON object a line."""

    message: str
    done: float | None = None
    total: float | None = None
    unit: str = ""
    metrics: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON object."""
        return {
            "type": "progress",
            "message": self.message,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "metrics": self.metrics,
        }
