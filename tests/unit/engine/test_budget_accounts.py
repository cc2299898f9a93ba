"""One budget for one apply: over a hand-over, a kill, and the next apply that goes on with what was begun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.engine import budget
from mlctl.engine.budget_lines import Line
from mlctl.engine.patience import patiently
from mlctl.provider import Spec
from mlctl.types.address import Address
from mlctl.types.change import Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.estimate import Limit, Range
from tests.properties.worlds import Blocks, World
from tests.unit.engine.test_engine_budget import HOUR, Budgeted, build, codes

PAIR: Blocks = {"builds.a": {"value": 10}, "builds.b": {"value": 11, "uses_builds": ["a"]}}


def test_an_apply_that_goes_on_with_another_goes_on_with_its_budget(tmp_path: Path) -> None:
    world = Budgeted(tmp_path, limits={"max_usd": 50}, took=35.0, let_go=True)
    first = world.run("one", PAIR)
    assert [str(item.change.address) for item in first.detached] == [
        "builds.b"
    ]  # as after a kill: begun, and not ended
    world.asked(PAIR)  # $46, which is let through
    world.taken = 3600.0  # an hour of $8, beside the $11 that are to come and the $35 that the first step took
    with pytest.raises(MlctlError) as caught:
        world.asked(PAIR)
    assert "all of this plan is likely to cost $54.00" in caught.value.diagnostics[0].summary
    world.let_go = False
    refused = world.run("two", PAIR)
    assert refused.exit_code is ExitCode.POLICY
    world.limits = {"max_usd": 60}
    assert world.run("three", PAIR).exit_code is ExitCode.OK
    made = world.ledger().made(Address.parse("builds.b"))
    assert made is not None
    assert made.provenance[budget.ACCOUNT] == ["one", "three"]
    world.limits = {"max_usd": 50}  # all is made: whatever comes next begins anew
    world.asked({**PAIR, "builds.c": {"value": 30}})


def test_what_is_handed_over_between_two_steps_stays_one_apply(tmp_path: Path) -> None:
    only = Selection(targets=(Address.parse("builds.a"),))
    for name, code in (("one", ExitCode.POLICY), ("two", ExitCode.OK)):
        world = Budgeted(tmp_path / name, limits={"max_usd": 45}, took=35.0)
        assert world.run("one", PAIR, only).exit_code is ExitCode.OK
        assert world.run(name, PAIR).exit_code is code  # of the same run the $35 count, of another one they do not


def test_a_step_is_told_the_dollars_that_others_have_left(tmp_path: Path) -> None:
    world = Budgeted(tmp_path, limits={"max_usd": 60, "max_hours": 3}, took=35.0)
    assert world.run("one", PAIR).exit_code is ExitCode.OK
    assert world.told == [{"max_usd": 60, "max_hours": 3}, {"max_usd": 25, "max_hours": 3}]


def test_what_earlier_lives_took_counts_for_one_run_and_its_hours_too() -> None:
    again = replace(build(Range.exactly(10), hours=Range.exactly(2)), taken=3 * HOUR)
    line = Line.of("training.a", again)
    assert codes({"max_usd_per_run": 33}, line) == [("max_usd_per_run", "budget.exceeded", True)]  # 10 and 3 hours of 8
    assert codes({"max_usd_per_run": 34, "max_hours": 5}, line) == []
    assert codes({"max_hours": 4.9}, line) == [("max_hours", "budget.exceeded", True)]


def test_nothing_begins_that_has_had_all_its_time(tmp_path: Path) -> None:
    ctx = World(tmp_path).context()
    for carried in (True, False):
        with pytest.raises(MlctlError) as caught:
            patiently(lambda ctx: pytest.fail("it began"), Spec(), ctx, Limit(0.0, "max_usd", carried=carried))
        assert caught.value.exit_code is ExitCode.POLICY
        assert caught.value.diagnostics[0].code == "budget.reached"
