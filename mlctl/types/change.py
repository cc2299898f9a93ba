"""Changes and plans: what apply would do, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mlctl.types.address import Address, ObjectKey
from mlctl.types.estimate import Estimate, Repriced
from mlctl.types.state import Gate, Held
from mlctl.types.value import Json


class Action(StrEnum):
    """What happens to one resource. The values are the names in JSON; `symbol` is what a person reads."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "destroy"
    RUN = "run"
    RESUME = "resume"
    ADOPT = "adopt"
    IMPORT = "import"
    FORGET = "forget"
    NOOP = "unchanged"

    @property
    def symbol(self) -> str:
        """The mark at the head of a plan line."""
        return _SYMBOLS[self]


_SYMBOLS = {
    Action.CREATE: "+", Action.UPDATE: "~", Action.REPLACE: "-/+", Action.DELETE: "-",
    Action.RUN: ">", Action.RESUME: "»", Action.ADOPT: "↻", Action.IMPORT: "<=",
    Action.FORGET: ".", Action.NOOP: "=",
}  # fmt: skip


class Reason(StrEnum):
    """Why an action was chosen. Display only: a reason never drives apply."""

    NEW = "new"
    SPEC = "spec-changed"
    INPUT = "input-changed"
    INPUT_UNKNOWN = "input-may-change"
    CONTENT = "content-changed"
    METADATA = "metadata-changed"
    GONE = "gone"
    BROKEN = "broken"
    DRIFTED = "drifted"
    UNFINISHED = "unfinished"
    RUNNING = "still-running"
    REMOVED = "removed-from-project"
    SUPERSEDED = "superseded"
    CACHED = "cached"
    SAME = "unchanged"
    REQUESTED = "requested"
    IMPORTED = "imported"
    PROMOTED = "promoted"
    FAILED_BEFORE = "failed-before"
    MOVED = "moved"


class FieldClass(StrEnum):
    """What a change of a field makes necessary (design, 4.4), the lightest first."""

    METADATA = "metadata"
    SERVING = "serving-only"
    EVALUATION = "evaluation-only"
    FEATURES = "features-only"
    TRAINING = "training"
    DATA = "data"
    DESIGN = "design"

    @property
    def gravity(self) -> int:
        """How much follows from it: the gravest class among the fields of a change is the class of the change."""
        return _GRAVITY[self]

    @property
    def saves(self) -> str:
        """What need not be done although something changed; empty where a reader would fear for nothing."""
        return _SAVES.get(self, "")


_GRAVITY = {item: number for number, item in enumerate(FieldClass)}
_SAVES = {
    FieldClass.METADATA: "nothing runs",
    FieldClass.SERVING: "nothing is trained or evaluated again",
    FieldClass.EVALUATION: "nothing is trained again",
}


class EdgeKind(StrEnum):
    """How one resource depends on another: on its outputs, on its verdict, or only on its turn."""

    INPUT = "input"
    GATE = "gate"
    ORDER = "order"


class Mode(StrEnum):
    """What a plan is for."""

    NORMAL = "normal"
    DESTROY = "destroy"
    REFRESH_ONLY = "refresh-only"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a plan is asked to look at. `unattended` is cron: what failed before with the same inputs is not tried again and again."""

    targets: tuple[Address, ...] = ()
    exclude: tuple[Address, ...] = ()
    replace: tuple[Address, ...] = ()
    mode: Mode = Mode.NORMAL
    refresh: bool = True
    unattended: bool = False

    @property
    def partial(self) -> bool:
        """Whether the result may leave something of the project undone."""
        return bool(self.targets or self.exclude)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One cause of a change, three-way: as recorded, as desired, and as the tool reports it now."""

    path: str
    old: Json = None
    new: Json = None
    observed: Json = None
    field_class: FieldClass | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What one step of a plan does. `key.identity` is empty text while the identity is not known yet (`key_known` False)."""

    action: Action
    key: ObjectKey
    reason: Reason
    fields: tuple[FieldChange, ...] = ()
    detail: str = ""
    field_class: FieldClass | None = None
    after: frozenset[Address] = frozenset()
    gate: Gate | None = None
    blocked_by: Address | None = None
    key_known: bool = True
    conditional: bool = False
    drift: bool = False
    moved_from: Address | None = None  # the address that the object had before, from `moved:`
    waits: str = ""  # why an unattended apply would not begin it, such as failures with the same inputs
    estimate: Estimate | None = None  # of what it would take; no part of what it does
    repriced: tuple[Repriced, ...] = ()  # prices that are not what they were when the object was made; neither

    @property
    def address(self) -> Address:
        """The resource the step is about."""
        return self.key.address

    @property
    def effective(self) -> bool:
        """Whether applying the step would touch anything."""
        return self.action is not Action.NOOP


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes, in an order that can be applied, against one state (lineage and serial)."""

    changes: tuple[Change, ...]
    lineage: str
    serial: int
    project_digest: str
    selection: Selection = Selection()
    environment: str = "default"
    held: Held | None = None  # a rollback that no apply may undo unasked

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    @property
    def empty(self) -> bool:
        """Whether apply would do nothing."""
        return not any(change.effective for change in self.changes)

    @property
    def drifted(self) -> bool:
        """Whether something was changed outside mlctl, what is broken and leaves nothing to take over included."""
        return any(change.drift for change in self.changes)

    @property
    def blocked(self) -> tuple[Change, ...]:
        """Effective changes that a failed gate holds back."""
        return tuple(change for change in self.changes if change.effective and change.blocked_by is not None)

    def summary(self) -> dict[str, int]:
        """Counts by action, in the order of the `change_summary` line. Resume and adopt count as runs."""
        names = {Action.RESUME: Action.RUN, Action.ADOPT: Action.RUN, Action.DELETE: Action.DELETE}
        counts = {
            action.value: 0
            for action in (
                *(Action.CREATE, Action.UPDATE, Action.REPLACE, Action.DELETE, Action.RUN),
                *(Action.IMPORT, Action.FORGET, Action.NOOP),
            )
        }
        for change in self.changes:
            counts[names.get(change.action, change.action).value] += 1
        return counts
