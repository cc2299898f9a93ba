"""Labels, estimates and proxies up to the run: what is refused, and what is frozen."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Context
from mlctl.providers.evidently.monitor import Monitor
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.stats.limits import binomial_limits
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.labels import HeldOut
from mlctl.types.jobs.monitor import Parts
from mlctl.types.state import Record

LABELS: dict[str, Any] = {"dataset": "outcomes", "id": "request", "label": "churned"}
ESTIMATED = {"metric": "roc_auc", "margin": 0.02}
CTR = {"metric": "ctr", "dataset": "outcomes", "id": "request", "margin": 0.01}
COLUMNS = {"request": "varchar", "user": "bigint", "churned": "bigint", "said": "varchar", "at": "timestamp"}
BINARY = HeldOut(task="binary", rows=400, scores=[0.1, 0.9, 0.2, 0.8] * 100, targets=[0.0, 1.0, 1.0, 1.0] * 100)
NUMBERS = HeldOut(task="regression", rows=100, scores=[float(value) for value in range(100)], targets=[0.0] * 100)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def apply(ctx: Context, held: HeldOut | None = None, dataset: dict[str, Any] | None = None, **parts: Any) -> Record:
    made = {
        "deployments.api": {"predictions": "log", "digest": "d"},
        "datasets.outcomes": {"files": ["o.parquet"], "format": "parquet", "columns": COLUMNS, "timestamp": "at", "key": [], "partitions": {}, "digest": "o", **(dataset or {})},
    }  # fmt: skip
    values: dict[str, Any] = {"deployment": "api", **parts}
    if held is not None:
        (ctx.root / "held.json").write_text(held.model_dump_json())
        values["evaluation"] = "gate"
        made["evaluations.gate"] = {"held_out": "held.json", "version": "3", "digest": "e"}
    inputs = {name: Record(ObjectKey(Address.parse(name), ""), outputs=outputs) for name, outputs in made.items()}
    return apply_once(Monitor(), "monitors.m", values, ctx, inputs)


def problems(ctx: Context, **parts: Any) -> list[str]:
    return [item.code for item in Monitor().check(MonitorSpec.model_validate({"deployment": "api", **parts}), ctx)]


def test_the_detector_starts_from_the_upper_limit_of_what_was_held_out(ctx: Context) -> None:
    record = apply(ctx, BINARY, labels=LABELS)
    part = record.outputs["parts"]["labels"]
    assert part["baseline"] == binomial_limits(100, 400, 0.95)[1] > 0.25
    assert (part["task"], part["metrics"], part["loss"], part["version"]) == (
        "binary",
        ["error_rate", "log_loss", "roc_auc"],
        "error_rate",
        "3",
    )
    assert part["joining"]["within_window_seconds"] == 7 * 86400
    assert Parts.model_validate(record.outputs["parts"]).labels is not None
    assert (
        Monitor().describe(record)
        == f"labels of datasets.outcomes by request id within 7d, e_detector from {part['baseline']:.4g}"
    )
    frozen = ctx.folder(record.key) / "held_out.json"
    assert json.loads(frozen.read_bytes())["rows"] == 400
    assert apply(ctx, BINARY, labels=LABELS).outputs == record.outputs


def test_a_baseline_that_is_given_is_a_bound_or_is_widened_by_its_rows(ctx: Context) -> None:
    bound = apply(ctx, labels={**LABELS, "baseline": {"error_rate": 0.1}}).outputs["parts"]["labels"]
    assert (bound["baseline"], bound["held_out"], bound["version"]) == (0.1, None, None)
    wide = apply(ctx, labels={**LABELS, "baseline": {"error_rate": 0.1, "rows": 500}}).outputs["parts"]["labels"]
    assert wide["baseline"] == binomial_limits(50, 500, 0.95)[1]


def test_numbers_are_watched_by_how_many_errors_are_large(ctx: Context) -> None:
    part = apply(ctx, NUMBERS, labels=LABELS).outputs["parts"]["labels"]
    assert (part["loss"], part["beyond"], part["metrics"]) == ("exceedance", 90.0, ["mae"])
    assert part["baseline"] == binomial_limits(9, 100, 0.95)[1]


@pytest.mark.parametrize(
    "labels",
    [
        {"delay": "3d"}, {"window": "14d"}, {"metrics": ["brier"]}, {"margin": {"roc_auc": 0.02}}, {"label_margin": 0.2}, {"alpha": 0.01},
        {"min_labels": 50}, {"min_coverage": 0.1}, {"detector": "adwin"}, {"loss": "brier"}, {"average_run_length": 1000}, {"key": ["user"]},
        {"timestamp": "at", "dataset": "outcomes"}, {"baseline": {"error_rate": 0.2}},
    ],
    ids=lambda labels: next(iter(labels)),
)  # fmt: skip
def test_every_field_has_an_effect(ctx: Context, labels: dict[str, Any]) -> None:
    plain = {"timestamp": "then"} if "timestamp" in labels else {}
    columns = {"columns": {**COLUMNS, "then": "timestamp"}}
    one = apply(ctx, BINARY, columns, labels={**LABELS, **plain}).outputs["digest"]
    assert apply(ctx, BINARY, columns, labels={**LABELS, **plain, **labels}).outputs["digest"] != one


def test_what_the_detector_looks_for_is_another_thing_only_when_it_is(ctx: Context) -> None:
    def identity(**labels: Any) -> str:
        return str(apply(ctx, BINARY, labels={**LABELS, **labels}).outputs["parts"]["labels"]["identity"])

    assert identity(window="14d", alpha=0.01, metrics=["brier"]) == identity()
    assert (
        len(
            {
                identity(),
                identity(average_run_length=1000),
                identity(delay="3d"),
                identity(loss="brier"),
                identity(detector="adwin"),
                identity(label="user"),
            }
        )
        == 6
    )


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"labels": LABELS}, "monitor.no-evaluation"),
        ({"estimated": ESTIMATED}, "monitor.no-evaluation"),
        ({"labels": {**LABELS, "baseline": {"error_rate": 0.1}, "label_margin": 0.1}}, "monitor.no-effect"),
        ({"labels": {**LABELS, "baseline": {"error_rate": 0.1}, "margin": {"roc_auc": 0.1}}}, "monitor.no-effect"),
        ({"labels": {**LABELS, "baseline": {"error_rate": 0.1}, "label_margin": 0}}, "monitor.no-effect"),
        ({"labels": {**LABELS, "baseline": {"error_rate": 0.1}, "alpha": 0.01}}, "monitor.no-effect"),
        (
            {"evaluation": "gate", "labels": {**LABELS, "detector": "adwin", "average_run_length": 1000}},
            "monitor.no-effect",
        ),
        (
            {"evaluation": "gate", "labels": {**LABELS, "detector": "adwin", "baseline": {"error_rate": 0.1}}},
            "monitor.no-effect",
        ),
        (
            {"evaluation": "gate", "labels": {**LABELS, "loss": "brier", "baseline": {"error_rate": 0.1}}},
            "monitor.no-effect",
        ),
        (
            {"evaluation": "gate", "labels": {**LABELS, "metrics": ["brier"], "margin": {"roc_auc": 0.1}}},
            "monitor.margin-unused",
        ),
        ({"evaluation": "gate", "labels": {**LABELS, "metrics": ["brier", "brier"]}}, "monitor.metric-twice"),
        ({"proxies": [CTR, CTR]}, "monitor.metric-twice"),
    ],
)
def test_what_cannot_be_or_would_have_no_effect_is_refused(ctx: Context, parts: dict[str, Any], code: str) -> None:
    assert code in problems(ctx, **parts)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"labels": {"dataset": "outcomes", "label": "churned"}}, "joined to its prediction by `id`"),
        ({"evaluation": "gate", "data": {"methods": ["ks"]}}, "`evaluation` has no effect"),
        ({"proxies": [{**CTR, "aggregate": "sum"}]}, "needs a `column`"),
        ({"proxies": [{**CTR, "unit": "user"}]}, "`unit` has no effect"),
        (
            {"proxies": [{"metric": "m", "dataset": "outcomes", "column": "churned", "margin": 1, "within": "1d"}]},
            "`within` has no effect",
        ),
        ({"proxies": [{"metric": "m", "dataset": "outcomes", "margin": 1}]}, "give the `column`"),
        (
            {"proxies": [{"metric": "m", "dataset": "outcomes", "column": "churned", "aggregate": "sum", "margin": 1}]},
            "the mean of a column",
        ),
        ({"proxies": []}, "at least 1"),
        ({"labels": {**LABELS, "min_labels": 3}}, "greater than or equal to 30"),
        ({"evaluation": "gate", "estimated": {**ESTIMATED, "alpha": 0.001}}, "greater than or equal to 0.01"),
    ],
)
def test_blocks_that_contradict_themselves_are_refused(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        MonitorSpec.model_validate({"deployment": "api", **parts})


@pytest.mark.parametrize(
    ("held", "dataset", "parts", "code"),
    [
        (BINARY, {"columns": {**COLUMNS, "churned": "varchar"}}, {"labels": LABELS}, "monitor.not-a-number"),
        (BINARY, {"timestamp": None}, {"labels": LABELS}, "monitor.no-time"),
        (BINARY, {"timestamp": "said"}, {"labels": LABELS}, "monitor.no-time"),
        (BINARY, None, {"labels": {**LABELS, "id": "requests"}}, "monitor.no-column"),
        (BINARY, None, {"labels": {**LABELS, "metrics": ["mae"]}}, "monitor.metric-task"),
        (BINARY, {"columns": {**COLUMNS, "churned": "varchar"}}, {"estimated": ESTIMATED, "proxies": [{**CTR, "column": "said"}]}, "monitor.not-a-number"),
        (NUMBERS, None, {"labels": {**LABELS, "margin": {"roc_auc": 0.1}}}, "monitor.metric-task"),
        (NUMBERS, None, {"labels": {**LABELS, "loss": "brier"}}, "monitor.no-effect"),
        (NUMBERS, None, {"estimated": ESTIMATED}, "monitor.metric-task"),
        (HeldOut(task="binary", rows=50, scores=[0.1] * 50, targets=[0.0] * 50), None, {"estimated": ESTIMATED}, "monitor.not-calibrated"),
        (HeldOut(task="binary", rows=1, scores=[0.9], targets=[0.0]), None, {"labels": LABELS}, "monitor.baseline-too-wide"),
        (HeldOut(task="binary", rows=0, scores=[], targets=[]), None, {"labels": LABELS}, "monitor.no-held-out"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_found_when_it_is_applied(
    ctx: Context, held: HeldOut, dataset: dict[str, Any] | None, parts: dict[str, Any], code: str
) -> None:
    with pytest.raises(MlctlError) as refused:
        apply(ctx, held, dataset, **parts)
    assert refused.value.diagnostics[0].code == code
    assert refused.value.diagnostics[0].fix


def test_rows_that_stay_in_their_database_and_scores_that_were_not_kept_are_refused(ctx: Context) -> None:
    (ctx.root / "held.json").write_text("{}")
    inputs = {
        "deployments.api": {"predictions": "log", "digest": "d"},
        "datasets.outcomes": {"remote": {}, "digest": "o"},
        "evaluations.gate": {"version": "3", "digest": "e"},
    }
    for outputs, code in (
        ({}, "monitor.no-held-out"),
        ({"held_out": "held.json"}, "monitor.no-held-out"),
        ({"held_out": "gone.json"}, "monitor.no-held-out"),
    ):
        made = {**inputs, "evaluations.gate": {**inputs["evaluations.gate"], **outputs}}
        records = {name: Record(ObjectKey(Address.parse(name), ""), outputs=item) for name, item in made.items()}
        with pytest.raises(MlctlError) as refused:
            apply_once(
                Monitor(),
                "monitors.m",
                {"deployment": "api", "evaluation": "gate", "estimated": ESTIMATED},
                ctx,
                records,
            )
        assert refused.value.diagnostics[0].code == code
    records = {name: Record(ObjectKey(Address.parse(name), ""), outputs=item) for name, item in inputs.items()}
    with pytest.raises(MlctlError) as refused:
        apply_once(
            Monitor(),
            "monitors.m",
            {"deployment": "api", "labels": {**LABELS, "baseline": {"error_rate": 0.1}}},
            ctx,
            records,
        )
    assert refused.value.diagnostics[0].code == "monitor.rows-elsewhere"
