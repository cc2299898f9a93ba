"""Whatever little or odd data an experiment has, an analysis says something that can be kept, and says it again."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.stats.arm_metrics import Moments
from mlctl.stats.experiment_analysis import Design, Judged, analyse
from mlctl.stats.experiment_verdict import Look, Rules

ARMS = ("control", "a", "b")
DAYS = ("2026-01-05", "2026-01-06", "2026-01-20")
NUMBERS = st.one_of(st.just(0.0), st.just(1.0), st.floats(-1e6, 1e6), st.floats(0, 1e-9))


@st.composite
def sums(draw: st.DrawFn, kind: str) -> dict[str, float]:
    number = draw(st.integers(0, 4))
    values = [draw(st.sampled_from([0.0, 1.0]) if kind == "proportion" else NUMBERS) for _ in range(number)]
    below = [draw(st.floats(0, 10)) for _ in range(number)]
    before = [draw(NUMBERS) for _ in range(number)]
    return Moments.of(values, below, before).to_json()


@st.composite
def data(draw: st.DrawFn) -> dict[str, Any]:
    kinds = {"yes": "proportion", "much": "mean", "each": "ratio", "slow": "mean"}
    metrics: dict[str, Any] = {
        name: {
            "days": {arm: {day: draw(sums(kind)) for day in draw(st.sets(st.sampled_from(DAYS)))} for arm in ARMS},
            "subgroups": {
                "g": {value: {arm: draw(sums(kind)) for arm in draw(st.sets(st.sampled_from(ARMS)))} for value in "xy"}
            },
        }
        for name, kind in kinds.items()
    }
    estimate = st.fixed_dictionaries(
        {"value": st.one_of(st.floats(0, 10), st.just(5e-324)), "error": st.floats(0, 1), "units": st.integers(2, 9)}
    )
    metrics["p95_seconds"] = {"estimates": {arm: draw(estimate) for arm in draw(st.sets(st.sampled_from(ARMS)))}}
    days = {day: {arm: draw(st.integers(0, 500)) for arm in ARMS} for day in draw(st.sets(st.sampled_from(DAYS)))}
    first = f"{min(days)}T01:00:00+00:00" if days else None
    segments = {"g": {"x": {arm: draw(st.integers(0, 9)) for arm in ARMS}}}
    return {
        "first": first,
        "until": "2026-01-25T00:00:00+00:00",
        "days": days,
        "segments": segments,
        "metrics": metrics,
    }


@st.composite
def designs(draw: st.DrawFn) -> Design:
    sequential: Any = draw(st.sampled_from(["obrien_fleming", "pocock", "always_valid", "fixed"]))
    tails: Any = draw(st.sampled_from([1, 2]))
    rules = Rules(
        {"control": 0.5, "a": 0.3, "b": 0.2}, "control", {"a": draw(st.integers(2, 30)), "b": draw(st.integers(2, 30))},
        ("yes", "each"), ("much", "slow", "p95_seconds"), tails=tails, sequential=sequential,
    )  # fmt: skip
    metrics = (
        Judged("yes", "proportion", "higher", cuped=draw(st.booleans())),
        Judged("each", "ratio", "lower", cuped=draw(st.booleans())),
        Judged("much", "mean", "higher", True, absolute=0.5),
        Judged("slow", "mean", "lower", True, ratio=1.1),
        Judged("p95_seconds", "ratio", "lower", True, ratio=1.1),
    )
    return Design(
        "d",
        rules,
        metrics,
        86_400.0,
        max_seconds=draw(st.sampled_from([None, 86_400.0])),
        looks=draw(st.integers(1, 6)),
    )


@settings(max_examples=1500, deadline=None)
@given(designs(), data(), data())
def test_an_analysis_can_be_kept_and_comes_out_the_same(
    design: Design, first: dict[str, Any], second: dict[str, Any]
) -> None:
    looks: list[Look] = []
    for moments in (first, second):
        found = analyse(design, moments, looks)
        kept = json.dumps(found, allow_nan=False, sort_keys=True)
        stored: list[Any] = json.loads(json.dumps([design.to_json(), moments, [look.to_json() for look in looks]]))
        again = analyse(Design.from_json(stored[0]), stored[1], [Look.from_json(one) for one in stored[2]])
        assert json.dumps(again, sort_keys=True) == kept
        assert (found["arm"] is not None) == (found["verdict"] == "ship")
        looks = [Look.from_json(one) for one in found["looks"]]
