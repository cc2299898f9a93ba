"""What follows from a design: sizes of other metrics and looks, and who is in which arm when it changes."""

import math
from dataclasses import replace
from typing import Any

import pytest

from mlctl.provider import Context
from mlctl.providers.ab_test.assignment import assign, compare, read_assignments, vectors, why_not
from mlctl.providers.ab_test.experiment import Experiment
from mlctl.providers.ab_test.report import size_report, size_text
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.testing.harness import make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from tests.unit.providers.ab_test.designs import MAIL, apply, changed, codes


def test_a_ratio_is_sized_by_the_delta_method(ctx: Context) -> None:
    """Orders for each session: var = (4 - 2 0.3 0.8 2 4 + 0.09 16) / 25 = 0.064."""
    below = {"column": "sessions", "mean": 5, "std": 4, "correlation": 0.8}
    primary = {
        "metric": "orders",
        "type": "ratio",
        "baseline": 0.3,
        "std": 2.0,
        "mde": {"absolute": 0.015},
        "denominator": below,
    }
    ratio = apply({**changed("primary", primary), "guardrails": MAIL["guardrails"][:1]}, ctx).outputs
    mean = {"metric": "orders", "type": "mean", "baseline": 0.3, "std": math.sqrt(0.064), "mde": {"absolute": 0.015}}
    assert (
        ratio["n_per_arm"]
        == apply({**changed("primary", mean), "guardrails": MAIL["guardrails"][:1]}, ctx).outputs["n_per_arm"]
    )
    without = {name: value for name, value in below.items() if name != "std"}
    assert ("experiment.denominator-unknown", ("primary", "denominator")) in codes(
        changed("primary", {**primary, "denominator": without}), ctx
    )


def test_a_covariate_saves_the_units_that_it_explains(ctx: Context) -> None:
    primary = {"metric": "spend", "type": "mean", "baseline": 100, "mde": {"absolute": 0.1}, "std": 1.0}
    data = {"outcomes": {"dataset": "purchases", "timestamp": "at"}}
    plain = apply({**changed("primary", primary), **data}, ctx).outputs["n_total"]
    adjusted = apply({**changed("primary", primary), **data, "cuped": {"before": "14d", "r2": 0.4}}, ctx).outputs[
        "n_total"
    ]
    assert adjusted == pytest.approx(0.6 * plain, rel=5e-3)


def test_designs_with_other_looks(ctx: Context) -> None:
    def units(**design: Any) -> int:
        return int(apply({**MAIL, "design": {**MAIL["design"], **design}}, ctx).outputs["n_total"])

    fixed = units(sequential="fixed")
    assert fixed == 12_602
    assert units() == pytest.approx(1.022 * fixed, rel=1e-3)
    assert units(sequential="pocock") == pytest.approx(1.19 * fixed, rel=0.01)
    assert units(sequential="always_valid") == pytest.approx(1.74 * fixed, rel=0.02)
    assert fixed < units(looks=2) < units(every="1d")
    assert units(sequential="fixed", tails=1) < fixed


def test_a_guardrail_with_a_baseline_is_sized_for(ctx: Context) -> None:
    errors = {"metric": "error_rate", "margin": 0.002}
    plain = apply({**MAIL, "guardrails": [errors]}, ctx).outputs["n_total"]
    assert apply({**MAIL, "guardrails": [{**errors, "baseline": 0.01}]}, ctx).outputs["n_total"] > 5 * plain
    assert (
        apply({**MAIL, "guardrails": [{**errors, "margin": 0.05, "baseline": 0.01}]}, ctx).outputs["n_total"] == plain
    )


def test_more_success_metrics_and_arms_share_alpha(ctx: Context) -> None:
    more = apply(changed("success_metrics", [{"metric": "visits", "type": "mean"}]), ctx).outputs
    assert more["alpha_per_comparison"] == 0.025
    assert more["n_total"] > apply(MAIL, ctx).outputs["n_total"]
    assert more["rules"]["metrics"] == ["shops", "visits"]


def test_without_traffic_a_design_has_units_and_no_weeks(ctx: Context) -> None:
    record = apply(changed("design", {"power": 0.8}), ctx)
    assert (record.outputs["weeks"], record.outputs["n_total"]) == (None, 12_884)
    assert Experiment().describe(record) == "12,884 household_id, power 80%"
    report = size_report(ExperimentSpec.model_validate(changed("design", {"power": 0.8})), "quickstart", "m")
    assert report["curve"] == []
    assert "traffic     not known" in size_text(report)


def test_units_keep_their_arms_when_coverage_and_weights_change(ctx: Context) -> None:
    def arms(record: Record) -> list[str | None]:
        return [assign(record, str(unit)) for unit in range(2000)]

    first = apply(changed("coverage", 0.5), ctx)
    grown = apply_again(changed("coverage", 1.0), first, ctx)
    assert all(now == was for was, now in zip(arms(first), arms(grown), strict=True) if was)
    smaller = apply_again({**changed("coverage", 0.5), "arms": {"control": 80, "treatment": 20}}, first, ctx)
    for was, now in zip(arms(first), arms(smaller), strict=True):
        assert now == was or was is None or (was == "treatment" and now is None)  # nobody changes sides
    other = apply_again({**changed("coverage", 1.0), "salt": "another"}, first, ctx)
    assert [tuple(item["ranges"][0]) for item in other.outputs["arms"].values()] == [(0.0, 0.5), (0.5, 1.0)]


def apply_again(values: dict[str, Any], prior: Record, ctx: Context) -> Record:
    deployment = Record(ObjectKey(Address("deployments", "shops_api"), ""), outputs={"digest": "d"})
    desired = make_desired(
        Experiment(), "experiments.reminder_mail", values, ctx, {"deployments.shops_api": deployment}
    )
    return replace(prior, outputs=Experiment().apply(desired, prior, ctx).outputs)


def test_a_state_of_an_older_mlctl_still_assigns_and_anchors(ctx: Context) -> None:
    record = apply(changed("coverage", 0.5), ctx)
    older = {
        name: {"weight": item["weight"], "range": item["ranges"][0]} for name, item in record.outputs["arms"].items()
    }
    old = replace(record, outputs={**record.outputs, "arms": older})
    assert [assign(old, str(unit)) for unit in range(50)] == [assign(record, str(unit)) for unit in range(50)]
    assert apply_again(changed("coverage", 0.5), old, ctx).outputs["arms"] == record.outputs["arms"]


def test_a_unit_outside_of_the_namespace_or_held_out_has_no_arm(ctx: Context) -> None:
    both = {**MAIL, "namespace": {"name": "checkout", "range": [0, 0.4]}, "holdout": 0.1}
    record = apply(both, ctx)
    units = [str(unit) for unit in range(4000)]
    inside = [unit for unit in units if assign(record, unit) is not None]
    assert len(inside) == pytest.approx(4000 * 0.4 * 0.9, abs=110)
    assert {why_not(record.outputs, unit) for unit in units if unit not in inside} == {
        "held out of all experiments", "outside of its range of the namespace checkout"
    }  # fmt: skip
    other = apply({**MAIL, "namespace": {"name": "checkout", "range": [0.4, 1]}, "holdout": 0.1, "salt": "other"}, ctx)
    assert not any(assign(other, unit) for unit in inside)  # no unit is in two of one namespace
    assert record.outputs["weeks"] > 2 * apply(MAIL, ctx).outputs["weeks"]  # fewer units come by


def test_a_front_end_is_held_against_what_was_applied(ctx: Context) -> None:
    record = apply(MAIL, ctx)
    right = {item["unit"]: item["arm"] for item in vectors(record)}
    assert compare(record, right) == []
    wrong = {**right, "Zoë": "treatment" if right["Zoë"] == "control" else "control", "2": None}
    assert {unit for unit, *_ in compare(record, wrong)} == {"Zoë", "2"}
    with pytest.raises(MlctlError, match="unknown-arm"):
        compare(record, {"1": "variation-1"})
    assert read_assignments([{"unit": "1", "arm": None}]) == {"1": None}
    for bad in ([], {}, [{"unit": "1"}], {"1": 0}, "1"):
        with pytest.raises(MlctlError, match=r"experiment\.assignments"):
            read_assignments(bad)
