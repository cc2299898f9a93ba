"""Monitors up to the run: what is refused, what is frozen, and which column gets which test."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Condition, Context
from mlctl.providers.evidently.monitor import Monitor
from mlctl.providers.evidently.reference import frozen
from mlctl.providers.evidently.run import run_monitor
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.stats.sketch import sketch
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.monitor import Profile
from mlctl.types.jobs.reference import CategoricalColumn
from mlctl.types.state import Record

NUMERIC = {"kind": "numeric", "nulls": 0, "mean": 1.0, "sample": [float(value) for value in range(200)]}
CATEGORICAL = {"kind": "categorical", "nulls": 10, "categories": {"a": 0.5, "b": 0.5}}
PROFILE: dict[str, Any] = {
    "rows": 200,
    "columns": {"age": NUMERIC, "city": CATEGORICAL},
    "score": NUMERIC,
    "target": NUMERIC,
}


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def apply(ctx: Context, profile: Any = PROFILE, predictions: Any = "log", **data: Any) -> Record:
    (ctx.root / "profile.json").write_text(profile if isinstance(profile, str) else json.dumps(profile))
    deployment = Record(
        ObjectKey(Address("deployments", "api"), ""), outputs={"predictions": predictions, "digest": "d"}
    )
    values = {"deployment": "api", "reference": "profile.json", "data": {"methods": ["ks", "psi"], **data}}
    return apply_once(Monitor(), "monitors.m", values, ctx, {"deployments.api": deployment})


def test_outputs(ctx: Context) -> None:
    record = apply(ctx)
    part = record.outputs["parts"]["data"]
    assert part["tests"] == {"age": ["ks", "psi"], "city": ["psi"], "prediction score": ["ks", "psi"]}
    assert part["untested"] == {}
    assert part["reference"] == ".mlctl/default/objects/monitors.m/self/reference.json"
    assert part["margins"] == {"ks": 0.05, "psi": 0.1}
    assert part["window_seconds"] == 7 * 86400
    assert apply(ctx).outputs == record.outputs
    assert Monitor().describe(record) == "3 columns by ks, psi"


@pytest.mark.parametrize(
    "data",
    [
        {"methods": ["psi"]},
        {"alpha": 0.01},
        {"correction": "bh"},
        {"margin": {"ks": 0.2}},
        {"min_rows": 50},
        {"window": "1d"},
        {"unit": "row"},
    ],
    ids=lambda data: next(iter(data)),
)
def test_every_field_has_an_effect(ctx: Context, data: dict[str, Any]) -> None:
    assert apply(ctx, **data).outputs["digest"] != apply(ctx).outputs["digest"]


def test_another_reference_is_another_digest(ctx: Context) -> None:
    other = {**PROFILE, "columns": {"age": {**NUMERIC, "sample": [0.5, *NUMERIC["sample"][1:]]}, "city": CATEGORICAL}}
    assert apply(ctx, other).outputs["digest"] != apply(ctx).outputs["digest"]
    assert (
        apply(ctx, {**PROFILE, "target": {}}).outputs["digest"] == apply(ctx).outputs["digest"]
    )  # what is not compared does not count


def profile_of(kind: dict[str, Any], rows: int = 1000) -> Profile:
    return Profile.model_validate({"rows": rows, "columns": {"x": kind}})


@pytest.mark.parametrize("shares", [{"1.0": 0.6, "True": 0.4}, {"1": 0.48, "true": 0.32}])
def test_shares_may_be_of_all_rows_or_of_those_with_a_value(shares: dict[str, float]) -> None:
    made = frozen(profile_of({"kind": "categorical", "nulls": 200, "categories": shares})).columns["x"]
    assert isinstance(made, CategoricalColumn)
    assert made.counts == pytest.approx({"1": 480, "true": 320})
    assert (made.nulls, made.other) == (200, 0)


def test_no_row_of_the_reference_is_frozen(ctx: Context) -> None:
    """Where values abound, what is kept of a column are its quantiles, how many rows lie between them, and means of those."""
    numbers = [float(value) + 0.25 for value in range(5000)]
    kept = sketch(numbers)
    record = apply(ctx, {"rows": 5000, "columns": {"age": {"kind": "numeric", "sketch": kept.model_dump()}}})
    stored = json.loads((ctx.root / str(record.outputs["parts"]["data"]["reference"])).read_text())
    column = stored["columns"]["age"]
    assert 1001 <= len(column["sketch"]["values"]) <= 1013
    assert column["sketch"]["upto"][-1] == 5000  # the real number of rows counts, not that of the quantiles
    assert sum(column["counts"]) == 5000
    assert "sample" not in column


@pytest.mark.parametrize(
    "outputs",
    [{"reference": "r.json", "tests": {}}, {"parts": {"data": {"reference": "r.json", "tests": {}}}, "files": {}}],
)
def test_what_an_older_mlctl_froze_is_frozen_anew(ctx: Context, outputs: dict[str, Any]) -> None:
    record = Record(ObjectKey(Address("monitors", "m"), ""), outputs=outputs)
    seen = Monitor().read(record, ctx)
    assert seen is not None
    assert (seen.condition, seen.detail) == (Condition.BROKEN, "it was frozen by an older mlctl")


def test_columns_that_no_method_fits_are_named(ctx: Context) -> None:
    assert apply(ctx, methods=["ks"]).outputs["parts"]["data"]["untested"] == {
        "city": "none of the methods is for categorical columns"
    }
    small = {
        **PROFILE,
        "columns": {**PROFILE["columns"], "few": {**NUMERIC, "nulls": 170, "sample": NUMERIC["sample"][:30]}},
    }
    assert apply(ctx, small).outputs["parts"]["data"]["untested"] == {
        "few": "the reference holds 30 values and 100 are needed"
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"profile": "{"}, "monitor.bad-reference"),
        ({"profile": {"columns": {}}}, "monitor.bad-reference"),
        ({"profile": {**PROFILE, "rows": 0}}, "monitor.bad-reference"),
        ({"profile": {**PROFILE, "columns": {"prediction score": NUMERIC}}}, "monitor.bad-reference"),
        ({"profile": {**PROFILE, "columns": {"(all features)": NUMERIC}}}, "monitor.bad-reference"),
        (
            {"profile": {"rows": 200, "columns": {"age": NUMERIC}}, "methods": ["ks", "chi_square"]},
            "monitor.idle-method",
        ),
        ({"min_rows": 201}, "monitor.idle-method"),
        ({"predictions": None}, "monitor.no-log"),
    ],
)
def test_bad_references_are_refused(ctx: Context, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(MlctlError) as caught:
        apply(ctx, **arguments)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert found.why
    assert found.fix
    assert not (ctx.home / "objects").exists()  # nothing was made


@pytest.mark.parametrize(
    ("reference", "code"), [("nowhere.json", "monitor.no-reference"), ("../profile.json", "spec.path-outside")]
)
def test_a_reference_that_is_not_there(ctx: Context, reference: str, code: str) -> None:
    deployment = Record(ObjectKey(Address("deployments", "api"), ""), outputs={"predictions": "log"})
    with pytest.raises(MlctlError, match=code):
        apply_once(
            Monitor(),
            "monitors.m",
            {"deployment": "api", "reference": reference, "data": {"methods": ["ks"]}},
            ctx,
            {"deployments.api": deployment},
        )


@pytest.mark.parametrize(
    ("data", "code", "path"),
    [
        ({"methods": ["ks", "psi", "ks"]}, "monitor.method-twice", ("data", "methods", 2)),
        ({"methods": ["ks"], "margin": {"psi": 0.2}}, "monitor.margin-unused", ("data", "margin", "psi")),
        ({"methods": ["ks"], "rows": "rows.parquet"}, "monitor.rows-unused", ("data", "rows")),
        (
            {"methods": ["domain_classifier"], "margin": {"domain_classifier": 0.1}},
            "monitor.bad-margin",
            ("data", "margin", "domain_classifier"),
        ),
    ],
)
def test_check(ctx: Context, data: dict[str, Any], code: str, path: tuple[str | int, ...]) -> None:
    (found,) = Monitor().check(MonitorSpec.model_validate({"deployment": "api", "reference": "p", "data": data}), ctx)
    assert (found.code, found.path) == (code, path)


@pytest.mark.parametrize(
    "block",
    [
        {"label": {"dataset": "x"}},
        {"reference": ""},
        {"data": {"methods": []}},
        {"data": {"methods": ["domain_classified"]}},
        {"data": {"methods": ["ks"], "correction": "none"}},
        {"data": {"methods": ["ks"], "alpha": 0}},
        {"data": {"methods": ["ks"], "window": 7}},
        {"data": {"methods": ["ks"], "min_rows": 5}},
    ],
)
def test_schema(block: dict[str, Any]) -> None:
    good = {"deployment": "api", "reference": "p", "data": {"methods": ["ks"]}}
    MonitorSpec.model_validate(good)
    with pytest.raises(ValidationError):
        MonitorSpec.model_validate({**good, **block})


@pytest.mark.parametrize(
    ("block", "code"),
    [({}, "monitor.watches-nothing"), ({"data": {"methods": ["ks"]}}, "monitor.no-reference")],
)
def test_a_monitor_watches_something_and_has_what_it_compares_with(
    ctx: Context, block: dict[str, Any], code: str
) -> None:
    (found,) = Monitor().check(MonitorSpec.model_validate({"deployment": "api", **block}), ctx)
    assert found.code == code


def test_delete_of_what_was_never_made(ctx: Context) -> None:
    Monitor().delete(Record(ObjectKey(Address("monitors", "m"), "")), ctx)


def test_run_before_apply(ctx: Context) -> None:
    with pytest.raises(MlctlError, match="not-applied"):
        run_monitor(Record(ObjectKey(Address("monitors", "m"), "")), ctx)
