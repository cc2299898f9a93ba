"""From sums to a verdict: which analyses are looks, what they remember, and what stands beside the verdict."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from mlctl.stats.arm_metrics import Moments
from mlctl.stats.experiment_analysis import Design, Judged, analyse, total
from mlctl.stats.experiment_verdict import Look, Rules

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
Sequential = Literal["obrien_fleming", "pocock", "always_valid", "fixed"]


def design(*, sequential: Sequential = "obrien_fleming", planned: int = 4000, **more: Any) -> Design:
    rules = Rules(
        {"control": 0.5, "treatment": 0.5},
        "control",
        {"treatment": planned},
        ("bought",),
        ("spent",),
        sequential=sequential,
    )
    metrics = (Judged("bought", "proportion", "higher"), Judged("spent", "mean", "higher", True, absolute=1.0))
    values: dict[str, Any] = {"min_seconds": 7 * 86_400.0, "looks": 4, **more}
    return Design("d", rules, metrics, **values)


def moments(
    days: int, *, effect: float = 0.0, a_day: int = 200, lost: float = 0.0, seed: int = 3, by: str = "de"
) -> dict[str, Any]:
    """So many days of units, half of them treated; `lost` of the treated do not come."""
    chance = random.Random(seed)
    metrics: dict[str, Any] = {
        name: {"days": {"control": {}, "treatment": {}}, "subgroups": {"country": {}}} for name in ("bought", "spent")
    }
    units: dict[str, dict[str, int]] = {}
    for number in range(days):
        day = (START + DAY * number).date().isoformat()
        units[day] = {}
        for arm in ("control", "treatment"):
            count = round(a_day / 2 * (1 - (lost if arm == "treatment" else 0)))
            yes = sum(chance.random() < 0.2 + (effect if arm == "treatment" else 0) for _ in range(count))
            units[day][arm] = count
            metrics["bought"]["days"][arm][day] = Moments(count, yes, yes).to_json()
            metrics["spent"]["days"][arm][day] = Moments.of([chance.gauss(10, 3) for _ in range(count)]).to_json()
    for metric in metrics.values():
        known = {arm: total(metric, arm) for arm in ("control", "treatment")}
        metric["subgroups"]["country"][by] = {arm: sums.to_json() for arm, sums in known.items()}
    segments = {"country": {by: {arm: sum(day[arm] for day in units.values()) for arm in ("control", "treatment")}}}
    until = (START + DAY * days).isoformat()
    return {"first": START.isoformat(), "until": until, "days": units, "segments": segments, "metrics": metrics}


def looks(outputs: dict[str, Any]) -> list[Look]:
    return [Look.from_json(one) for one in outputs["looks"]]


def test_an_effect_is_shipped_once_it_is_shown_and_stays_shipped() -> None:
    made: list[Look] = []
    verdicts = []
    for day in (5, 10, 15, 20):
        found = analyse(design(), moments(day, effect=0.09), made)
        made = looks(found)
        verdicts.append((found["verdict"], found["looked"], len(made)))
    assert verdicts[0] == ("continue", True, 1)
    assert verdicts[-1][0] == "ship"
    assert [count for _, _, count in verdicts] == [1, 2, 3, 4]


def test_what_is_shown_before_the_least_duration_does_not_ship_yet() -> None:
    early = analyse(design(), moments(5, effect=0.5), [])
    assert (early["verdict"], early["rule"], early["looked"]) == ("continue", "the least duration is not over", True)
    assert analyse(design(), moments(10, effect=0.5), looks(early))["verdict"] == "ship"


def test_the_last_look_waits_for_the_least_duration_however_many_units_there_are() -> None:
    early = analyse(design(planned=1000), moments(6, effect=0.3), [])
    assert (early["verdict"], early["looked"]) == ("continue", False)
    assert analyse(design(planned=1000), moments(7, effect=0.3), [])["verdict"] == "ship"


def test_without_an_effect_the_end_of_the_plan_stops_it() -> None:
    made: list[Look] = []
    for day in (5, 10, 15, 20):
        found = analyse(design(), moments(day, seed=11), made)
        made = looks(found)
    assert found["verdict"] == "stop"


def test_the_same_data_again_is_no_look_and_says_the_same() -> None:
    first = analyse(design(), moments(10, effect=0.02), [])
    again = analyse(design(), moments(10, effect=0.02), looks(first))
    assert (first["looked"], again["looked"]) == (True, False)
    assert again["looks"] == first["looks"]
    assert [again[name] for name in ("verdict", "rule", "reasons")] == [
        first[name] for name in ("verdict", "rule", "reasons")
    ]


def test_between_two_planned_shares_nothing_is_looked_at() -> None:
    first = analyse(design(), moments(10), [])
    between = analyse(design(), moments(12), looks(first))
    assert (between["looked"], between["next_look"]) == (False, "at 75% of the planned units")
    assert between["metrics"][0]["units"] == 2400


def test_looks_by_time_are_made_when_the_time_has_come() -> None:
    timed = design(looks=None, every_seconds=3 * 86_400.0)
    made = [look for day in (2, 3, 4, 6) for look in [analyse(timed, moments(day), [])["looked"]]]
    assert made == [False, True, True, True]
    first = analyse(timed, moments(3), [])
    assert not analyse(timed, moments(5), looks(first))["looked"]
    assert analyse(timed, moments(6), looks(first))["looked"]


def test_an_end_is_a_look_whatever_the_share() -> None:
    found = analyse(design(), moments(12), looks(analyse(design(), moments(10), [])), final=True)
    assert (found["looked"], found["verdict"], found["looks"][-1]["last"]) == (True, "stop", True)


def test_the_longest_time_is_an_end() -> None:
    found = analyse(design(max_seconds=8 * 86_400.0, planned=100_000), moments(9), [])
    assert (found["looked"], found["verdict"]) == (True, "stop")


@pytest.mark.parametrize("sequential", ["always_valid", "fixed"])
def test_designs_without_planned_looks_may_be_looked_at_at_any_time(sequential: Sequential) -> None:
    found = analyse(design(sequential=sequential), moments(1), [])
    assert found["looked"]
    later = analyse(design(sequential=sequential), moments(2), looks(found))
    assert len(later["looks"]) == 2


def test_units_that_did_not_come_as_asked_for_make_it_invalid_with_the_day_and_the_segment() -> None:
    found = analyse(design(), moments(10, effect=0.2, lost=0.3, by="old app"), [])
    assert (found["verdict"], found["arm"]) == ("invalid", None)
    ratio = found["ratio"]
    assert not ratio["passed"]
    assert START.date().isoformat() <= ratio["first_bad_day"] <= (START + DAY * 9).date().isoformat()
    assert ratio["blame"][0]["segment"] == "country = old app"
    assert ratio["blame"][0]["units"] == {"control": 1000, "treatment": 700}


def test_shares_are_looked_at_every_day_even_when_metrics_are_not() -> None:
    found = analyse(design(), moments(3, lost=0.5), [])
    assert (found["looked"], found["verdict"]) == (False, "invalid")


def test_an_arm_without_units_is_told_and_nothing_is_decided() -> None:
    data = moments(10)
    for day in data["days"].values():
        day.pop("treatment")
    for metric in data["metrics"].values():
        metric["days"]["treatment"] = {}
    found = analyse(design(), data, [])
    assert found["verdict"] == "invalid"  # a thousand units of control and none of the other is no fair draw
    assert found["missing"] == [{"metric": "bought", "arm": "treatment"}, {"metric": "spent", "arm": "treatment"}]
    assert found["metrics"] == []


def test_nothing_at_all_goes_on() -> None:
    empty: dict[str, dict[str, dict[str, object]]] = {
        "bought": {"days": {}, "subgroups": {}},
        "spent": {"days": {}, "subgroups": {}},
    }
    found = analyse(
        design(), {"first": None, "until": START.isoformat(), "days": {}, "segments": {}, "metrics": empty}, []
    )
    assert (found["verdict"], found["looked"], found["units"]) == ("continue", False, {"control": 0, "treatment": 0})


def test_a_percentile_is_compared_by_its_errors() -> None:
    rules = Rules({"control": 0.5, "treatment": 0.5}, "control", {"treatment": 4000}, ("bought",), ("p95_seconds",))
    metrics = (Judged("bought", "proportion", "higher"), Judged("p95_seconds", "ratio", "lower", True, ratio=1.1))
    data = moments(20, effect=0.09)
    slow = {
        arm: {"value": value, "error": 0.002, "units": 2000} for arm, value in (("control", 0.1), ("treatment", 0.13))
    }
    data["metrics"]["p95_seconds"] = {"estimates": slow}
    found = analyse(Design("d", rules, metrics, 0.0), data, [])
    assert (found["verdict"], found["rule"]) == ("stop", "a guardrail is broken")
    assert found["metrics"][1]["difference"] == pytest.approx(0.03)


def test_an_effect_that_wears_off_is_told() -> None:
    data = moments(14, effect=0.0)
    for number, (day, sums) in enumerate(sorted(data["metrics"]["bought"]["days"]["treatment"].items())):
        yes = sums["n"] * (0.6 if number < 7 else 0.2)
        data["metrics"]["bought"]["days"]["treatment"][day] = Moments(sums["n"], yes, yes).to_json()
    (found,) = analyse(design(), data, [])["novelty"]
    assert found["fades"]
    assert [week["week"] for week in found["weeks"]] == [1, 2]
    assert found["weeks"][0]["difference"] > 0.3 > 0.1 > found["weeks"][1]["difference"]


def test_subgroups_are_adjusted_for_how_many_there_are() -> None:
    data = moments(10)
    parts = {
        f"c{n}": {"control": Moments(500, 100, 100).to_json(), "treatment": Moments(500, 100, 100).to_json()}
        for n in range(7)
    }
    parts["c7"] = {"control": Moments(500, 100, 100).to_json(), "treatment": Moments(500, 170, 170).to_json()}
    data["metrics"]["bought"]["subgroups"] = {"country": parts}
    (found,) = analyse(design(), data, [])["subgroups"]
    odd = next(one for one in found["values"] if one["value"] == "c7")
    assert found["p_value"] < 0.01
    assert odd["p_adjusted"] == pytest.approx(8 * odd["p_value"])


def test_a_design_and_an_analysis_survive_being_stored() -> None:
    stored = json.loads(json.dumps(design().to_json()))
    assert Design.from_json(stored) == design()
    first = analyse(design(), moments(10, effect=0.05), [])
    again = analyse(Design.from_json(stored), json.loads(json.dumps(moments(10, effect=0.05))), [])
    assert json.dumps(first) == json.dumps(again)


def test_the_order_in_which_arms_were_stored_changes_no_bit() -> None:
    shares = {"control": 0.2, "b": 0.3, "a": 0.5}
    rules = Rules(shares, "control", {"a": 2000, "b": 2000}, ("bought",), ())
    stored = Design("d", rules, (Judged("bought", "proportion", "higher"),), 0.0, looks=4).to_json()
    data = moments(10)
    data["days"] = {day: {"control": 41, "a": 99, "b": 57} for day in data["days"]}
    for sums in data["metrics"]["bought"]["days"].copy().values():
        data["metrics"]["bought"]["days"] |= {"a": sums, "b": sums}
    other = {**stored, "rules": {**stored["rules"], "shares": dict(sorted(shares.items()))}}
    found = [json.dumps(analyse(Design.from_json(one), data, []), sort_keys=True) for one in (stored, other)]
    assert found[0] == found[1]


@pytest.mark.parametrize("sequential", ["obrien_fleming", "pocock", "fixed"])
def test_after_the_end_of_the_time_there_is_no_more_look_however_many_units_come(sequential: Sequential) -> None:
    """Each one would spend all of alpha once more: so looked at, experiments without an effect were found better three times as often as asked for."""
    short = design(sequential=sequential, max_seconds=8 * 86_400.0, min_seconds=0.0, looks=10, planned=8000)
    end = analyse(short, moments(8, seed=2), [])
    assert (end["verdict"], end["looked"], end["looks"][-1]["last"]) == ("stop", True, True)
    later = analyse(short, moments(30, effect=0.2, seed=2), looks(end))
    assert (later["verdict"], later["looked"], later["looks"]) == ("stop", False, end["looks"])
    assert later["next_look"] == "never: the end was looked at, and no alpha is left"


def test_after_a_final_look_the_verdict_stays_without_the_option() -> None:
    end = analyse(design(), moments(11, effect=0.02), [], final=True)
    later = analyse(design(), moments(20, effect=0.2), looks(end))
    assert (end["verdict"], later["verdict"], later["looked"]) == ("stop", "stop", False)


def test_the_end_of_the_primary_metric_is_the_end_for_those_with_fewer_units() -> None:
    """A guardrail with a longer window, or a percentile of answers that some never got, never has all of the planned units."""
    data = moments(20, effect=0.1)
    for days in data["metrics"]["spent"]["days"].values():
        for day in sorted(days)[15:]:
            del days[day]
    found = analyse(design(), data, [])
    assert (found["verdict"], found["looks"][-1]["last"]) == ("ship", True)
    slow = {
        arm: {"value": value, "error": 0.01, "units": 1999} for arm, value in (("control", 0.1), ("treatment", 0.1))
    }
    rules = Rules({"control": 0.5, "treatment": 0.5}, "control", {"treatment": 4000}, ("bought",), ("p95_seconds",))
    metrics = (Judged("bought", "proportion", "higher"), Judged("p95_seconds", "ratio", "lower", True, ratio=1.1))
    data["metrics"]["p95_seconds"] = {"estimates": slow}
    stopped = analyse(Design("d", rules, metrics, 0.0, looks=4), data, [])
    assert stopped["verdict"] == "stop"
    assert stopped["rule"].startswith("the planned end has come")
