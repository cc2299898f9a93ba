"""The histories of a rollout can fail: each of these bugs, planted into the machine, is caught by some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from mlctl.rollout import arms, looks, machine, orders, routing, stepwise
from mlctl.rollout.state import Release, RolloutState
from mlctl.rollout.turn import Turn
from mlctl.rollout.verdict import Says
from tests.properties.rollout_world import live
from tests.properties.rollouts import HISTORIES, Event

EXAMPLES, SEEDS = 150, range(6)

Plant = Callable[[pytest.MonkeyPatch], None]


def gates_are_ignored(patch: pytest.MonkeyPatch) -> None:
    """A step is left when its time is over, whatever its gate says."""
    real = stepwise.may_leave
    patch.setattr(stepwise, "may_leave", lambda state, step: real(state, step.model_copy(update={"gate": None})))


def nobody_has_to_confirm(patch: pytest.MonkeyPatch) -> None:
    """A step that waits for somebody is left in time."""
    real = stepwise.may_leave
    patch.setattr(stepwise, "may_leave", lambda state, step: real(state, step.model_copy(update={"confirm": False})))


def sleep_counts_as_time(patch: pytest.MonkeyPatch) -> None:
    """A laptop that was closed for an hour has watched for an hour."""
    patch.setattr(looks, "MOST_SECONDS", 1e9)


def time_counts_before_it_is_in_effect(patch: pytest.MonkeyPatch) -> None:
    """A pause begins when the step does, and not when the gateway follows it."""
    patch.setattr(looks, "in_effect", lambda state, seen: True)
    patch.setattr(machine, "in_effect", lambda state, seen: True)


def no_data_passes(patch: pytest.MonkeyPatch) -> None:
    """A pass counts without the requests it needs."""

    def take(turn: Turn) -> Any:
        answer, step = turn.seen.answer, turn.state.current_step()
        if answer is None or step is None or step.gate is None or answer.token != turn.state.token:
            return None
        turn.state = replace(turn.state, verdict=answer.verdict)
        return answer.verdict if answer.verdict.says is Says.FAIL else None

    patch.setattr(stepwise, "_take_verdict", take)


def verdicts_of_earlier_steps_count(patch: pytest.MonkeyPatch) -> None:
    """What a gate said of one step is taken for the next one."""
    real = stepwise._take_verdict

    def take(turn: Turn) -> Any:
        answer = turn.seen.answer
        if answer is not None:
            turn.seen = replace(turn.seen, answer=replace(answer, token=turn.state.token))
        return real(turn)

    patch.setattr(stepwise, "_take_verdict", take)


def a_failure_is_not_held(patch: pytest.MonkeyPatch) -> None:
    """What has failed is tried again at once."""
    patch.setattr(Turn, "hold", lambda self, *arguments, **named: None)


def a_failure_waits_for_the_next_turn(patch: pytest.MonkeyPatch) -> None:
    """Routes are those of the state before."""
    real = machine._route

    def route(turn: Turn) -> None:
        if turn.state.candidate is not None or turn.state.routes is None:
            real(turn)

    patch.setattr(machine, "_route", route)


def traffic_before_readiness(patch: pytest.MonkeyPatch) -> None:
    """A version that has never been ready is as good as any."""
    real = stepwise._progress_once

    def progress(turn: Turn) -> None:
        release = turn.state.release(turn.state.candidate)
        if release is not None and turn.state.stable is not None:
            ready = replace(release, ready=True)
            turn.state = replace(turn.state, releases={**turn.state.releases, release.number: ready})
        real(turn)

    patch.setattr(stepwise, "_progress_once", progress)


def who_is_away_keeps_its_share(patch: pytest.MonkeyPatch) -> None:
    """Requests go where the steps say, dead or alive."""

    def shares(state: RolloutState, variants: dict[str, int]) -> dict[str, int]:
        share = routing.candidate_share(state)
        found = {"stable": 10_000 - share, "candidate": share}
        return {name: found.get(name, 0) for name in variants} if "stable" in variants else {}

    patch.setattr(routing, "_one_by_one", shares)


def stopped_before_the_gateway_knows(patch: pytest.MonkeyPatch) -> None:
    """A release is stopped while requests still go to it."""
    real = machine._actions
    patch.setattr(machine, "LINGER_SECONDS", 0.0)
    patch.setattr(machine, "_actions", lambda turn: real(_blind(turn)))


def _blind(turn: Turn) -> Turn:
    routes = turn.state.routes
    return turn if routes is None else replace_seen(turn, routes)


def replace_seen(turn: Turn, routes: Any) -> Turn:
    return Turn(turn.state, turn.wanted, turn.now, replace(turn.seen, routes=routes))


def nobody_is_stopped(patch: pytest.MonkeyPatch) -> None:
    """Releases that nobody needs run on."""
    patch.setattr(machine, "LINGER_SECONDS", 1e9)


def orders_are_taken_again(patch: pytest.MonkeyPatch) -> None:
    """An order whose file is still there is another order."""
    real = orders.take_orders

    def take(turn: Turn) -> None:
        turn.state = replace(turn.state, taken=())
        real(turn)

    patch.setattr(machine, "take_orders", take)


def pause_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """Somebody says wait, and nobody waits."""
    real_progress = stepwise._progress_once

    def progress(turn: Turn) -> None:
        kept, turn.state = turn.state.paused, replace(turn.state, paused=None)
        real_progress(turn)
        turn.state = replace(turn.state, paused=kept)

    patch.setattr(stepwise, "_progress_once", progress)


def a_third_version_promotes_the_second(patch: pytest.MonkeyPatch) -> None:
    """When another version is wanted, the one on its way is stable from then on."""
    real = stepwise.begin

    def begin(turn: Turn, *arguments: Any) -> None:
        if turn.state.candidate is not None and turn.state.stable is not None:
            stepwise.promote(turn, "another one is wanted")
        real(turn, *arguments)

    patch.setattr(stepwise, "begin", begin)


def measurements_are_kept_over_steps(patch: pytest.MonkeyPatch) -> None:
    """A step begins with what was counted in the last one."""
    real = stepwise._new_step
    patch.setattr(stepwise, "_new_step", lambda turn, number: replace(real(turn, number), memory=turn.state.memory))


def the_way_back_never_cools_down(patch: pytest.MonkeyPatch) -> None:
    """The version before runs for ever."""
    patch.setattr(stepwise, "_expire_previous", lambda turn, strategy: None)


def nobody_is_given_up(patch: pytest.MonkeyPatch) -> None:
    """A version that never comes up is started for ever."""
    patch.setattr(stepwise, "given_up", lambda release: "")
    patch.setattr(arms, "given_up", lambda release: "")


def arms_answer_before_they_can(patch: pytest.MonkeyPatch) -> None:
    """An arm gets its share when its server was started."""
    real = arms._arm

    def arm(turn: Turn, *arguments: Any) -> Any:
        found = real(turn, *arguments)
        return found if found.incoming is None else replace(found, current=found.incoming, incoming=None)

    patch.setattr(arms, "_arm", arm)


def arms_of_before_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """An arm that is not wanted any more is not stopped."""
    real = RolloutState.slots
    patch.setattr(RolloutState, "slots", lambda self: real(self) | set(self.releases))


def deaths_are_not_seen(patch: pytest.MonkeyPatch) -> None:
    """Whoever was ready once is ready for ever."""
    real = looks._looked_at

    def looked(release: Release, *arguments: Any) -> Release:
        found = real(release, *arguments)
        return replace(found, ready=True, running=True) if release.ready and not found.running else found

    patch.setattr(looks, "_looked_at", looked)


BUGS: list[Plant] = [
    gates_are_ignored,
    nobody_has_to_confirm,
    sleep_counts_as_time,
    time_counts_before_it_is_in_effect,
    no_data_passes,
    verdicts_of_earlier_steps_count,
    a_failure_is_not_held,
    a_failure_waits_for_the_next_turn,
    traffic_before_readiness,
    who_is_away_keeps_its_share,
    stopped_before_the_gateway_knows,
    nobody_is_stopped,
    orders_are_taken_again,
    pause_is_ignored,
    a_third_version_promotes_the_second,
    measurements_are_kept_over_steps,
    the_way_back_never_cools_down,
    nobody_is_given_up,
    arms_answer_before_they_can,
    arms_of_before_are_forgotten,
    deaths_are_not_seen,
]


SELDOM = (  # they take many histories to show
    a_third_version_promotes_the_second, arms_answer_before_they_can, no_data_passes, nobody_has_to_confirm, pause_is_ignored,
    sleep_counts_as_time, time_counts_before_it_is_in_effect, verdicts_of_earlier_steps_count, who_is_away_keeps_its_share,
)  # fmt: skip


@pytest.mark.parametrize(
    "plant",
    [pytest.param(plant, marks=pytest.mark.soak) if plant in SELDOM else plant for plant in BUGS],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_bug_is_caught(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        for number in SEEDS:
            try:
                histories(number)
            except (AssertionError, ValueError, KeyError, RuntimeError):
                return
    pytest.fail("no history has shown it")


def histories(number: int) -> None:
    """Some histories, the same ones for the same number, up to the first that fails."""

    @seed(number)
    @given(history=HISTORIES)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    def each(history: list[Event]) -> None:
        live(history)

    each()


def test_without_a_bug_the_same_histories_pass() -> None:
    histories(SEEDS[0])
