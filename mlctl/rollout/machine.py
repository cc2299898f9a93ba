"""The state machine of a rollout: from a state, what is wanted and what is seen, the next state and what is to be done.

It is pure: no clock, no file, no process, and the same arguments give the same result. How a controller drives it:

    while True:                                             # several times a second
        look at the releases, the gateway, the orders       # -> Seen
        question = asks(state, wanted, seen.routes)         # what the gate is to be asked now, if anything; the counts
                                                            # that it is about begin with the first question of a token
        state, actions = advance(state, wanted, now, seen)  # `now` is the wall clock, however it jumps
        write rollout.json, fsync                           # before anything is done
        carry the actions out, in their order
        remove the files of the orders in `state.taken`

Nothing in an action has to succeed, and none is remembered: `advance` compares what is with what should be, and asks again
for what is not there yet. So a controller that was killed at any line goes on from `rollout.json`; it has to see the
releases that its predecessor left, and gives `routes=None` until the gateway was told once. Advancing twice with the same
arguments gives the same state.

`state.memory` is the controller's (what it had counted when the step began, what the judge remembers): the machine only
empties it when a step begins. Whoever needs a time that no sleep and no change of the clock can hurt takes `state.clock`.
"""

from __future__ import annotations

from dataclasses import replace

from mlctl.rollout import arms, stepwise, strategies
from mlctl.rollout.looks import in_effect, overdue, take_looks
from mlctl.rollout.orders import take_orders
from mlctl.rollout.routes import Routes
from mlctl.rollout.routing import routes_of
from mlctl.rollout.seen import Action, Question, Route, Seen, Start, Stop
from mlctl.rollout.state import Phase, RolloutState
from mlctl.rollout.turn import Turn, same_routes
from mlctl.types.jobs.rollout import CANDIDATE, STABLE, Stepwise, Wanted

LINGER_SECONDS = 5.0  # how long a release that nobody needs stays, in case somebody needs it again


def advance(state: RolloutState, wanted: Wanted, now: float, seen: Seen) -> tuple[RolloutState, list[Action]]:
    """The next state, and what has to be done so that the world becomes like it."""
    turn = Turn(take_looks(state, now, seen), wanted, now, seen)
    take_orders(turn)
    while True:
        before = turn.state
        _reconcile(turn)
        stepwise.progress(turn)
        if turn.state == before:
            break
    _collect(turn)
    _route(turn)
    _conclude(turn, state)
    return turn.state, [*_actions(turn), *turn.notes]


def asks(state: RolloutState, wanted: Wanted, routes: Routes | None) -> Question | None:
    """What the gate of the step is to be asked now; None while there is none, or while its requests do not flow as they should."""
    step = state.current_step()
    rule = None if step is None or step.gate is None else state.gates.get(step.gate)
    if step is None or step.gate is None or rule is None or not isinstance(state.strategy, Stepwise):
        return None
    if not stepwise.in_step(Turn(state, wanted, 0.0, Seen(routes=routes))):
        return None
    weight = strategies.weight_at(state.strategy.steps, state.step)
    mirror = strategies.mirror_at(state.strategy.steps, state.step)
    return Question(
        token=state.token,
        gate=step.gate,
        rule=rule,
        candidate=CANDIDATE,
        baseline=STABLE if weight < 100 else None,
        copies=weight == 0,
        mirrored=mirror > 0,
    )


def _reconcile(turn: Turn) -> None:
    """Look at what is wanted, however much of it is new."""
    wanted = turn.wanted
    turn.state = replace(turn.state, serial=wanted.serial)
    if not isinstance(wanted.strategy, Stepwise):
        arms.reconcile(turn, wanted.strategy)
    elif wanted.revision is not None:
        stepwise.reconcile(turn, wanted.revision, wanted.strategy)


def _collect(turn: Turn) -> None:
    """Releases that nobody needs are to leave; those that have left are forgotten."""
    state, needed = turn.state, turn.state.slots()
    kept = {}
    for number, release in state.releases.items():
        if number in needed:
            kept[number] = replace(release, leaving=None)
        elif release.running:
            leaving = state.clock + LINGER_SECONDS if release.leaving is None else release.leaving
            kept[number] = replace(release, leaving=leaving)
    turn.state = replace(state, releases=kept)


def _route(turn: Turn) -> None:
    """New routes get a new serial. While nobody can answer the last ones stand."""
    state = turn.state
    routes = routes_of(state, turn.wanted)
    if routes is not None and not same_routes(routes, state.routes):
        serial = 1 if state.routes is None else state.routes.serial + 1
        turn.state = replace(state, routes=replace(routes, serial=serial))


def _conclude(turn: Turn, before: RolloutState) -> None:
    """Say where the rollout is."""
    phase, reason = _phase(turn)
    since = turn.now if phase is not before.phase else turn.state.since
    turn.state = replace(
        turn.state, phase=phase, reason=reason, since=since, in_effect=in_effect(turn.state, turn.seen)
    )


def _phase(turn: Turn) -> tuple[Phase, str]:
    state, wanted = turn.state, turn.wanted
    if not isinstance(wanted.strategy, Stepwise):
        return _phase_of_arms(turn)
    candidate = state.release(state.candidate)
    if candidate is not None:
        if state.stable is None or not candidate.was_ready:
            return Phase.STARTING, f"{turn.named(state.candidate)} starts"
        return Phase.STEPPING, stepwise.waits_for(turn)
    digest = "" if wanted.revision is None else wanted.revision.digest
    if (held := state.held_as(digest)) is not None:
        return Phase.HELD, held.why
    if state.ended is not None:
        return Phase.ENDED, state.ended.why
    return (
        (Phase.EMPTY, "") if state.stable is None else (Phase.DONE, f"{turn.named(state.stable)} answers all requests")
    )


def _phase_of_arms(turn: Turn) -> tuple[Phase, str]:
    state, strategy = turn.state, turn.wanted.strategy
    if isinstance(strategy, Stepwise):
        raise TypeError("a stepwise strategy has no arms")
    starting = [arm.name for arm in state.arms if arm.incoming is not None]
    if starting:
        return Phase.STARTING, f"new versions start for {', '.join(starting)}"
    for name, rule in strategy.arms.items():
        if (held := state.held_as(rule.revision.digest)) is not None:
            return Phase.HELD, f"arm {name}: {held.why}"
    return Phase.DONE, f"{len(strategy.arms)} arms answer"


def _actions(turn: Turn) -> list[Action]:
    """What is not yet as it should be. A release is stopped only when the gateway sends it nothing any more."""
    state, seen = turn.state, turn.seen
    drain = turn.wanted.gateway.timeout_seconds
    actions: list[Action] = []
    for number, release in sorted(state.releases.items()):
        if release.leaving is None and overdue(release):
            actions.append(Stop(number, 0.0))  # it hangs: when it is gone it is started again
        elif release.leaving is None and not release.running:
            actions.append(Start(number, release.revision))
    if state.routes is not None and not same_routes(state.routes, seen.routes):
        actions.append(Route(state.routes))
    if state.routes is not None and seen.routes is None:
        return actions  # nobody knows yet where requests go
    used = set() if seen.routes is None else set(seen.routes.backends.values())
    for number, release in sorted(state.releases.items()):
        if release.leaving is not None and release.leaving <= state.clock and release.backend not in used:
            actions.append(Stop(number, drain))
    actions += [Stop(number, drain) for number in _strays(state, seen)]
    return actions


def _strays(state: RolloutState, seen: Seen) -> list[int]:
    """Releases that run and that the state does not know. They may be all that answers, until the gateway follows this state."""
    if state.routes is None or not same_routes(state.routes, seen.routes):
        return []
    return sorted(number for number, look in seen.releases.items() if look.running and number not in state.releases)
