"""From a block and the outputs of its source and entity to the parameters of the worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.providers.feast.entity import Entity
from mlctl.providers.feast.feature_view import FeatureView, render
from mlctl.providers.feast.parity import get_online, run_parity
from mlctl.testing.harness import apply_once, make_context, make_desired
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import FeatureColumn, MaterializeParams
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
    assert {name: made.outputs[name] for name in ("name", "join_key", "dtype")} == {
        "name": "household",
        "join_key": "household_id",
        "dtype": "int64",
    }
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
    assert (params.join_key, params.key_type, params.timestamp, params.source_digest) == (
        "household_id",
        "int64",
        "at",
        "d1",
    )
    assert (params.marks.lineage, params.marks.object) == ("00000000-test", "feature_views.shopping#")
    assert params.snapshot == ".mlctl/default/features/offline/shopping.parquet"
    assert MaterializeParams.model_validate(params.model_dump(mode="json")) == params


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
        (Record(ObjectKey.parse("feature_views.v#"), "v", outputs={"online": False}), "features.not-online"),
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
        "dtype": "int64",
        "join_key": "id",
        "features": {"a": "int64"},
        "ttl_seconds": None,
    }
    with pytest.raises(MlctlError) as caught:
        get_online(Record(ObjectKey.parse("feature_views.v#"), "v", outputs=outputs), ["seven"], make_context(tmp_path))
    assert caught.value.diagnostics[0].code == "features.bad-key"
