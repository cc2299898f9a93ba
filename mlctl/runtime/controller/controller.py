"""One turn of a controller: look at everything, let the state machine decide, keep the state, carry out what it says, keep again.

All decisions are in the state, which is on the disk before anything is done by it. What is done can be done twice: a release
that runs is not started again, routes that are in force are not set again. So whatever is killed, and when, the next turn
of whoever comes next goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mlctl.rollout.machine import advance, asks
from mlctl.rollout.seen import Action, Answer, Note, Question, Route, Seen, Start, Stop
from mlctl.rollout.state import Phase, RolloutState
from mlctl.runtime import secrets
from mlctl.runtime.controller.asking import ask
from mlctl.runtime.controller.deciding import Deciding
from mlctl.runtime.controller.evidence import Meter
from mlctl.runtime.controller.fleet import Fleet
from mlctl.runtime.controller.front import Front
from mlctl.runtime.controller.inbox import Inbox
from mlctl.runtime.controller.kept import Kept, Notebook
from mlctl.runtime.controller.live import live_view
from mlctl.runtime.controller.metering import Metering
from mlctl.runtime.controller.rewarding import Rewarding
from mlctl.runtime.controller.shadowing import Shadowing
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import Wanted

# How often time that has passed is kept when nothing else has happened: what a kill can make a pause longer.
_KEEP_SECONDS, _KEEP_IDLE_SECONDS = 5.0, 60.0
_BUSY = (Phase.STARTING, Phase.STEPPING)


class Controller:
    """Everything of one deployment. Made anew after any kill, from its folder."""

    def __init__(self, folder: Path, root: Path, home: Path | None = None) -> None:
        self._folder = folder
        self._deciding = Deciding(folder, home, secrets.known())
        self._notebook = Notebook(folder, secrets.known())
        self._inbox = Inbox(folder, secrets.known())
        # all can be ended whatever became of the state: what runs is found by its folders
        kept = self._notebook.read() if self._inbox.ending() is None else Kept(RolloutState(), {})
        self._state = kept.state
        self._fleet = Fleet(folder, root, secrets.known())
        self._front = Front(folder)
        self._metering = Metering(Meter(kept.meter), self._front, self._fleet.path)
        self._shadowing = Shadowing(root)
        self._rewarding = Rewarding(folder, root)
        self._answer: Answer | None = None  # until a state that knows it is on the disk
        self._kept_at = float("-inf")
        self._new = True  # whether the state has more in it than is on the disk
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether the last turn has done anything, so that the next one had better look soon."""
        return self._busy

    def turn(self) -> float | None:
        """Do all there is to do now. Gives how long what is under way may take, when everything is to end."""
        ending = self._inbox.ending()
        if ending is not None:
            return ending
        wanted = self._inbox.wanted()
        if wanted is None:
            return None
        now = time.time()
        orders = self._inbox.orders()
        seen = Seen(
            releases=self._fleet.looks({number: item.revision for number, item in self._state.releases.items()}),
            routes=self._front.in_force(wanted.gateway),
            answer=self._answer,
            orders=[(path.name, order) for path, order in orders],
            shares=self._rewarding.shares(self._state, wanted),
        )
        state, actions = advance(self._state, wanted, now, seen)
        notes = [item for item in actions if isinstance(item, Note)]
        self._deciding.keep(self._state, state, wanted, self._answer, notes)
        self._keep(state)
        self._answer = None
        self._tell(actions)  # whoever gave an order looks for a refusal once its file is gone
        for path, _ in orders:
            if path.name in state.taken:
                path.unlink(missing_ok=True)
        if state.routes is not None:  # somebody can answer
            self._front.keep(wanted.gateway)
        problem = self._carry_out(actions)
        self._busy = bool(actions) or state.phase is Phase.STARTING
        self._measure(wanted, now)
        if problem is not None:
            raise problem
        return None

    def end(self, drain_seconds: float) -> None:
        """End the gateway and then all releases. Returns when nobody is left."""
        self._notebook.tell("ending")
        self._rewarding.close()
        self._front.end(drain_seconds)
        self._fleet.end(drain_seconds)

    def close(self) -> None:
        """Leave: the gateway and the releases go on without a controller."""
        self._rewarding.close()
        self._keep(self._state, at_once=True)

    def _tell(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Note):
                self._notebook.tell(action.event, text=action.text)

    def _carry_out(self, actions: Sequence[Action]) -> OSError | MlctlError | None:
        """Do all that can be done: a release that cannot be started must not keep requests at one that failed its gate.

        Gives what first stood in the way; the next turn tries it again.
        """
        problem: OSError | MlctlError | None = None
        for action in actions:
            try:
                self._do(action)
            except (OSError, MlctlError) as error:
                problem = problem or error
        return problem

    def _do(self, action: Action) -> None:
        match action:
            case Start(number, revision):
                self._fleet.start(number, revision)
            case Stop(number, drain_seconds):
                self._fleet.stop(number, drain_seconds)
            case Route(routes):
                self._front.follow(routes)
            case Note():
                pass  # told already

    def _measure(self, wanted: Wanted, now: float) -> None:
        """Count, ask the gate, and show what there is to see."""
        state = self._state
        self._metering.variants = state.variants()
        routes = self._front.in_force(wanted.gateway)
        self._metering.mirrored = None if routes is None or routes.mirror is None else routes.mirror.variant
        question = asks(state, wanted, routes)
        asked = ask(self._shadowing.follow(question, state, self._metering), question, self._metering)
        if asked.look is not None:
            self._deciding.look(asked.look)
        if asked.state is not state:
            self._keep(asked.state)
        if asked.answer is not None:
            self._answer, verdict = asked.answer, asked.answer.verdict
            if state.verdict is None or verdict.says is not state.verdict.says:
                self._notebook.tell("gate", says=verdict.says, text=verdict.why)
        if self._metering.measure() or asked.answer is not None:
            self._show(wanted, question, now)
            for path in self._fleet.forget(set(self._state.releases)):
                self._metering.meter.forget(path)

    def _show(self, wanted: Wanted, question: Question | None, now: float) -> None:
        """What there is to see now, for those who watch."""
        live = live_view(self._state, wanted, self._metering, self._front, question, now)
        found = {"shadow": self._shadowing.report, "bandit": self._rewarding.summary(self._state, wanted)}
        self._notebook.show({**live, **found})

    def _keep(self, state: RolloutState, *, at_once: bool = False) -> None:
        """Have the state on the disk, when anything of it is new but the time, or the time is new enough.

        Raises OSError; nothing may then be done by it, and the next turn tries again.
        """
        self._new = self._new or not state.same_but_for_time(self._state)
        self._state = state
        every = _KEEP_SECONDS if state.phase in _BUSY else _KEEP_IDLE_SECONDS
        if not self._new and not at_once and time.monotonic() - self._kept_at < every:
            return
        self._notebook.write(Kept(state, self._metering.meter.to_json()))
        self._new, self._kept_at = False, time.monotonic()
