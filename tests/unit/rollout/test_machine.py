"""One promise of a rollout each, in a world where servers take three turns to start and time is what the test says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mlctl.rollout.machine import advance, asks
from mlctl.rollout.routes import TOTAL
from mlctl.rollout.seen import Note, Route, Seen, Start, Stop
from mlctl.rollout.state import Phase, RolloutState, from_json, to_json
from mlctl.rollout.verdict import Says
from mlctl.types.jobs.rollout import Step, Stepwise
from tests.properties.rollout_world import World
from tests.properties.rollouts import STEPWISE, revision, wanted
from tests.unit.rollout.worlds import candidate, order, say, shares, texts, version, wait, world


def test_the_first_version_skips_all_steps_and_has_traffic_only_when_it_is_ready() -> None:
    made = World()
    made.happen(("apply", ("canary", "1")))
    assert (made.state.phase, made.gateway) == (Phase.STARTING, None)
    wait(made)
    assert (version(made, made.state.stable), shares(made)) == ("1", {"stable": TOTAL})
    assert made.state.in_effect


def test_a_failed_gate_takes_all_requests_back_at_once_and_holds_the_version() -> None:
    made = world()
    candidate(made)
    say(made, Says.PASS)
    wait(made, 2)
    say(made, Says.FAIL)
    assert shares(made) == {"stable": TOTAL}
    assert (made.state.phase, made.state.reason) == (Phase.HELD, "as the history says")
    held = made.state.held_as("d2")
    assert held is not None
    assert (held.version, held.by, held.verdict is not None) == ("2", "gate", True)
    wait(made, 20)
    assert len(made.processes) == 1
    made.happen(("apply", ("canary", "2")))
    wait(made)
    assert (made.state.phase, made.state.candidate) == (Phase.HELD, None)


@pytest.mark.parametrize(("says", "requests"), [(Says.INCONCLUSIVE, 10**6), (Says.PASS, 0), (Says.PASS, 99)])
def test_a_gate_is_never_passed_by_time_or_without_requests(says: Says, requests: int) -> None:
    made = world()
    candidate(made)
    for _ in range(50):
        say(made, says, requests)
        made.happen(("jump", 86_400.0))
    assert (made.state.phase, made.state.step) == (Phase.STEPPING, 0)


def test_sleep_and_a_clock_set_anew_do_not_shorten_a_pause() -> None:
    made = world("short")
    candidate(made, "short")
    for seconds in (86_400.0, -86_400.0, 3600.0):
        made.happen(("jump", seconds))
    assert made.state.step == 0
    wait(made, 10)
    assert made.state.phase is Phase.DONE


def test_a_pause_begins_when_the_gateway_follows_and_rests_while_a_server_is_away() -> None:
    made = world("short")
    made.happen(("refuse", 40))
    made.happen(("apply", ("short", "2")))
    wait(made, 30)
    assert (made.state.step, made.state.step_seconds, made.state.in_effect) == (0, 0.0, False)
    wait(made, 12)
    before = made.state.step_seconds
    made.happen(("die", 0))  # the stable one
    assert made.state.step_seconds == before


def test_a_third_version_takes_the_place_of_the_second_and_the_stable_one_stays() -> None:
    made = world("blue_green")
    candidate(made, "blue_green")
    wait(made, 6)
    say(made, Says.PASS)
    wait(made, 2)
    assert shares(made) == {"candidate": TOTAL}  # switched, and not yet proven
    made.happen(("apply", ("blue_green", "3")))
    assert shares(made) == {"stable": TOTAL}
    wait(made)
    assert [version(made, number) for number in (made.state.stable, made.state.candidate)] == ["1", "3"]
    assert (made.state.step, made.state.held) == (0, ())


def test_the_stable_version_wanted_again_ends_the_rollout_and_holds_nothing() -> None:
    made = world()
    candidate(made)
    made.happen(("apply", ("canary", "1")))
    wait(made, 20)
    assert (made.state.phase, made.state.held, len(made.processes)) == (Phase.DONE, (), 1)


def test_blue_green_switches_and_goes_back_when_the_gate_after_it_fails() -> None:
    made = world("blue_green")
    candidate(made, "blue_green")
    assert made.gateway is not None
    assert "candidate" in made.gateway.backends  # who asks for it by its header gets a preview
    wait(made, 6)
    say(made, Says.PASS)
    wait(made, 2)
    assert shares(made) == {"candidate": TOTAL}
    assert version(made, made.state.stable) == "1"
    say(made, Says.FAIL)
    assert shares(made) == {"stable": TOTAL}


def test_a_shadow_answers_nobody_and_comes_to_its_end_without_a_change() -> None:
    made = world("shadow")
    candidate(made, "shadow")
    assert made.gateway is not None
    assert made.gateway.mirror is not None
    assert (made.gateway.mirror.share, shares(made)) == (5000, {"stable": TOTAL})
    wait(made, 10)
    made.happen(("die", 0))  # the stable version is away: its shadow does not answer for it
    assert shares(made) == {"stable": TOTAL}
    wait(made)
    say(made, Says.PASS)
    wait(made, 20)
    assert (made.state.phase, version(made, made.state.stable), len(made.processes)) == (Phase.ENDED, "1", 1)
    assert made.want is not None
    made.want = wanted(50, STEPWISE["shadow"].model_copy(update={"keep_old_seconds": 5}), "2")
    wait(made, 2)
    assert made.state.phase is Phase.ENDED  # that changes nothing of what was found out
    order(made, "retry")
    assert version(made, made.state.candidate) == "2"
    made.happen(("apply", ("shadow_then", "2")))  # the same version in another way
    wait(made, 40)
    assert (made.state.phase, version(made, made.state.stable)) == (Phase.DONE, "2")


def test_a_version_that_never_comes_up_is_held_and_nothing_changes_for_anybody() -> None:
    made = world()
    made.happen(("apply", ("canary", "4")))
    wait(made, 40)
    held = made.state.held_as("d4")
    assert held is not None
    assert (held.by, "ended 3 times before it was ready" in held.why) == ("start", True)
    assert (shares(made), len(made.processes)) == ({"stable": TOTAL}, 1)


def test_a_version_that_hangs_at_its_start_is_held() -> None:
    made = world()
    made.happen(("apply", ("canary", "2")))
    made.processes[2].ready_in = 10**6
    wait(made, 200)
    held = made.state.held_as("d2")
    assert held is not None
    assert held.why == "it was not ready within 180 s"
    wait(made, 10)
    assert len(made.processes) == 1


def test_a_stable_version_that_hangs_after_a_death_is_ended_and_started_again() -> None:
    made = world("short")
    made.happen(("die", 0))
    made.turn()
    made.processes[1].ready_in = 10**6
    wait(made, 200)
    made.processes[1].ready_in = 3
    wait(made)
    assert (made.state.phase, shares(made)) == (Phase.DONE, {"stable": TOTAL})


def test_a_candidate_that_dies_gives_its_share_back_and_goes_on_when_it_is_there_again() -> None:
    made = world("short")
    candidate(made, "short")
    made.happen(("die", 1))
    assert shares(made) == {"stable": TOTAL}
    wait(made, 6)
    assert shares(made) == {"stable": 8000, "candidate": 2000}
    for _ in range(5):
        made.happen(("die", 1))
        wait(made, 5)
    assert made.state.held_as("d2") is not None


def test_an_edited_strategy_goes_on_where_the_past_is_the_same_and_else_begins_again() -> None:
    made = world()
    candidate(made)
    say(made, Says.PASS)
    wait(made, 2)
    assert made.state.step == 1
    made.happen(("apply", ("edited", "2")))  # other steps to come
    assert made.state.step == 1
    made.happen(("apply", ("short", "2")))
    assert (made.state.step, version(made, made.state.candidate)) == (0, "2")
    assert "the strategy is another one" in texts(made)


def test_releases_are_stopped_only_after_the_gateway_follows_other_routes() -> None:
    made = world("short")
    candidate(made, "short")
    made.refuses = 20
    made.happen(("apply", ("short", "1")))
    wait(made, 15)
    assert len(made.processes) == 2
    wait(made, 20)
    assert len(made.processes) == 1


def test_a_lost_state_stops_no_release_before_the_gateway_follows_the_new_one() -> None:
    made = world()
    old = made.gateway
    made.happen(("forget", None))
    made.turn()
    assert (made.gateway, len(made.processes)) == (old, 2)
    wait(made, 12)
    assert (shares(made), len(made.processes)) == ({"stable": TOTAL}, 1)
    assert made.gateway != old


def test_a_question_is_asked_only_while_the_step_is_in_effect_and_says_whom_to_compare() -> None:
    made = world()
    candidate(made)
    assert made.want is not None
    question = asks(made.state, made.want, made.told)
    assert question is not None
    assert (question.gate, question.baseline, question.copies, question.mirrored) == ("guard", "stable", True, True)
    assert asks(made.state, made.want, None) is None
    say(made, Says.PASS)
    wait(made, 2)
    question = asks(made.state, made.want, made.told)
    assert question is not None
    assert (question.copies, question.mirrored) == (False, False)
    made.processes.pop(made.state.candidate or 0)
    made.turn()
    assert asks(made.state, made.want, made.told) is None


def test_at_a_hundred_percent_there_is_no_baseline() -> None:
    made = world("blue_green")
    candidate(made, "blue_green")
    wait(made, 6)
    say(made, Says.PASS)
    wait(made, 2)
    assert made.want is not None
    question = asks(made.state, made.want, made.told)
    assert question is not None
    assert (question.gate, question.baseline) == ("other", None)


def test_a_state_survives_as_json_and_time_alone_is_no_change() -> None:
    made = world()
    candidate(made)
    stored = json.loads(json.dumps(to_json(made.state)))
    assert from_json(stored) == made.state
    assert made.state.same_but_for_time(replace(made.state, clock=99.0, at=1.0, step_seconds=3.0))
    assert not made.state.same_but_for_time(replace(made.state, step=4))
    with pytest.raises(ValueError, match="releases"):
        from_json({**stored, "releases": 3})


def test_the_first_turn_starts_one_release_and_nothing_else() -> None:
    about = wanted(1, STEPWISE["canary"], "1")
    state, actions = advance(RolloutState(), about, 100.0, Seen())
    assert [item for item in actions if not isinstance(item, Note)] == [Start(1, revision("1"))]
    assert not [item for item in actions if isinstance(item, Stop | Route)]
    assert state.serial == 1


def test_a_release_number_is_never_used_twice() -> None:
    made = world()
    made.happen(("apply", ("canary", "4")))
    wait(made, 40)
    order(made, "retry")
    assert made.state.candidate == 3


def test_a_canary_without_mirrored_steps_inherits_weights() -> None:
    made = World()
    strategy = Stepwise(type="canary", steps=[Step(weight=7), Step(pause_seconds=50)], keep_old_seconds=10)
    made.want = wanted(1, strategy, "1")
    wait(made)
    made.want = wanted(2, strategy, "2")
    wait(made)
    assert (made.state.step, shares(made)) == (1, {"stable": 9300, "candidate": 700})
