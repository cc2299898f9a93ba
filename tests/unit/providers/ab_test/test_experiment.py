"""Experiments: designs that decide nothing are refused, and what follows from a design."""

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Context
from mlctl.providers.ab_test.assignment import assign
from mlctl.providers.ab_test.experiment import Experiment
from mlctl.providers.ab_test.report import size_report, size_text
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.stats.assignment import bucket
from mlctl.testing.harness import make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from tests.unit.providers.ab_test.designs import MAIL, apply, changed, codes


def test_a_sound_design_passes(ctx: Context) -> None:
    assert codes(MAIL, ctx) == []
    assert codes(changed("primary.mde", {"absolute": -0.05}), ctx) == []


@pytest.mark.parametrize(
    ("path", "value", "code", "where"),
    [
        ("guardrails", [], "experiment.no-guardrail", ("guardrails",)),
        ("guardrails", ..., "experiment.no-guardrail", ("guardrails",)),
        ("guardrails", [{"metric": "errors"}], "experiment.guardrail-margin", ("guardrails", 0)),
        (
            "guardrails",
            [{"metric": "errors", "margin": 0.1, "max_ratio": 1.1}],
            "experiment.guardrail-margin",
            ("guardrails", 0),
        ),
        ("guardrails", [{"metric": "shops", "margin": 0.1}], "experiment.guardrail-twice", ("guardrails", 0, "metric")),
        (
            "guardrails",
            [{"metric": "a", "margin": 0.1}, {"metric": "a", "margin": 0.2}],
            "experiment.guardrail-twice",
            ("guardrails", 1, "metric"),
        ),
        ("arms", {"a": 1, "b": 1}, "experiment.no-control", ("arms",)),
        ("design.min_duration", "6d", "experiment.too-short", ("design", "min_duration")),
        ("design.max_weeks", 6, "experiment.too-long", ("design", "max_weeks")),
        ("primary.mde", {}, "experiment.mde", ("primary", "mde")),
        ("primary.mde", {"relative": 0.1, "absolute": 0.1}, "experiment.mde", ("primary", "mde")),
        ("primary.mde", {"absolute": 0.0}, "experiment.no-effect", ("primary", "mde")),
        ("primary.mde", {"relative": 0.9}, "experiment.mde-too-large", ("primary", "mde")),
        ("primary.baseline", 60, "experiment.baseline", ("primary", "baseline")),
        ("primary.std", 2.0, "experiment.std-unused", ("primary", "std")),
        ("primary.type", "mean", "experiment.no-std", ("primary",)),
        ("primary.type", "ratio", "experiment.denominator", ("primary",)),
        ("primary.denominator", {"column": "visits"}, "experiment.denominator-unused", ("primary", "denominator")),
        ("primary.aggregate", "mean", "experiment.row-level", ("primary", "aggregate")),
        ("primary.aggregate", "count", "experiment.row-level", ("primary", "aggregate")),
        ("primary.window", "7d", "experiment.no-outcomes", ("primary", "window")),
        ("primary.column", "bought", "experiment.no-outcomes", ("primary", "column")),
        (
            "success_metrics",
            [{"metric": "shops", "type": "mean"}],
            "experiment.metric-twice",
            ("success_metrics", 0, "metric"),
        ),
        ("guardrails", [{"metric": "g", "margin": 0.1, "std": 2.0}], "experiment.std-unused", ("guardrails", 0, "std")),
        (
            "guardrails",
            [{"metric": "g", "margin": 0.1, "baseline": 2.0}],
            "experiment.guardrail-type",
            ("guardrails", 0),
        ),
        (
            "guardrails",
            [{"metric": "g", "type": "mean", "margin": 0.1, "baseline": 2.0}],
            "experiment.no-std",
            ("guardrails", 0),
        ),
        (
            "guardrails",
            [{"metric": "error_rate", "type": "mean", "margin": 0.1}],
            "experiment.operation",
            ("guardrails", 0, "type"),
        ),
        (
            "guardrails",
            [{"metric": "p95_seconds", "better": "higher", "margin": 0.1}],
            "experiment.operation",
            ("guardrails", 0, "better"),
        ),
        ("outcomes", {"dataset": "o", "timestamp": "t"}, "experiment.guardrail-type", ("guardrails", 2)),
        ("cuped", {}, "experiment.cuped", ("cuped",)),
        ("cuped", {"before": "14d", "column": "x"}, "experiment.cuped", ("cuped",)),
        ("cuped", {"before": "14d"}, "experiment.no-outcomes", ("cuped", "before")),
        ("cuped", {"column": "x"}, "experiment.no-exposures", ("cuped", "column")),
        ("subgroups", ["country"], "experiment.no-outcomes", ("subgroups",)),
        ("subgroups", ["household_id"], "experiment.subgroup", ("subgroups", 0)),
        ("subgroups", ["a", "a"], "experiment.subgroup", ("subgroups", 1)),
        ("design.min_duration", "10d", "experiment.not-weeks", ("design", "min_duration")),
        ("design.looks", 1, "experiment.looks", ("design", "looks")),
        ("design.looks", 61, "experiment.looks", ("design", "looks")),
        ("design.every", "1h", "experiment.looks", ("design", "every")),
        ("design.every", "52w", "experiment.looks", ("design", "every")),
        ("design", {"every": "1d"}, "experiment.every-without-traffic", ("design", "every")),
        ("design", {"every": "1d", "looks": 4, "daily_units": 9}, "experiment.looks-twice", ("design", "every")),
        ("design", {"sequential": "fixed", "looks": 4}, "experiment.looks-unused", ("design", "looks")),
        ("design", {"sequential": "always_valid", "every": "1d"}, "experiment.looks-unused", ("design", "every")),
        ("namespace", {"name": "checkout", "range": [0.5, 0.5]}, "experiment.namespace-empty", ("namespace", "range")),
    ],
)
def test_designs_that_decide_nothing_are_refused(
    path: str, value: Any, code: str, where: tuple[str | int, ...], ctx: Context
) -> None:
    values = changed(path, value)
    if path == "outcomes":
        values["guardrails"] = [*values["guardrails"], {"metric": "complaints", "margin": 0.1}]
    assert (code, where) in codes(values, ctx)
    assert all(item.why and item.fix for item in Experiment().check(ExperimentSpec.model_validate(values), ctx))


def test_too_long_names_the_effect_that_would_fit(ctx: Context) -> None:
    (found,) = Experiment().check(ExperimentSpec.model_validate(changed("design.max_weeks", 6)), ctx)
    assert "needs 7 weeks" in found.summary
    fits = next(
        point for point in size_report(ExperimentSpec.model_validate(MAIL), "q", "m")["curve"] if point["weeks"] == 6
    )
    assert f"{fits['absolute']:.4g}" in found.why
    assert codes(changed("design", {**MAIL["design"], "min_duration": "21d", "max_weeks": 2}), ctx) == [
        ("experiment.min-over-max", ("design", "max_weeks"))
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hypothesis", "  "),
        ("hypothesis", ...),
        ("arms", {"control": 1}),
        ("arms", {"control": 1, "t": 0}),
        ("coverage", 0),
        ("coverage", 1.2),
        ("design.daily_units", 0),
        ("design.power", 1),
        ("design.alpha", 0),
        ("design.sequential", "alpha"),
        ("design.tails", 3),
        ("primary.type", "median"),
        ("holdout", 1),
        ("namespace", {"name": "x", "range": [0.1]}),
        ("success_metrics", [{"metric": "x", "type": "mean", "baseline": 3}]),
        ("cuped", {"before": "14d", "r2": 1}),
        ("colour", "red"),
        ("primary.baseline", math.nan),
    ],
)
def test_schema(path: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        ExperimentSpec.model_validate(changed(path, value))


def test_reference_design(ctx: Context) -> None:
    """20 % plus 5 points at 5 % and 80 %: 1094 an arm; one guardrail makes that 1464, and five looks a fortieth more."""
    values = changed("primary", {"metric": "shops", "type": "proportion", "baseline": 0.2, "mde": {"absolute": 0.05}})
    one = apply({**values, "guardrails": values["guardrails"][:1]}, ctx).outputs
    assert one["n_per_arm_at_once"] == {"control": 1464, "treatment": 1464}
    assert one["n_per_arm"] == {"control": 1498, "treatment": 1498}
    assert one["inflated_for_looks"] == pytest.approx(1.023, abs=1e-3)
    assert one["inflated_for_guardrails"] == pytest.approx(1.338, abs=1e-3)
    assert one["power_per_test"] == pytest.approx(0.9)
    assert one["power_exact"] == pytest.approx(0.9, abs=2e-3)
    assert (one["weeks"], one["duration_days"]) == (2, 14)  # 2996 of 300 a day are ten days


def test_every_field_has_an_effect(ctx: Context) -> None:
    base = apply(MAIL, ctx).outputs
    edits = {
        "unit": "user_id",
        "arms": {"control": 1, "treatment": 3},
        "coverage": "50%",
        "salt": "s",
        "guardrails": MAIL["guardrails"][:1],
        "primary.metric": "visits",
        "primary.baseline": 0.5,
        "primary.mde": {"relative": 0.1},
        "design.power": 0.9,
        "design.alpha": 0.01,
        "design.min_duration": "70d",
        "design.daily_units": 100,
        "design.tails": 1,
        "design.sequential": "pocock",
        "design.looks": 3,
        "design.every": "1w",
        "design.max_weeks": 30,
        "namespace": {"name": "checkout", "range": [0, 0.5]},
        "holdout": 0.05,
        "success_metrics": [{"metric": "visits", "type": "mean"}],
        "outcomes": {"dataset": "purchases", "timestamp": "at"},
    }
    for path, value in edits.items():
        assert apply(changed(path, value), ctx).outputs["digest"] != base["digest"], path
    wider = deepcopy(MAIL)
    wider["guardrails"][1]["margin"] = 0.003
    assert apply(wider, ctx).outputs["guardrails"] != base["guardrails"]


def test_unequal_and_many_arms(ctx: Context) -> None:
    even = apply(MAIL, ctx).outputs
    uneven = apply(changed("arms", {"control": 80, "treatment": 20}), ctx).outputs
    assert uneven["n_per_arm"]["control"] == pytest.approx(4 * uneven["n_per_arm"]["treatment"], abs=4)
    assert uneven["n_total"] > 1.4 * even["n_total"]
    three = apply(changed("arms", {"control": 1, "b": 1, "a": 1}), ctx).outputs
    assert three["alpha_per_comparison"] == 0.025  # two comparisons with control
    assert three["n_per_arm"]["control"] > even["n_per_arm"]["control"]
    assert list(three["arms"]) == ["control", "a", "b"]


def test_a_mean(ctx: Context) -> None:
    values = changed(
        "primary", {"metric": "spend", "type": "mean", "baseline": 100, "mde": {"absolute": 0.5}, "std": 1.0}
    )
    outputs = apply(
        {**values, "guardrails": values["guardrails"][:1], "design": {**values["design"], "power": 0.6}}, ctx
    ).outputs
    assert outputs["n_per_arm_at_once"]["control"] == 64  # Cohen: d = 0.5 at 80 %, which is beta 0.4 over two tests
    assert outputs["power_exact"] == pytest.approx(0.8015, abs=1e-4)


def test_the_order_of_arms_does_not_matter_and_assignment_follows_the_state(ctx: Context) -> None:
    record = apply(MAIL, ctx)
    assert record.outputs == apply(changed("arms", {"control": 50, "treatment": 50}), ctx).outputs
    stored = Record.from_json(record.key, record.to_json())
    arms = [assign(stored, str(unit)) for unit in range(1, 2470)]
    assert arms == [
        ("control" if bucket(str(unit), "quickstart.reminder_mail") < 0.5 else "treatment") for unit in range(1, 2470)
    ]
    assert arms.count("control") == pytest.approx(1235, abs=75)  # three standard deviations
    half = apply(changed("coverage", 0.5), ctx)
    inside = [assign(half, str(unit)) for unit in range(1, 2470)]
    assert inside.count(None) == pytest.approx(1235, abs=75)
    assert all(now in (None, before) for now, before in zip(inside, arms, strict=True))


def test_assignment_of_nothing_is_refused(ctx: Context) -> None:
    with pytest.raises(MlctlError, match="empty-unit"):
        assign(apply(MAIL, ctx), "")
    with pytest.raises(MlctlError, match="not-applied"):
        assign(Record(ObjectKey(Address("experiments", "x"), "")), "1")


def test_report() -> None:
    report = size_report(ExperimentSpec.model_validate(MAIL), "quickstart", "reminder_mail")
    effects = [point["absolute"] for point in report["curve"]]
    assert effects == sorted(effects, reverse=True)
    planned = next(point for point in report["curve"] if point["weeks"] == report["weeks"])
    assert planned["absolute"] <= report["difference"]  # whole weeks see at least what was asked for
    text = size_text(report)
    assert "12,884 household_id in 7 weeks (49 days)" in text
    assert "exact power 93.32% of the primary test, looked at once at 12,602" in text
    assert "5 at most (O'Brien-Fleming bounds): 1.022 times the units" in text
    assert sum("<- planned" in line for line in text.splitlines()) == 1


def test_diff_names_the_field(ctx: Context) -> None:
    record, kind = apply(MAIL, ctx), Experiment()
    deployment = {
        "deployments.shops_api": Record(ObjectKey(Address("deployments", "shops_api"), ""), outputs={"digest": "d"})
    }
    seen = kind.read(record, ctx)
    assert seen is not None
    assert kind.diff(make_desired(kind, "experiments.reminder_mail", MAIL, ctx, deployment), record, seen) == ()
    moved = make_desired(kind, "experiments.reminder_mail", changed("design.daily_units", 400), ctx, deployment)
    assert [item.path for item in kind.diff(moved, record, seen)] == ["design.daily_units"]
    assert kind.describe(record) == "12,884 household_id in 7 weeks, power 80%"


def test_an_experiment_that_was_renamed_shows_each_unit_what_it_has_seen_before(ctx: Context) -> None:
    deployment = Record(ObjectKey(Address("deployments", "shops_api"), ""), outputs={"digest": "d"})
    inputs = {"deployments.shops_api": deployment}
    before, after = (
        make_desired(Experiment(), f"experiments.{name}", MAIL, ctx, inputs) for name in ("offer", "letter")
    )
    salts = [
        Experiment().apply(desired, None, surroundings).outputs["salt"]
        for desired, surroundings in (
            (before, ctx),
            (after, replace(ctx, origins={after.key: before.key})),
            (after, ctx),
        )
    ]
    assert salts[0] == salts[1] != salts[2]
