"""One version after the other: a candidate that starts, goes through the steps, and becomes the stable version or is held."""

from __future__ import annotations

from dataclasses import replace

from mlctl.rollout import strategies
from mlctl.rollout.bounds import KINDS, needs_baseline
from mlctl.rollout.looks import both_ready, given_up
from mlctl.rollout.routing import routes_of
from mlctl.rollout.state import Ended, RolloutState
from mlctl.rollout.turn import By, Turn, called, same_routes
from mlctl.rollout.verdict import Says, Verdict
from mlctl.types.jobs.rollout import MetricRule, Revision, Step, Stepwise


def reconcile(turn: Turn, revision: Revision, strategy: Stepwise) -> None:
    """Have the candidate be what is wanted, when that is neither stable, nor held, nor done with."""
    _leave_arms(turn)
    _expire_previous(turn, strategy)
    state = turn.state
    if state.ended is not None and (state.ended.digest, _course(state.ended.strategy)) != (
        revision.digest,
        _course(strategy),
    ):
        state = turn.state = replace(state, ended=None)
    candidate, stable = state.release(state.candidate), state.release(state.stable)
    held = state.held_as(revision.digest) is not None
    if held and state.undoing:
        return  # the way back goes on, whatever was left behind is still wanted
    if held or (stable is not None and stable.revision.digest == revision.digest):
        if candidate is not None:
            turn.note("withdrawn", f"{turn.named(state.candidate)} is not wanted any more")
            drop_candidate(turn)
    elif candidate is not None and candidate.revision.digest == revision.digest:
        _follow(turn, strategy)
    elif state.ended is None:
        if candidate is not None:
            turn.note("replaced", f"{called(revision)} takes the place of {turn.named(state.candidate)}")
        begin(turn, revision, strategy)


def begin(turn: Turn, revision: Revision, strategy: Stepwise) -> None:
    """A candidate, at the first step."""
    number = turn.obtain(revision)
    state = turn.state
    turn.state = replace(
        _new_step(turn, 0),
        candidate=number,
        previous=None if state.previous == number else state.previous,
        strategy=strategy,
        gates=turn.wanted.gates,
        leave="",
        paused=None,
        undoing=False,
        since=turn.now,
    )
    turn.note("started", f"{called(revision)} is release {number}")


def progress(turn: Turn) -> None:
    """Go as far as the looks, the time and the verdicts allow. What a later turn would do with the same, this one does."""
    while True:
        before = turn.state
        _progress_once(turn)
        if turn.state == before:
            return


def fail(turn: Turn, why: str, by: By, verdict: Verdict | None = None) -> None:
    """The candidate gets no more requests from now on, and its revision is held."""
    candidate = turn.state.release(turn.state.candidate)
    if candidate is None:
        return
    turn.hold(candidate.revision, why, by, verdict)
    turn.state = replace(turn.state, failures=turn.state.failures + 1)
    turn.note("held", f"{called(candidate.revision)} is held: {why}")
    stable = turn.state.release(turn.state.stable)
    if turn.state.undoing and stable is not None:
        turn.release_held(stable.revision.digest)  # there was no way back from it
    drop_candidate(turn)


def drop_candidate(turn: Turn) -> None:
    """There is no candidate any more."""
    turn.state = replace(_new_step(turn, 0), candidate=None, leave="", paused=None, undoing=False)


def promote(turn: Turn, why: str) -> None:
    """The candidate is the stable version from now on; the one before stays warm for a while."""
    state = turn.state
    old = state.release(state.stable)
    number = state.candidate
    drop_candidate(turn)
    turn.state = replace(
        turn.state,
        stable=number,
        previous=state.stable,
        previous_since=state.clock,
        last=state.last if old is None else old.revision,
        promotions=state.promotions + 1,
    )
    if (release := turn.state.release(number)) is not None:
        turn.release_held(release.revision.digest)
    turn.note("promoted", f"{turn.named(number)} answers all requests: {why}")


def swap(turn: Turn, why: str) -> None:
    """The version before is stable again at once, and the stable one is the one before."""
    state = turn.state
    old, number = state.release(state.stable), state.previous
    turn.state = replace(
        state,
        stable=number,
        previous=state.stable,
        previous_since=state.clock,
        last=None if old is None else old.revision,
        since=turn.now,
    )
    if (release := turn.state.release(number)) is not None:
        turn.release_held(release.revision.digest)
    turn.note("undone", f"{turn.named(number)} answers all requests again: {why}")


def waits_for(turn: Turn) -> str:
    """What the step waits for, in a sentence."""
    state, step = turn.state, turn.state.current_step()
    if state.paused is not None:
        return f"paused by {state.paused.who or 'somebody'}"
    if step is None or not isinstance(state.strategy, Stepwise):
        return "waits until it is ready"
    head = f"step {state.step + 1} of {len(state.strategy.steps)}"
    if not in_step(turn):
        return f"{head}: waits until the version and the gateway are as the step says"
    if step.gate is not None and (state.verdict is None or state.verdict.says is not Says.PASS):
        said = "no verdict yet" if state.verdict is None else state.verdict.why
        return f"{head}: waits for the gate {step.gate}: {said}"
    if step.pause_seconds is not None and state.step_seconds < step.pause_seconds:
        return f"{head}: waits for its time to pass"
    return f"{head}: waits for `mlctl rollout promote`"


def _progress_once(turn: Turn) -> None:
    state, strategy = turn.state, turn.state.strategy
    candidate = state.release(state.candidate)
    if candidate is None or not isinstance(strategy, Stepwise):
        return
    if why := given_up(candidate):
        fail(turn, why, "start")
        return
    if (failed := _take_verdict(turn)) is not None:
        fail(turn, failed.why, "gate", failed)
        return
    state = turn.state
    if not candidate.ready:
        return
    if state.stable is None or state.leave == "all":
        promote(turn, "it is the first version" if state.stable is None else "without the steps that were left")
    elif state.paused is not None:
        return
    elif state.step >= len(strategy.steps):
        _finish(turn, candidate.revision, strategy)
    elif in_step(turn) and may_leave(state, strategy.steps[state.step]):
        _next_step(turn, strategy)


def in_step(turn: Turn) -> bool:
    """Whether the gateway does what the step says."""
    state = turn.state
    return both_ready(state) and same_routes(routes_of(state, turn.wanted), turn.seen.routes)


def may_leave(state: RolloutState, step: Step) -> bool:
    """Whether all that a step waits for is there. A gate is waited for however long it takes."""
    if state.leave == "step":
        return True
    if step.confirm or state.step_seconds < (step.pause_seconds or 0.0):
        return False
    return step.gate is None or (state.verdict is not None and state.verdict.says is Says.PASS)


def _take_verdict(turn: Turn) -> Verdict | None:
    """Note what the step's gate says; gives the verdict when it is a failure."""
    state, answer = turn.state, turn.seen.answer
    step = state.current_step()
    if answer is None or step is None or step.gate is None or answer.token != state.token:
        return None
    verdict, rule = answer.verdict, state.gates.get(step.gate)
    if rule is None:
        return None
    compares = _has_baseline(state) and any(_compared(metric) for metric in rule.metrics)
    least = min(verdict.requests, verdict.baseline_requests) if compares else verdict.requests
    if verdict.says is Says.PASS and least < rule.min_requests:
        why = f"{least} of {rule.min_requests} requests so far"
        verdict = replace(verdict, says=Says.INCONCLUSIVE, why=why)
    turn.state = replace(state, verdict=verdict)
    return verdict if verdict.says is Says.FAIL else None


def _has_baseline(state: RolloutState) -> bool:
    """Whether the stable version answers requests beside the candidate."""
    return isinstance(state.strategy, Stepwise) and strategies.weight_at(state.strategy.steps, state.step) < 100


def _compared(metric: MetricRule) -> bool:
    """Whether a bound is about the stable version too, so that this one needs requests as well."""
    return any(getattr(metric, kind) is not None and needs_baseline(metric.name, kind) for kind in KINDS)


def _next_step(turn: Turn, strategy: Stepwise) -> None:
    left = strategy.steps[turn.state.step]
    asked = turn.state.leave == "step"
    verdict = turn.state.verdict
    why = "somebody said so" if asked else (verdict.why if left.gate is not None and verdict is not None else "in time")
    turn.note(
        "step", f"{turn.named(turn.state.candidate)} leaves step {turn.state.step + 1} of {len(strategy.steps)}: {why}"
    )
    turn.state = replace(_new_step(turn, turn.state.step + 1), leave="")


def _finish(turn: Turn, revision: Revision, strategy: Stepwise) -> None:
    if strategy.promote or turn.state.undoing:
        promote(turn, "all steps are done")
        return
    why = "all steps are done, and it is not to be promoted"
    turn.state = replace(turn.state, ended=Ended(revision.digest, strategy, why, turn.now))
    turn.note("ended", f"{called(revision)}: {why}")
    drop_candidate(turn)


def _new_step(turn: Turn, number: int) -> RolloutState:
    """The state at the beginning of a step: what was measured and said before is not about it."""
    return replace(
        turn.state, step=number, token=turn.state.token + 1, step_seconds=0.0, verdict=None, memory={}, since=turn.now
    )


def _follow(turn: Turn, strategy: Stepwise) -> None:
    """Steps and gates that were edited meanwhile: what is still to come may change, what has begun begins anew."""
    state = turn.state
    old = state.strategy
    if (old, state.gates) == (strategy, turn.wanted.gates):
        return
    goes_on = isinstance(old, Stepwise) and (
        state.stable is None
        or strategies.same_so_far((old.steps, state.gates), (strategy.steps, turn.wanted.gates), state.step)
    )
    if not goes_on:
        turn.note("edited", "the strategy is another one: the rollout begins again with its first step")
        turn.state = replace(_new_step(turn, 0), leave="")
    turn.state = replace(turn.state, strategy=strategy, gates=turn.wanted.gates)


def _course(strategy: Stepwise) -> tuple[str, list[Step], bool]:
    """What makes it another rollout of the same version."""
    return strategy.type, strategy.steps, strategy.promote


def _expire_previous(turn: Turn, strategy: Stepwise) -> None:
    """The version before is let go when its time is over, or when it cannot be had any more."""
    state = turn.state
    previous = state.release(state.previous)
    if previous is not None and (state.clock - state.previous_since >= strategy.keep_old_seconds or given_up(previous)):
        turn.state = replace(state, previous=None)


def _leave_arms(turn: Turn) -> None:
    """After an A/B test or a bandit the first arm is what was stable; a wanted version that was an arm goes on from there."""
    state = turn.state
    if not state.arms:
        return
    stable = state.stable
    if state.arm_shares:
        stable = next((arm.current for arm in state.arms if arm.current is not None), None)
    turn.state = replace(state, arms=(), arm_shares={}, stable=stable)
