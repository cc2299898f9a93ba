"""From a block and the outputs of its source and entity to the parameters of the worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.engine.decide import with_metadata
from mlctl.provider import Observed, Outcome
from mlctl.providers.feast.entity import Entity
from mlctl.providers.feast.feature_view import FeatureView, render
from mlctl.providers.feast.online import get_online
from mlctl.providers.feast.parity import run_parity
from mlctl.testing.harness import apply_once, make_context, make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.change import FieldClass
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import FeatureColumn, Key, MaterializeParams
from mlctl.types.state import Pending, Record

PURCHASES = Record(
    ObjectKey.parse("datasets.purchases#1"),
    "1",
    outputs={
        "files": ["data/p.parquet"],
        "format": "parquet",
        "columns": {"household_id": "bigint", "price": "double", "at": "timestamp"},
        "timestamp": "at",
        "key": [],
        "digest": "d1",
    },
)
BLOCK: dict[str, Any] = {
    "entity": "household",
    "source": "purchases",
    "grid": "12h",
    "ttl": "2d",
    "online": True,
    "features": {
        "spent_7d": {"aggregate": "sum", "column": "price", "window": "7d", "dtype": "float32"},
        "n_12h": {"aggregate": "count", "window": "12h"},
    },
}


def rendered(root: Path, block: dict[str, Any]) -> MaterializeParams:
    ctx = make_context(root)
    household = apply_once(Entity(), "entities.household", {"key": "household_id"}, ctx)
    inputs = {"datasets.purchases": PURCHASES, "entities.household": household}
    return render(make_desired(FeatureView(), "feature_views.shopping", block, ctx, inputs), ctx)


def test_an_entity_is_its_name_key_and_type(tmp_path: Path) -> None:
    made = apply_once(Entity(), "entities.household", {"key": "household_id"}, make_context(tmp_path))
    assert made.outputs["name"] == "household"
    assert made.outputs["keys"] == [{"name": "household_id", "type": "int64"}]
    other = apply_once(
        Entity(), "entities.household", {"key": "household_id", "dtype": "string"}, make_context(tmp_path)
    )
    assert made.digest != other.digest


def test_the_parameters_say_it_all(tmp_path: Path) -> None:
    params = rendered(tmp_path, BLOCK)
    assert params.features == [
        FeatureColumn(name="n_12h", aggregate="count", column=None, window_steps=1, dtype="int64"),
        FeatureColumn(name="spent_7d", aggregate="sum", column="price", window_steps=14, dtype="float32"),
    ]
    assert (params.grid_seconds, params.ttl_seconds, params.online) == (43200, 172800, True)
    assert params.keys == [Key(name="household_id", type="int64")]
    assert (params.timestamp, params.source_digest) == ("at", "d1")
    assert (params.where, params.expressions, params.sparse) == (None, {}, False)
    assert (params.marks.lineage, params.marks.object) == ("00000000-test", "feature_views.shopping#")
    assert params.snapshot == ".mlctl/default/features/offline/shopping.parquet"
    assert MaterializeParams.model_validate(params.model_dump(mode="json")) == params


def test_filters_expressions_ratios_and_several_windows_are_in_the_parameters(tmp_path: Path) -> None:
    features = {
        "spent": {"aggregate": "sum", "column": "net", "windows": ["12h", "7d"], "where": "price > 1"},
        "cheap": {"aggregate": "ratio", "column": "net", "over": "price", "where": "price < 5", "window": "1d"},
    }
    more = {"where": "price IS NOT NULL", "columns": {"net": "price * 0.9"}, "snapshots": "sparse"}
    params = rendered(tmp_path, {**BLOCK, **more, "features": features})
    assert (params.where, params.expressions, params.sparse) == ("price IS NOT NULL", {"net": "price * 0.9"}, True)
    assert [item.model_dump() for item in params.features] == [
        column("cheap", "ratio", 2, over="price", where="price < 5"),
        column("spent_12h", "sum", 1, where="price > 1"),
        column("spent_7d", "sum", 14, where="price > 1"),
    ]


def column(name: str, aggregate: str, steps: int, over: str | None = None, where: str | None = None) -> dict[str, Any]:
    return {
        "name": name, "aggregate": aggregate, "column": "net", "over": over, "where": where, "window_steps": steps, "dtype": "float64",
    }  # fmt: skip


def test_a_computed_table_has_no_grid(tmp_path: Path) -> None:
    block = {"entity": "household", "source": "purchases", "features": {"price": {}, "cost": {"column": "price"}}}
    params = rendered(tmp_path, block)
    assert params.grid_seconds == 0
    assert [(item.name, item.aggregate, item.column, item.window_steps) for item in params.features] == [
        ("cost", None, "price", 0),
        ("price", None, "price", 0),
    ]


def test_what_a_feature_is_said_to_mean_runs_nothing(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    inputs = {
        "datasets.purchases": PURCHASES,
        "entities.household": apply_once(Entity(), "entities.household", {"key": "household_id"}, ctx),
    }
    before = make_desired(FeatureView(), "feature_views.shopping", BLOCK, ctx, inputs)
    told = {
        **BLOCK,
        "features": {**BLOCK["features"], "n_12h": {**BLOCK["features"]["n_12h"], "description": "how often"}},
    }
    after = make_desired(FeatureView(), "feature_views.shopping", told, ctx, inputs)
    record = make_record(before, Outcome("shopping", {"digest": "v"}))
    (change,) = FeatureView().diff(after, record, Observed())
    assert (change.path, change.field_class) == ("features.n_12h.description", FieldClass.METADATA)
    noted = with_metadata(FeatureView(), record, after)
    assert noted.spec == after.values
    assert list(FeatureView().diff(after, noted, Observed())) == []
    assert with_metadata(FeatureView(), noted, before).spec == before.values


def test_the_order_of_features_in_the_file_means_nothing(tmp_path: Path) -> None:
    turned = {**BLOCK, "features": dict(reversed(BLOCK["features"].items()))}
    assert rendered(tmp_path, turned) == rendered(tmp_path, BLOCK)


def test_a_block_that_does_not_fit_its_source_is_refused_before_any_program_runs(tmp_path: Path) -> None:
    with pytest.raises(MlctlError) as caught:
        rendered(tmp_path, {**BLOCK, "features": {"x": {"aggregate": "sum", "column": "prise", "window": "7d"}}})
    assert [item.code for item in caught.value.diagnostics] == ["data.missing-column"]


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (
            Record(ObjectKey.parse("feature_views.v#"), "v", outputs={"keys": [], "online": False}),
            "features.not-online",
        ),
        (Record(ObjectKey.parse("feature_views.v#"), pending=Pending.APPLY), "features.not-made"),
    ],
)
def test_only_a_served_view_can_be_asked(record: Record, code: str, tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    for ask in (lambda: run_parity(record, ctx), lambda: get_online(record, ["1"], ctx)):
        with pytest.raises(MlctlError) as caught:
            ask()
        assert caught.value.diagnostics[0].code == code


def test_a_key_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    outputs = {
        "view": "v",
        "online": True,
        "keys": [{"name": "id", "type": "int64"}],
        "store": {
            "project": "p",
            "registry": "r",
            "online": {"type": "sqlite", "path": "o"},
            "offline": {"type": "duckdb"},
        },
        "features": {"a": "int64"},
        "ttl_seconds": None,
    }
    with pytest.raises(MlctlError) as caught:
        get_online(Record(ObjectKey.parse("feature_views.v#"), "v", outputs=outputs), ["seven"], make_context(tmp_path))
    assert caught.value.diagnostics[0].code == "features.bad-key"
