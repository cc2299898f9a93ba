"""Several versions beside each other: A/B tests and bandits."""

from __future__ import annotations

from mlctl.rollout.routes import TOTAL
from mlctl.rollout.state import Phase
from mlctl.rollout.verdict import Says
from tests.properties.rollouts import ARMS, STEPWISE, bandit, split, wanted
from tests.unit.rollout.worlds import candidate, order, say, shares, texts, version, wait, world


def test_a_canary_goes_through_its_steps_and_the_old_version_stays_warm_for_a_while() -> None:
    made = world()
    candidate(made)
    assert made.gateway is not None
    assert made.gateway.mirror is not None
    assert shares(made) == {"stable": TOTAL}
    say(made, Says.PASS)
    wait(made, 2)
    assert shares(made) == {"stable": 9000, "candidate": 1000}
    say(made, Says.PASS)
    wait(made, 18)
    assert made.state.step == 2
    wait(made, 6)
    assert (made.state.step, shares(made)["candidate"]) == (3, 5000)
    wait(made, 6)
    say(made, Says.PASS)
    wait(made, 400)
    assert (made.state.step, shares(made)["candidate"]) == (4, 7500)  # it waits for somebody, however long that takes
    order(made, "promote")
    wait(made, 2)
    assert (version(made, made.state.stable), version(made, made.state.previous)) == ("2", "1")
    assert len(made.processes) == 2
    wait(made, 70)
    assert (made.state.previous, len(made.processes)) == (None, 1)


def test_undo_is_instant_while_the_old_version_is_warm_and_can_be_undone() -> None:
    made = world("all_at_once")
    made.happen(("apply", ("all_at_once", "2")))
    wait(made)
    order(made, "undo")
    assert (version(made, made.state.stable), made.state.phase) == ("1", Phase.HELD)
    assert made.gateway is not None
    assert made.gateway.backends["stable"].version == "1"
    made.happen(("apply", ("all_at_once", "2")))
    wait(made)
    assert version(made, made.state.stable) == "1"
    order(made, "undo")
    assert (version(made, made.state.stable), made.state.phase, made.state.held) == ("2", Phase.DONE, ())


def test_a_stable_version_that_dies_is_started_again_and_the_warm_one_answers_meanwhile() -> None:
    made = world("all_at_once")
    made.happen(("apply", ("all_at_once", "2")))
    wait(made)
    made.happen(("die", 1))
    assert shares(made) == {"previous": TOTAL}
    wait(made)
    assert shares(made) == {"stable": TOTAL}


def test_arms_get_their_shares_together_and_a_new_version_of_one_moves_nobody() -> None:
    made = world()
    made.happen(("apply", ("ab", "1")))
    made.turn()
    assert shares(made) == {"stable": TOTAL}
    wait(made)
    assert shares(made) == {"control": 5000, "treatment": 5000}
    assert len(made.processes) == 2  # the stable version goes on as the control
    assert made.want is not None
    made.want = wanted(99, split(("control", "1", 1), ("treatment", "3", 1)), "1")
    seen = set()
    for _ in range(12):
        made.turn()
        seen.add(tuple(shares(made).items()))
    assert seen == {(("control", 5000), ("treatment", 5000))}
    assert made.gateway is not None
    assert made.gateway.backends["treatment"].version == "3"


def test_an_arm_that_is_away_is_answered_by_its_neighbour_and_the_units_of_others_stay() -> None:
    made = world()
    made.happen(("apply", ("ab_third", "1")))
    wait(made)
    place = sorted(made.processes).index(made.state.variants()["treatment"])
    made.happen(("die", place))
    assert made.gateway is not None
    assert list(made.gateway.shares.items()) == [("control", 6667), ("treatment", 0), ("other", 3333)]


def test_arms_that_are_removed_leave_the_control_as_the_stable_version() -> None:
    made = world()
    made.happen(("apply", ("ab", "1")))
    wait(made)
    running = set(made.processes)
    made.happen(("apply", ("short", "2")))
    made.turn()
    assert shares(made) == {"stable": 8000, "candidate": 2000}
    assert set(made.processes) == running  # nobody had to start


def test_an_arm_that_never_comes_up_lets_the_test_not_begin() -> None:
    made = world()
    made.happen(("apply", ("ab_broken", "1")))
    wait(made, 40)
    assert (made.state.phase, shares(made)) == (Phase.HELD, {"stable": TOTAL})
    assert made.state.reason.startswith("arm treatment: it ended 3 times before it was ready")


def test_a_bandit_follows_the_shares_that_are_given_and_keeps_them() -> None:
    made = world()
    made.want = wanted(5, bandit(("one", "1"), ("two", "2")), "1")
    wait(made)
    assert shares(made) == {"one": 5000, "two": 5000}
    made.shares = {"one": 0.123456, "two": 0.876544}
    wait(made, 2)
    assert shares(made) == {"one": 1235, "two": 8765}
    made.told = None  # another controller, whose bandit has not decided on anything yet
    wait(made, 3)
    assert shares(made) == {"one": 1235, "two": 8765}
    made.shares = {"one": 1.0}  # of other arms
    wait(made, 2)
    assert shares(made) == {"one": 1235, "two": 8765}
    order(made, "pause")
    made.shares = {"one": 0.5, "two": 0.5}
    wait(made, 2)
    assert shares(made) == {"one": 1235, "two": 8765}


def test_weights_of_a_bandit_that_are_edited_hold_until_it_decides_again() -> None:
    made = world()
    about = bandit(("one", "1"), ("two", "2"))
    made.want = wanted(5, about, "1")
    wait(made)
    arms = {
        name: rule.model_copy(update={"weight": 3.0 if name == "one" else 1.0}) for name, rule in about.arms.items()
    }
    made.want = wanted(6, about.model_copy(update={"arms": arms}), "1")
    wait(made, 3)
    assert shares(made) == {"one": 7500, "two": 2500}


def test_orders_about_steps_are_refused_where_there_are_arms() -> None:
    made = world()
    made.happen(("apply", ("ab", "1")))
    wait(made)
    for name in ("promote", "abort", "pause", "undo"):
        order(made, name)
    assert texts(made).count("refused: ") == 4


def test_arms_of_one_version_share_its_release() -> None:
    made = world()
    made.want = wanted(7, split(("control", "1", 1), ("same", "1", 1)), "1")
    wait(made)
    assert (shares(made), len(made.processes)) == ({"control": 5000, "same": 5000}, 1)


def test_every_strategy_of_the_histories_is_there() -> None:
    assert {strategy.type for strategy in STEPWISE.values()} == {"canary", "blue_green", "shadow", "all_at_once"}
    assert {strategy.type for strategy in ARMS.values()} == {"ab", "bandit"}
