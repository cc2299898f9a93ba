"""A world that a rollout lives in: releases that start, become ready and die, a gateway, a controller that is killed.

Nothing here sleeps: time is what the histories say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlctl.rollout.looks import MOST_SECONDS
from mlctl.rollout.machine import advance, asks
from mlctl.rollout.routes import TOTAL, Backend, Routes
from mlctl.rollout.seen import Action, Answer, Look, Note, Question, Route, Seen, Start, Stop
from mlctl.rollout.state import Phase, RolloutState, from_json, to_json
from mlctl.rollout.turn import same_routes
from mlctl.rollout.verdict import Says, Verdict
from mlctl.types.jobs.rollout import (
    STABLE,
    Bandit,
    Order,
    Stepwise,
    Strategy,
    Wanted,
)
from tests.properties.rollout_promises import check
from tests.properties.rollouts import ARMS, BROKEN, ORDERS, STEPWISE, TURN, Event, wanted


@dataclass
class Process:
    """A release that runs."""

    number: int
    version: str
    port: int
    ready_in: int  # turns
    ready: bool = False
    draining: int | None = None  # turns left


@dataclass
class World:
    """Drives the machine as a controller does, and holds it to its promises at every turn."""

    state: RolloutState = field(default_factory=RolloutState)
    want: Wanted | None = None
    now: float = 1_000_000.0
    processes: dict[int, Process] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    whys: dict[int, str] = field(default_factory=dict)
    gateway: Routes | None = None  # what it follows; survives a controller
    told: Routes | None = None  # what this controller knows that it follows
    orders: list[tuple[str, Order]] = field(default_factory=list)
    named: int = 0
    says: Says | None = None  # of the next question
    requests: int = 1000
    stale: Answer | None = None
    shares: Mapping[str, float] | None = None
    refuses: int = 0  # the gateway takes no routes for so many turns
    kill: str = ""  # where the controller dies next: before, within, after what it does
    real: dict[int, float] = field(default_factory=dict)  # by token: time that really passed in effect
    given: dict[int, Verdict] = field(default_factory=dict)  # by token: what was really said of a step
    ever_ready: set[int] = field(default_factory=set)
    advance: Callable[..., tuple[RolloutState, list[Action]]] = advance
    notes: list[Note] = field(default_factory=list)
    seconds: float = TURN  # that a turn takes
    turns: int = 0

    # what may happen

    def happen(self, event: Event) -> None:
        what, about = event
        getattr(self, f"_{what}")(about)
        self.turn()

    def _apply(self, about: tuple[str, str]) -> None:
        name, version = about
        strategy: Strategy = STEPWISE[name] if name in STEPWISE else ARMS[name]
        self.want = wanted(1 if self.want is None else self.want.serial + 1, strategy, version)

    def _order(self, name: str) -> None:
        self.named += 1
        self.orders.append((f"{self.named:04}.json", Order(**ORDERS[name], who="ann", why="because")))

    def _die(self, place: int) -> None:
        running = sorted(self.processes)
        if running:
            self._lose(running[place % len(running)])

    def _verdict(self, about: tuple[Says, int]) -> None:
        self.says, self.requests = about

    def _wait(self, turns: int) -> None:
        for _ in range(turns):
            self.turn()

    def _carry_on(self, turns: int) -> None:
        """All goes well for a while: gates pass, and somebody confirms."""
        for _ in range(turns):
            self.says, self.requests = Says.PASS, 1000
            self._confirm()
            self.turn()

    def _confirm(self) -> None:
        step, state = self.state.current_step(), self.state
        if step is not None and step.confirm and state.in_effect and not state.leave and not self.orders:
            self._order("promote")

    def _jump(self, seconds: float) -> None:
        """The machine sleeps, or its clock is set: as much of it as a slow turn may take counts as time."""
        self.now += seconds
        self._watch(min(max(seconds, 0.0), MOST_SECONDS))

    def _kill(self, where: str) -> None:
        self.kill = where

    def _refuse(self, turns: int) -> None:
        self.refuses = turns

    def _decide(self, weights: Sequence[int]) -> None:
        strategy = None if self.want is None else self.want.strategy
        if isinstance(strategy, Bandit):
            total = sum(weights[: len(strategy.arms)])
            self.shares = {name: weight / total for name, weight in zip(strategy.arms, weights, strict=False)}

    def _gateway_dies(self, _: None) -> None:
        self.told = None

    def _forget(self, _: None) -> None:
        """Somebody removed the state: the releases run on, and the machine has never heard of them."""
        self.state, self.told = RolloutState(), None

    # a turn of the controller

    def turn(self) -> None:
        self._pass()
        if self.want is None:
            return
        before, seen = self.state, self._look()
        state, actions = self.advance(before, self.want, self.now, seen)
        check(self, before, seen, state, actions)
        if self.kill == "before":
            self._reborn()
            return
        self.state, self.turns = state, self.turns + 1
        if self.kill or self.turns % 8 == 0:
            self.state = from_json(json.loads(json.dumps(to_json(state))))
            assert self.state == state
        if state.current_step() is not None and not state.memory:
            self.state = replace(self.state, memory={"token": state.token})
        self.orders = [item for item in self.orders if item[0] not in state.taken or self.kill == "after"]
        self.says, self.shares = (None, None) if self.kill != "within" else (self.says, self.shares)
        for place, action in enumerate(actions):
            if self.kill == "within" and place % 2:
                continue
            self._carry_out(action)
        if self.kill:
            self._reborn()

    def _look(self) -> Seen:
        releases = {
            number: Look(
                running=True,
                backend=Backend("127.0.0.1", process.port, process.version)
                if process.ready and process.draining is None
                else None,
                deaths=self.deaths.get(number, 0),
                why=self.whys.get(number, ""),
            )
            for number, process in self.processes.items()
        }
        for number in self.state.releases.keys() - releases.keys():
            releases[number] = Look(False, None, self.deaths.get(number, 0), self.whys.get(number, ""))
        answer = self.stale
        assert self.want is not None
        question = asks(self.state, self.want, self.told)
        if question is not None and self.says is not None:
            answer = Answer(question.token, self.verdict(question))
            self.given[question.token] = answer.verdict
            self.stale = answer  # may be given again, for what it is not about
        return Seen(releases, self.told, answer, tuple(self.orders), self.shares)

    def verdict(self, question: Question) -> Verdict:
        assert self.says is not None
        baseline = self.requests if question.baseline is not None else 0
        assert question.rule == self.state.gates[question.gate]
        return Verdict(self.says, "as the history says", (), self.requests, baseline)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Start(number, about):
                process = self.processes.get(number)
                if process is None:
                    port = 9000 + number * 10 + self.deaths.get(number, 0) % 10
                    never = about.version == BROKEN
                    self.processes[number] = Process(number, about.version, port, 10**9 if never else 3)
            case Stop(number, _):
                process = self.processes.get(number)
                if process is not None and process.draining is None:
                    process.draining = 2
            case Route(routes):
                if self.refuses == 0:
                    self.gateway = self.told = routes
            case Note():
                self.notes.append(action)

    def _pass(self) -> None:
        self.now += self.seconds
        self._watch(self.seconds)
        self.refuses = max(0, self.refuses - 1)
        for number, process in list(self.processes.items()):
            process.ready_in -= 1
            if process.ready_in <= 0:
                process.ready = True
                self.ever_ready.add(number)
            if process.version == BROKEN and process.ready_in % 3 == 0 and process.draining is None:
                self._lose(number)
            elif process.draining is not None:
                process.draining -= 1
                if process.draining < 0:
                    self.processes.pop(number)

    def _watch(self, seconds: float) -> None:
        """Time passes in which the requests really go as the step says."""
        state = self.state
        releases = [state.release(number) for number in (state.stable, state.candidate)]
        there = all(item is None or self._answers(item.number) for item in releases)
        if there and state.routes is not None and same_routes(state.routes, self.gateway):
            self.real[state.token] = self.real.get(state.token, 0.0) + seconds

    def _answers(self, number: int) -> bool:
        return number in self.processes and self.processes[number].ready

    def _lose(self, number: int) -> None:
        self.processes.pop(number)
        self.deaths[number] = self.deaths.get(number, 0) + 1
        self.whys[number] = "it was killed"

    def _reborn(self) -> None:
        """Another controller begins: it knows of nothing but the files."""
        self.told, self.kill = None, ""
        self.deaths, self.whys = {}, {}

    # how it ends

    def settle(self) -> None:
        """Nothing happens any more, gates pass and somebody confirms: all comes to rest, and nobody is left behind."""
        if self.want is None:
            return
        self.kill, self.refuses, self.seconds = "", 0, MOST_SECONDS
        quiet = 0
        for _ in range(1500):
            before = self.state
            if self.state.paused is not None and not self.orders:
                self._order("resume")
            self._carry_on(1)
            quiet = quiet + 1 if self.state.same_but_for_time(before) and not self._moving() else 0
            if quiet > 8:
                break
        assert not self._moving(), "it never comes to rest"
        self._check_rest()

    def _moving(self) -> bool:
        state = self.state
        return (
            state.candidate is not None
            or state.previous is not None
            or (set(self.processes) != state.slots() and state.routes is not None)
            or any(arm.incoming is not None for arm in state.arms)
            or (not same_routes(state.routes, self.gateway) and state.routes is not None)
        )

    def _check_rest(self) -> None:
        state, want = self.state, self.want
        assert want is not None
        assert all(process.ready for process in self.processes.values())
        assert not any(release.leaving for release in state.releases.values())
        if isinstance(want.strategy, Stepwise):
            assert want.revision is not None
            held = state.held_as(want.revision.digest)
            stable = state.release(state.stable)
            if held is None and state.ended is None:
                assert stable is not None
                assert stable.revision.digest == want.revision.digest
                assert state.phase is Phase.DONE
            else:
                assert state.phase is (Phase.HELD if held is not None else Phase.ENDED)
            if stable is not None:
                assert state.routes is not None
                assert state.routes.shares[STABLE] == TOTAL
                assert len(self.processes) == 1
            return
        serving = {arm.name: arm.current for arm in state.arms}
        for name, rule in want.strategy.arms.items():
            if state.arm_shares.keys() == want.strategy.arms.keys() and serving.get(name) is not None:
                found = state.releases[serving[name] or 0].revision.digest
                assert found == rule.revision.digest or state.held_as(rule.revision.digest) is not None


def live(history: Sequence[Event], machine: Callable[..., Any] = advance) -> World:
    """All that happens, and then the rest."""
    world = World(advance=machine)
    for event in history:
        world.happen(event)
    world.settle()
    return world
