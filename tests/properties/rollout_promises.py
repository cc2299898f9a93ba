"""What always holds of a rollout, whatever happens to it: held to at every turn of its world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlctl.rollout.routes import TOTAL
from mlctl.rollout.seen import Action, Note, Seen, Start, Stop
from mlctl.rollout.state import RolloutState
from mlctl.rollout.strategies import share_of, weight_at
from mlctl.rollout.verdict import Says
from mlctl.types.jobs.rollout import (
    CANDIDATE,
    STABLE,
    Stepwise,
    Wanted,
)

if TYPE_CHECKING:
    from tests.properties.rollout_world import World


def check(world: World, before: RolloutState, seen: Seen, state: RolloutState, actions: Sequence[Action]) -> None:
    assert world.want is not None
    if actions or world.turns % 8 == 0:
        again, repeated = world.advance(state, world.want, world.now, seen)
        assert again == state, "advancing twice is not the same as once"
        assert doings(repeated) == doings(actions)
    _check_routes(world, state)
    _check_stops(world, seen, state, actions)
    _check_stable(world, before, seen, state)
    _check_steps(world, before, seen, state)
    _check_held(world, before, seen, state)
    if state.token != before.token:
        assert state.memory == {}, "what was measured in one step counts in the next"
    started = {item.number for item in actions if isinstance(item, Start)}
    assert started <= state.slots()
    assert all(not world.processes.get(number) for number in started)


def _check_routes(world: World, state: RolloutState) -> None:
    routes = state.routes
    if routes is None:
        assert not any(state.releases[number].was_ready for name, number in state.variants().items() if name == STABLE)
        return
    assert sum(routes.shares.values()) == TOTAL
    ports = {process.port: process for process in world.processes.values() if process.ready}
    answering = {name: routes.backends[name] for name, share in routes.shares.items() if share}
    may = _may_answer(world, state)
    if any(state.releases[number].ready for number in may):
        assert all(backend.port in ports for backend in answering.values()), "requests lead to nobody"
    for backend in answering.values():
        number = (backend.port - 9000) // 10
        assert number in world.ever_ready, "requests go to a release that was never ready"
    if routes.mirror is not None:
        assert routes.mirror.variant == CANDIDATE
        assert state.release(state.candidate) is not None
    candidate = state.release(state.candidate)
    if not state.arm_shares and candidate is not None and isinstance(state.strategy, Stepwise):
        most = share_of(weight_at(state.strategy.steps, state.step)) if state.strategy.steps else 0
        stable = state.release(state.stable)
        if stable is not None and stable.ready:
            assert routes.shares.get(CANDIDATE, 0) <= most
        elif most == 0:
            assert routes.shares.get(CANDIDATE, 0) == 0


def _may_answer(world: World, state: RolloutState) -> set[int]:
    if state.arm_shares:
        return {number for name, number in state.variants().items() if state.arm_shares[name]}
    numbers = {state.stable, state.previous}
    steps = state.strategy.steps if isinstance(state.strategy, Stepwise) else []
    if state.candidate is not None and state.stable is not None and steps and weight_at(steps, state.step):
        numbers.add(state.candidate)
    return {number for number in numbers if number is not None}


def _check_stops(world: World, seen: Seen, state: RolloutState, actions: Sequence[Action]) -> None:
    answering = (
        set()
        if world.gateway is None
        else {world.gateway.backends[name].port for name, share in world.gateway.shares.items() if share}
    )
    for item in actions:
        if isinstance(item, Stop):
            assert item.number not in state.slots() or state.releases[item.number].unready_seconds > 0
            process = world.processes.get(item.number)
            if process is not None and process.ready and world.gateway is not None:
                assert process.port not in answering, "a release is stopped that requests still go to"


def _check_stable(world: World, before: RolloutState, seen: Seen, state: RolloutState) -> None:
    """The stable version changes by steps that were all left, by an order, or since there was none."""
    if state.stable == before.stable or before.stable is None or state.stable is None or state.arms or before.arms:
        return
    fresh = {order.what for name, order in seen.orders if name not in before.taken}
    if "undo" in fresh or before.leave == "all" or any(order.full for _, order in seen.orders):
        return
    strategy = state.strategy
    assert isinstance(strategy, Stepwise)
    assert state.stable == before.candidate or not strategy.steps, "the stable version is one that was no candidate"
    assert strategy.promote
    assert world.want is not None
    assert world.want.revision is not None
    found = state.releases[state.stable].revision.digest
    assert found == world.want.revision.digest, "what is not wanted has become stable"


def _check_held(world: World, before: RolloutState, seen: Seen, state: RolloutState) -> None:
    """Nobody tries again what is held, but by order."""
    fresh = {order.what for name, order in seen.orders if name not in before.taken}
    candidate = state.release(state.candidate)
    if candidate is not None and not state.undoing:
        assert state.held_as(candidate.revision.digest) is None, "a held revision is tried again"
    lost = {item.digest for item in before.held} - {item.digest for item in state.held}
    if lost and not fresh & {"retry", "undo"}:
        assert before.undoing, "a held revision is forgotten"


def _check_steps(world: World, before: RolloutState, seen: Seen, state: RolloutState) -> None:
    step = before.current_step()
    if step is None or not isinstance(before.strategy, Stepwise):
        return
    answer = seen.answer
    judged = answer is not None and answer.token == before.token and step.gate is not None
    if judged and answer is not None and answer.verdict.says is Says.FAIL and before.candidate is not None:
        candidate = before.releases[before.candidate]
        gone = state.candidate != before.candidate or state.step == 0
        fresh = {order.what for name, order in seen.orders if name not in before.taken}
        if not fresh and same_want(before, world.want):
            assert state.held_as(candidate.revision.digest) is not None, "a failed gate holds nothing"
            assert gone
            if state.routes is not None:
                assert state.routes.shares.get(CANDIDATE, 0) == 0, "a failed candidate still has requests"
                assert state.routes.mirror is None
    same = state.candidate == before.candidate and state.strategy == before.strategy
    left = (same and state.step > before.step) or (
        state.stable == before.candidate
        and before.stable is not None
        and not state.arms
        and same_want(before, world.want)
    )
    ordered = before.leave or any(
        order.what in ("promote", "undo") for name, order in seen.orders if name not in before.taken
    )
    if left and not ordered:
        assert not step.confirm, "a step that waits for somebody was left by itself"
        real = world.real.get(before.token, 0.0)
        assert real + 1e-6 >= (step.pause_seconds or 0.0), "a pause was cut short"
        assert before.paused is None or any(order.what == "resume" for _, order in seen.orders)
        if step.gate is not None:
            verdict = world.given.get(before.token)
            assert verdict is not None
            assert verdict.says is Says.PASS, "a gate was passed without a verdict"
            least = before.gates[step.gate].min_requests
            assert verdict.requests >= least, "a gate was passed without requests"
            if step.gate == "guard":  # it compares
                assert verdict.baseline_requests >= least


def doings(actions: Sequence[Action]) -> list[Action]:
    return [item for item in actions if not isinstance(item, Note)]


def same_want(state: RolloutState, want: Wanted | None) -> bool:
    return (
        want is not None
        and want.revision is not None
        and state.strategy == want.strategy
        and state.gates == want.gates
        and state.candidate is not None
        and state.releases[state.candidate].revision.digest == want.revision.digest
    )
