"""The state of a rollout: which releases there are, which of them answer, and how far the newest one has come.

It is kept in `rollout.json` by the controller and is the only truth: what a controller that begins anew goes on from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from mlctl.rollout.routes import Backend, Routes
from mlctl.rollout.verdict import Verdict
from mlctl.types.jobs.rollout import CANDIDATE, STABLE, GateRule, Revision, Step, Stepwise, Strategy

if TYPE_CHECKING:
    from pydantic import TypeAdapter

PREVIOUS = "previous"  # the variant that was stable before, as long as it is warm


class Phase(StrEnum):
    """Where a rollout is."""

    EMPTY = "empty"  # nothing was asked for yet
    STARTING = "starting"  # what is wanted starts; it has no traffic yet
    STEPPING = "stepping"  # the candidate goes through its steps
    DONE = "done"  # what is wanted answers
    HELD = "held"  # what is wanted has failed, was aborted or undone; what was before answers
    ENDED = "ended"  # a shadow came to its end, and is not to be promoted


@dataclass(frozen=True, slots=True)
class Release:
    """One release, with what was seen of it at the last look. Times are of the state's clock."""

    number: int
    revision: Revision
    running: bool = False
    ready: bool = False
    was_ready: bool = False  # since its beginning, at any time
    backend: Backend | None = None  # where it answers, or last did
    deaths: int = 0  # by itself, since it was last ready for long
    reported_deaths: int = 0  # what the last look counted, to see what is new
    ready_seconds: float = 0.0  # without a break
    unready_seconds: float = 0.0  # running, and not ready
    leaving: float | None = None  # nobody needs it any more: when it is stopped
    why: str = ""  # what is known of its last death


@dataclass(frozen=True, slots=True)
class Held:
    """A revision that is not tried again until somebody says so."""

    digest: str
    model: str
    version: str
    why: str
    by: Literal["gate", "start", "abort", "undo"]
    at: float  # Unix time, to be shown
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A shadow that came to its end well, and was not to be promoted."""

    digest: str
    strategy: Stepwise
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Paused:
    """Somebody wants the rollout to stay where it is. Gates go on judging."""

    who: str
    why: str
    at: str


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm of an A/B test or a bandit: the release that answers for it, and the one that is to replace it."""

    name: str
    current: int | None = None
    incoming: int | None = None


@dataclass(frozen=True, slots=True)
class RolloutState:
    """All of it. `advance` (mlctl.rollout.machine) makes the next one."""

    serial: int = 0  # of the `Wanted` that was taken last
    clock: float = 0.0  # seconds that a controller has seen pass; sleep and a clock set anew do not count
    at: float | None = None  # Unix time of the last advance
    phase: Phase = Phase.EMPTY
    reason: str = ""  # why it is there, in a sentence
    since: float = 0.0  # Unix time of the phase's, or the step's, beginning; to be shown
    next_number: int = 1
    releases: Mapping[int, Release] = field(default_factory=dict)
    routes: Routes | None = None  # what the gateway is to be configured by
    in_effect: bool = False  # whether it is
    # one version after the other
    stable: int | None = None
    candidate: int | None = None
    previous: int | None = None  # warm, for an instant way back
    previous_since: float = 0.0
    last: Revision | None = None  # what was stable before, warm or not
    undoing: bool = False  # the candidate is the way back that somebody asked for
    strategy: Strategy | None = None  # by which the steps below are counted
    gates: Mapping[str, GateRule] = field(default_factory=dict)
    step: int = 0
    step_seconds: float = 0.0  # how long the step was in effect
    token: int = 0  # grows with each step that begins: a verdict is of one of them
    leave: Literal["", "step", "all"] = ""  # somebody said that this step, or all, may be left
    verdict: Verdict | None = None  # the last one of this step's gate
    memory: Mapping[str, Any] = field(default_factory=dict)  # the controller's own for this step; a new step empties it
    # several versions beside each other
    arms: tuple[Arm, ...] = ()
    arm_shares: Mapping[str, int] = field(default_factory=dict)
    # what people did and what came of it
    paused: Paused | None = None
    held: tuple[Held, ...] = ()
    ended: Ended | None = None
    taken: tuple[str, ...] = ()  # orders that were carried out and whose files are still there
    promotions: int = 0
    failures: int = 0

    def release(self, number: int | None) -> Release | None:
        """One of the releases."""
        return None if number is None else self.releases.get(number)

    def current_step(self) -> Step | None:
        """The step that holds; None without a candidate that goes through steps, and after the last one."""
        if self.candidate is None or self.stable is None or not isinstance(self.strategy, Stepwise):
            return None
        return self.strategy.steps[self.step] if self.step < len(self.strategy.steps) else None

    def held_as(self, digest: str) -> Held | None:
        """Why a revision is held, if it is."""
        return next((item for item in self.held if item.digest == digest), None)

    def variants(self) -> dict[str, int]:
        """Which release each variant of the gateway is, in the order of their ranges: what is new comes last."""
        by_arm = {arm.name: arm.current for arm in self.arms if arm.name in self.arm_shares}
        one_by_one = {PREVIOUS: self.previous, STABLE: self.stable, CANDIDATE: self.candidate}
        found = by_arm if self.arm_shares else one_by_one
        return {name: number for name, number in found.items() if number is not None}

    def slots(self) -> set[int]:
        """The releases that somebody needs."""
        arms = [number for arm in self.arms for number in (arm.current, arm.incoming)]
        return {number for number in (self.stable, self.candidate, self.previous, *arms) if number is not None}

    def same_but_for_time(self, other: RolloutState) -> bool:
        """Whether only time has passed between the two, so that nothing is lost when one of them is not written down."""
        return _timeless(self) == _timeless(other)


def to_json(state: RolloutState) -> dict[str, Any]:
    """As JSON."""
    dumped: dict[str, Any] = _adapter().dump_python(state, mode="json")
    return dumped


def from_json(stored: Mapping[str, Any]) -> RolloutState:
    """Read what `to_json` made. Raises ValueError for anything else."""
    return _adapter().validate_python(stored)


@cache
def _adapter() -> TypeAdapter[RolloutState]:
    from pydantic import TypeAdapter

    return TypeAdapter(RolloutState)


def _timeless(state: RolloutState) -> RolloutState:
    releases = {
        number: replace(item, ready_seconds=0.0, unready_seconds=0.0) for number, item in state.releases.items()
    }
    return replace(state, clock=0.0, at=None, step_seconds=0.0, releases=releases)
