"""What goes into a step of the machine beside its state, and what comes out: looks, verdicts, orders; actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlctl.rollout.routes import Backend, Routes
from mlctl.rollout.verdict import Verdict
from mlctl.types.jobs.rollout import GateRule, Order, Revision


@dataclass(frozen=True, slots=True)
class Look:
    """One release as it is now. `backend` is where it answers, and None for as long as it does not."""

    running: bool
    backend: Backend | None = None
    deaths: int = 0  # how often it ended by itself, as far as this controller knows; may begin anew at 0
    why: str = ""  # what is known of the last one


@dataclass(frozen=True, slots=True)
class Question:
    """What the gate of the step that is in effect is to be asked. A verdict is given back with the token."""

    token: int
    gate: str
    rule: GateRule
    candidate: str  # variant
    baseline: str | None  # variant; None when nothing answers beside the candidate
    copies: bool  # the candidate is judged by copies of requests only, since it answers none itself
    mirrored: bool  # copies are compared, answer by answer


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict of a gate, with the token of the question."""

    token: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Seen:
    """The world at one moment. Nothing in it is remembered by whoever gives it."""

    releases: Mapping[int, Look] = field(default_factory=dict)
    routes: Routes | None = None  # what the gateway follows, as far as is known for sure
    answer: Answer | None = None
    orders: Sequence[
        tuple[str, Order]
    ] = ()  # file names and orders, oldest first; those taken before may be among them
    shares: Mapping[str, float] | None = None  # a bandit's, when it has decided on some


@dataclass(frozen=True, slots=True)
class Start:
    """Have the release run: nothing to do when it does. How long to wait after a death is the controller's."""

    number: int
    revision: Revision


@dataclass(frozen=True, slots=True)
class Stop:
    """Let the release finish what is under way, for `drain_seconds` at most, and end it."""

    number: int
    drain_seconds: float


@dataclass(frozen=True, slots=True)
class Route:
    """Have the gateway follow these routes."""

    routes: Routes


@dataclass(frozen=True, slots=True)
class Note:
    """Something that people want to find in the history. `event` is a word for programs."""

    event: str
    text: str


Action = Start | Stop | Route | Note
