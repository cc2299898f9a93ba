"""The rule of an experiment: what ships, what stops, what goes on, and what is no experiment at all."""

import json
import math
import random
from dataclasses import replace

import pytest

from mlctl.stats.experiment_verdict import Look, Reading, Rules, Verdict, decide

RULES = Rules({"control": 0.5, "new": 0.5}, "control", {"new": 1000}, ("bought",), ("errors",))


def look(at: int, bought: float, errors: float, *, units: int | None = None, **more: bool) -> Look:
    """The n-th of five looks, with the z of both metrics."""
    number = units or 200 * at
    readings = (Reading("new", "bought", False, number, bought), Reading("new", "errors", True, number, errors))
    return Look(str(at), readings, {"control": number // 2, "new": number // 2}, **more)


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ([(1, 4.9, 4.9)], "ship"),
        ([(1, 4.8, 4.9)], "continue"),
        ([(1, 1.0, 1.0), (2, 3.4, 1.0)], "continue"),  # better, and the guardrail is still open
        ([(1, 1.0, 1.0), (2, 3.4, 1.0), (3, 1.0, 2.7)], "ship"),  # what was shown stays shown
        ([(1, 1.0, 1.0), (2, 3.4, 1.0), (3, -0.1, 2.7)], "continue"),  # unless it has turned
        ([(1, 0.0, -4.9)], "stop"),  # a guardrail is broken
        ([(1, -4.9, 2.0)], "stop"),  # worse
        ([(1, -4.8, 2.0)], "continue"),
        (
            [(1, 1.0, 1.0), (2, 1.0, 1.0), (3, 1.0, 1.0), (4, 1.0, 1.0), (5, 2.03, 2.04)],
            "stop",
        ),  # 2.0310 is the last bound
        ([(1, 1.0, 1.0), (2, 1.0, 1.0), (3, 1.0, 1.0), (4, 1.0, 1.0), (5, 2.032, 2.04)], "ship"),
        (
            [(1, 1.0, 1.0), (2, 1.0, 1.0), (3, 1.0, 1.0), (4, 1.0, 1.0), (5, 2.5, 2.0)],
            "stop",
        ),  # the guardrail never was kept
    ],
)
def test_five_looks_by_obrien_and_fleming(path: list[tuple[int, float, float]], verdict: Verdict) -> None:
    ruling = decide(RULES, [look(*step) for step in path])
    assert ruling.verdict == verdict
    assert ruling.arm == ("new" if verdict == "ship" else None)
    assert ruling.rule
    assert ruling.reasons


def test_the_rule_and_the_metric_are_told() -> None:
    ship = decide(RULES, [look(1, 5.0, 5.0)])
    assert ship.rule == "a success metric is better and every guardrail is kept"
    assert ship.reasons == ("bought is better than in control", "errors is within its margin")
    assert decide(RULES, [look(1, 5.0, -5.0)]).reasons == ("errors is worse by more than its margin",)
    waiting = decide(RULES, [look(1, 5.0, 1.0)])
    assert waiting.reasons == ("errors is not yet shown to be within its margin",)


def test_a_success_does_not_count_before_the_least_duration_and_harm_does() -> None:
    assert decide(RULES, [look(1, 5.0, 5.0, early=True)]).verdict == "continue"
    assert decide(RULES, [look(1, 5.0, 5.0, early=True), look(2, 1.0, 1.0)]).verdict == "ship"
    assert decide(RULES, [look(1, -5.0, 5.0, early=True)]).verdict == "stop"


@pytest.mark.parametrize("sequential", ["obrien_fleming", "fixed"])
def test_all_units_before_the_least_duration_are_no_end(sequential: str) -> None:
    """More traffic than was thought: nothing is stopped for want of a success that may not count yet, and its alpha is not spent."""
    rules = replace(RULES, sequential=sequential)  # type: ignore[arg-type]
    soon = look(1, 2.0, 3.0, units=1200, early=True)
    assert decide(rules, [soon]).verdict == "continue"
    assert decide(rules, [soon, look(2, 2.5, 3.0, units=2000)]).verdict == "ship"
    assert decide(rules, [soon, look(2, 1.5, 3.0, units=2000)]).verdict == "stop"
    assert decide(rules, [look(1, -2.5, 3.0, units=1200, early=True)]).verdict == "stop"  # harm counts at once
    # nobody came since, and now the duration is over
    assert decide(rules, [replace(soon, at="0"), look(2, 2.0, 3.0, units=1200)]).verdict == "ship"


def test_looking_again_at_the_same_units_spends_nothing() -> None:
    once = [look(1, 1.0, 1.0), look(2, 1.0, 1.0), look(3, 2.9, 2.9)]
    often = [look(1, 1.0, 1.0), *[look(2, 1.0, 1.0)] * 6, look(3, 2.9, 2.9)]
    assert decide(RULES, often) == decide(RULES, once)


def test_the_end_of_the_time_spends_what_is_left() -> None:
    short = [look(1, 1.0, 1.0, units=400), look(2, 2.1, 2.1, units=800)]
    assert decide(RULES, short).verdict == "continue"
    assert decide(RULES, [short[0], replace(short[1], last=True)]).verdict == "ship"
    assert (
        decide(RULES, [*short, replace(short[1], last=True)]).verdict == "ship"
    )  # the same units, looked at when it ended
    assert decide(RULES, [look(1, 1.0, 1.0, last=True)]).verdict == "stop"


def test_more_units_than_planned_after_the_last_look_change_nothing() -> None:
    path = [look(1, 1.0, 1.0, units=500), look(2, 1.0, 1.0, units=1040)]
    assert decide(RULES, [*path, look(3, 9.0, 9.0, units=2000)]).verdict == "stop"


def test_units_that_came_to_the_arms_as_they_should_not_make_it_invalid() -> None:
    bad = replace(look(3, 9.0, 9.0), counts={"control": 3000, "new": 2600})
    ruling = decide(RULES, [bad])
    assert ruling.verdict == "invalid"
    assert "other shares" in ruling.rule
    assert decide(RULES, [bad, look(4, 9.0, 9.0)]).verdict == "invalid"  # the earlier look is not forgotten


def test_an_arm_without_units_decides_nothing() -> None:
    alone = replace(look(1, math.nan, math.nan), counts={"control": 3, "new": 0})
    assert decide(RULES, [alone]).verdict == "continue"
    assert decide(RULES, [replace(alone, last=True)]).verdict == "invalid"
    assert decide(RULES, [alone]).reasons == ("no unit came to new",)
    with pytest.raises(ValueError, match="no look"):
        decide(RULES, [])


def test_a_figure_that_is_not_there_shows_nothing() -> None:
    ruling = decide(RULES, [look(1, 5.0, math.nan)])
    assert ruling.verdict == "continue"
    assert [(one.metric, one.says, one.z) for one in ruling.findings] == [
        ("bought", "better", 5.0),
        ("errors", "open", None),
    ]


def test_holm_shares_alpha_and_passes_on_what_a_found_metric_leaves() -> None:
    rules = replace(RULES, metrics=("bought", "visits", "spent"), guardrails=(), sequential="fixed")

    def says(*values: float) -> list[str]:
        readings = tuple(Reading("new", name, False, 1000, z) for name, z in zip(rules.metrics, values, strict=True))
        ruling = decide(rules, [Look("end", readings, {"control": 500, "new": 500})])
        return [one.says for one in ruling.findings]

    # one-sided levels of Holm: 0.025/3 is 2.394, 0.025/2 is 2.241, 0.025 is 1.960
    assert says(2.39, 2.39, 2.39) == ["open", "open", "open"]
    assert says(2.40, 2.23, 1.97) == ["better", "open", "open"]
    assert says(2.40, 2.25, 1.97) == ["better", "better", "better"]
    assert says(1.97, 2.25, 2.40) == ["better", "better", "better"]
    assert says(-2.40, 2.25, 2.40) == ["worse", "better", "better"]


def test_the_best_of_several_treatments_is_shipped_and_a_broken_one_does_not_hold_it_back() -> None:
    rules = Rules({"control": 2, "a": 1, "b": 1}, "control", {"a": 750, "b": 750}, ("bought",), ("errors",))

    def at(a: tuple[float, float], b: tuple[float, float]) -> Look:
        readings = tuple(
            Reading(arm, metric, metric == "errors", 750, z)
            for arm, values in (("a", a), ("b", b))
            for metric, z in zip(("bought", "errors"), values, strict=True)
        )
        return Look("1", readings, {"control": 500, "a": 250, "b": 250})

    assert decide(rules, [at((3.0, 3.0), (4.0, 3.0))]).arm == "b"
    mixed = decide(rules, [at((3.0, 3.0), (4.0, -3.0))])
    assert (mixed.verdict, mixed.arm) == ("ship", "a")
    assert mixed.arms == {"a": "ship", "b": "stop"}
    assert decide(rules, [at((1.0, 1.0), (4.0, -3.0))]).verdict == "stop"


@pytest.mark.parametrize("tails", [1, 2])
def test_one_tail_has_all_of_alpha_on_its_side(tails: int) -> None:
    rules = replace(RULES, tails=tails, sequential="fixed")  # type: ignore[arg-type]
    assert decide(rules, [look(5, 1.7, 1.7)]).verdict == ("ship" if tails == 1 else "stop")


def test_a_fixed_design_says_nothing_before_its_end() -> None:
    rules = replace(RULES, sequential="fixed")
    assert decide(rules, [look(4, 9.0, 9.0)]).verdict == "continue"
    assert decide(rules, [look(4, 9.0, 9.0), look(5, 1.0, 9.0)]).verdict == "stop"


def test_an_always_valid_design_has_no_end_but_its_time() -> None:
    rules = replace(RULES, sequential="always_valid")
    assert decide(rules, [look(1, 1.0, 1.0, units=9000)]).verdict == "continue"
    assert decide(rules, [look(1, 1.0, 1.0, units=9000), look(2, 9.0, 9.0, units=9001)]).verdict == "ship"
    assert decide(rules, [look(1, 1.0, 1.0, units=9000, last=True)]).verdict == "stop"


def test_everything_is_kept_as_json_and_decided_again_to_the_bit() -> None:
    source = random.Random(4)
    looks = [look(number, source.gauss(number, 1), source.gauss(number, 1)) for number in range(1, 6)]
    kept = json.loads(json.dumps({"rules": RULES.to_json(), "looks": [one.to_json() for one in looks]}))
    again = decide(Rules.from_json(kept["rules"]), [Look.from_json(one) for one in kept["looks"]])
    assert json.dumps(again.to_json()) == json.dumps(decide(RULES, looks).to_json())


def test_without_an_effect_hardly_anything_is_claimed_and_with_one_it_is_found() -> None:
    """Five looks at normal walks; three standard errors around 5 % and 80 %."""
    source, runs = random.Random(8), 1500
    rules = replace(RULES, guardrails=())
    claims = found = 0
    for _ in range(runs):
        for drift in (0.0, 2.8016 * math.sqrt(1.0247)):
            total, looks = 0.0, []
            for number in range(1, 6):
                total += drift / 5 + source.gauss(0, 1) * math.sqrt(0.2)
                readings = (Reading("new", "bought", False, 200 * number, total / math.sqrt(number / 5)),)
                looks.append(Look(str(number), readings, {"control": 100 * number, "new": 100 * number}))
            says = decide(rules, looks).findings[0].says
            claims += drift == 0 and says != "open"
            found += drift > 0 and says == "better"
    assert claims / runs == pytest.approx(0.05, abs=0.017)
    assert found / runs == pytest.approx(0.8, abs=0.031)


@pytest.mark.parametrize("sequential", ["obrien_fleming", "pocock", "fixed"])
def test_a_look_after_the_last_one_shows_nothing_and_does_not_move_its_bound(sequential: str) -> None:
    rules = replace(RULES, sequential=sequential)  # type: ignore[arg-type]
    at_end = decide(rules, [look(2, 1.97, 1.97, last=True)])
    assert at_end.verdict == "ship"
    after = [look(2, 1.97, 1.97, last=True), look(3, 0.5, 0.5, last=True)]
    assert decide(rules, after).verdict == "ship"  # as it was shown when all of alpha was spent
    failed = [look(2, 1.9, 1.9, last=True), look(3, 9.0, 9.0, last=True)]
    assert decide(rules, failed).verdict == "stop"
