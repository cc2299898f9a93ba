"""Several versions beside each other: the arms of an A/B test or a bandit, each of which can get a new version."""

from __future__ import annotations

from dataclasses import replace

from mlctl.rollout import stepwise, strategies
from mlctl.rollout.looks import given_up
from mlctl.rollout.state import Arm
from mlctl.rollout.turn import Turn, called
from mlctl.types.jobs.rollout import ArmRule, Bandit, Split


def reconcile(turn: Turn, strategy: Split | Bandit) -> None:
    """Have each arm served by its version. What answered before goes on until every arm can."""
    answering = turn.state.arm_shares
    kept = [arm if arm.name in strategy.arms else replace(arm, incoming=None) for arm in turn.state.arms]
    kept = [arm for arm in kept if arm.name in strategy.arms or arm.name in answering]
    turn.state = replace(turn.state, arms=tuple(kept))
    for name, rule in strategy.arms.items():
        _put(turn, _arm(turn, name, rule))
    if turn.state.candidate is not None:
        turn.note("withdrawn", f"{turn.named(turn.state.candidate)} takes part as an arm, or not at all")
        stepwise.drop_candidate(turn)
    _settle(turn, strategy)
    paused = turn.state.paused if isinstance(strategy, Bandit) else None  # nothing else moves by itself
    turn.state = replace(turn.state, strategy=strategy, gates={}, ended=None, previous=None, paused=paused)


def missing(turn: Turn, strategy: Split | Bandit) -> list[str]:
    """Arms that no release answers for yet."""
    current = {arm.name for arm in turn.state.arms if arm.current is not None}
    return [name for name in strategy.arms if name not in current]


def _arm(turn: Turn, name: str, rule: ArmRule) -> Arm:
    """An arm after a look at its releases."""
    arm = next((item for item in turn.state.arms if item.name == name), Arm(name))
    digest = rule.revision.digest
    current, incoming = turn.state.release(arm.current), turn.state.release(arm.incoming)
    if current is not None and current.revision.digest == digest:
        return replace(arm, incoming=None)
    if name not in turn.state.arm_shares:
        arm = replace(arm, current=None)  # it answers for nobody, so nobody misses it
    if turn.state.held_as(digest) is not None:
        return replace(arm, incoming=None)
    if incoming is None or incoming.revision.digest != digest:
        arm = replace(arm, incoming=turn.obtain(rule.revision))
        incoming = turn.state.release(arm.incoming)
        turn.note("started", f"{called(rule.revision)} is release {arm.incoming}, for the arm {name}")
    if incoming is None:
        return arm
    if incoming.ready:
        turn.note("promoted", f"{called(rule.revision)} answers for the arm {name}")
        return Arm(name, current=incoming.number)
    if why := given_up(incoming):
        turn.hold(rule.revision, why, "start")
        turn.note("held", f"{called(rule.revision)} is held: {why}")
        turn.state = replace(turn.state, failures=turn.state.failures + 1)
        return replace(arm, incoming=None)
    return arm


def _put(turn: Turn, arm: Arm) -> None:
    arms = turn.state.arms
    if any(item.name == arm.name for item in arms):
        turn.state = replace(turn.state, arms=tuple(arm if item.name == arm.name else item for item in arms))
    else:
        turn.state = replace(turn.state, arms=(*arms, arm))


def _settle(turn: Turn, strategy: Split | Bandit) -> None:
    """Give the arms their shares once all can answer; or, when there was nothing before, once all are there that will be."""
    state = turn.state
    away = missing(turn, strategy)
    waiting = {arm.name for arm in state.arms if arm.incoming is not None and arm.current is None}
    answered_before = state.stable is not None or bool(state.arm_shares)
    if away and (answered_before or waiting or len(away) == len(strategy.arms)):
        return
    if not state.arm_shares:
        turn.note("begun", f"requests go to the arms {', '.join(strategy.arms)}")
    shares = strategies.without(_shares(turn, strategy), away)
    by_name = {arm.name: arm for arm in state.arms}
    turn.state = replace(
        state,
        arms=tuple(by_name[name] for name in strategy.arms),
        arm_shares=shares,
        stable=None,
        last=None,
        memory=state.memory if state.arm_shares else {},
    )


def _shares(turn: Turn, strategy: Split | Bandit) -> dict[str, int]:
    """The arms' shares in the order of the strategy: by its weights, or of a bandit as it decided last."""
    weights = _weights(strategy)
    if isinstance(strategy, Split):
        return strategies.by_weights(weights)
    decided, old = turn.seen.shares, turn.state.strategy
    if decided is not None and decided.keys() == strategy.arms.keys() and turn.state.paused is None:
        return strategies.by_probabilities({name: decided[name] for name in strategy.arms})
    # what was decided stays until there is something new: the project's weights, or other rewards
    if isinstance(old, Bandit) and turn.state.arm_shares.keys() == weights.keys() and weights == _weights(old):
        return {name: turn.state.arm_shares[name] for name in weights}
    return strategies.by_weights(weights)


def _weights(strategy: Split | Bandit) -> dict[str, float]:
    return {name: rule.weight for name, rule in strategy.arms.items()}
