"""What people ask of a rollout, and what comes of it."""

from __future__ import annotations

from mlctl.rollout.routes import TOTAL
from mlctl.rollout.state import Phase
from mlctl.rollout.verdict import Says
from tests.unit.rollout.worlds import candidate, order, say, shares, texts, version, wait, world


def test_a_held_version_is_tried_again_only_by_order_or_when_another_is_wanted() -> None:
    made = world()
    candidate(made)
    say(made, Says.FAIL)
    order(made, "retry")
    assert version(made, made.state.candidate) == "2"
    wait(made)
    say(made, Says.FAIL)
    made.happen(("apply", ("canary", "3")))
    assert version(made, made.state.candidate) == "3"
    made.happen(("apply", ("canary", "2")))
    wait(made)
    assert (made.state.phase, version(made, made.state.stable)) == (Phase.HELD, "1")


def test_undo_starts_the_old_version_when_it_has_cooled_down() -> None:
    made = world("short")  # keeps nothing warm
    candidate(made, "short")
    wait(made, 30)
    assert (version(made, made.state.stable), len(made.processes)) == ("2", 1)
    order(made, "undo")
    assert shares(made) == {"stable": TOTAL}
    wait(made, 20)
    assert (version(made, made.state.stable), made.state.phase, len(made.processes)) == ("1", Phase.HELD, 1)


def test_undo_during_a_rollout_ends_it() -> None:
    made = world()
    candidate(made)
    order(made, "undo")
    held = made.state.held_as("d2")
    assert held is not None
    assert (held.by, version(made, made.state.stable)) == ("undo", "1")


def test_promote_leaves_one_step_and_full_all_of_them() -> None:
    made = world()
    candidate(made)
    order(made, "promote")
    assert made.state.step == 1
    order(made, "full")
    assert version(made, made.state.stable) == "2"


def test_full_said_before_it_is_ready_waits_for_that() -> None:
    made = world()
    made.happen(("apply", ("canary", "2")))
    order(made, "full")
    assert version(made, made.state.stable) == "1"
    wait(made)
    assert version(made, made.state.stable) == "2"


def test_pause_stays_and_gates_still_judge() -> None:
    made = world("short")
    candidate(made, "short")
    order(made, "pause")
    wait(made, 50)
    assert (made.state.step, "paused by ann" in made.state.reason) == (0, True)
    order(made, "resume")
    assert made.state.step == 1 or made.state.phase is Phase.DONE
    other = world()
    candidate(other)
    order(other, "pause")
    say(other, Says.FAIL)
    assert other.state.phase is Phase.HELD


def test_orders_that_have_no_effect_are_refused_and_not_kept() -> None:
    made = world()
    for name in ("promote", "full", "abort", "pause", "resume", "retry", "undo"):
        order(made, name)
    assert texts(made).count("refused: ") == 7
    assert (made.state.phase, made.state.taken, made.state.paused) == (Phase.DONE, (), None)


def test_an_order_is_taken_once_even_if_its_file_stays() -> None:
    made = world()
    candidate(made)
    made.kill = "after"  # between the state and the removal of the file
    made.happen(("order", "promote"))
    made.turn()
    assert made.state.step == 1


def test_pause_said_before_it_is_ready_keeps_a_version_without_steps_from_taking_over() -> None:
    made = world("all_at_once")
    made.happen(("apply", ("all_at_once", "2")))
    order(made, "pause")
    wait(made)
    assert (version(made, made.state.stable), made.state.reason) == ("1", "paused by ann")
    order(made, "resume")
    assert version(made, made.state.stable) == "2"


def test_a_step_is_left_by_order_whatever_it_waits_for() -> None:
    made = world()
    candidate(made)
    say(made, Says.INCONCLUSIVE)
    order(made, "promote")
    assert made.state.step == 1
