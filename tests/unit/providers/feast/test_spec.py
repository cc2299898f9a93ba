"""What the blocks take and refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Kind, Logs
from mlctl.providers.feast.entity import Entity
from mlctl.providers.feast.feature_view import FeatureView
from mlctl.providers.feast.settings import FeatureStore
from mlctl.providers.feast.spec import EntitySpec, FeatureViewSpec
from mlctl.types.jobs.features import Key

FEATURES = {"n_7d": {"aggregate": "count", "window": "7d"}}


def test_both_are_kinds() -> None:
    assert isinstance(Entity(), Kind)
    assert isinstance(FeatureView(), Kind)
    assert isinstance(FeatureView(), Logs)


def test_defaults() -> None:
    block = FeatureViewSpec.model_validate({"entity": "user", "source": "trips", "features": FEATURES})
    assert (block.ttl, block.online, block.grid) == (None, False, 86400.0)
    assert block.features["n_7d"].type == "int64"
    assert EntitySpec.model_validate({"key": "id"}).columns == [Key(name="id", type="int64")]


def test_a_composite_key_keeps_its_order() -> None:
    spec = EntitySpec.model_validate({"keys": {"product_id": "string", "household_id": "int64"}})
    assert spec.columns == [Key(name="product_id", type="string"), Key(name="household_id", type="int64")]


def test_several_windows_are_several_features_named_after_them() -> None:
    features = {
        "spent": {"aggregate": "sum", "column": "price", "windows": ["7d", "36h"]},
        "n": {"aggregate": "count", "window": "1d"},
    }
    block = FeatureViewSpec.model_validate({"entity": "u", "source": "t", "features": features})
    assert [(item.name, item.block, item.window) for item in block.computed()] == [
        ("spent_7d", "spent", 604800.0),
        ("spent_36h", "spent", 129600.0),
        ("n", "n", 86400.0),
    ]


def test_a_view_without_aggregates_takes_columns_as_they_are() -> None:
    block = FeatureViewSpec.model_validate(
        {"entity": "u", "source": "t", "features": {"score": {}, "rank": {"dtype": "int64"}}}
    )
    assert block.precomputed
    assert {name: item.type for name, item in block.features.items()} == {"score": "float64", "rank": "int64"}


def test_durations_go_into_state_as_written_by_one_hand() -> None:
    block = FeatureViewSpec.model_validate(
        {"entity": "u", "source": "t", "ttl": "168h", "features": {"n": {"aggregate": "count", "window": "24h"}}}
    )
    stored = block.model_dump(mode="json", exclude_defaults=True)
    assert (stored["ttl"], stored["features"]["n"]["window"]) == ("7d", "1d")


@pytest.mark.parametrize(
    "change",
    [
        {"features": {}},
        {"features": {"_n": FEATURES["n_7d"]}},
        {"features": {"n__7d": FEATURES["n_7d"]}},
        {"features": {"n-7d": FEATURES["n_7d"]}},
        {"features": {"7d": FEATURES["n_7d"]}},
        {"features": {"n": {"aggregate": "median", "column": "x", "window": "7d"}}},
        {"features": {"n": {"aggregate": "count", "window": 7}}},
        {"features": {"n": {"aggregate": "count", "windows": []}}},
        {"columns": {"a b": "price"}},
        {"columns": {"net": ""}},
        {"snapshots": "few"},
        {"features": {"n": {"aggregate": "count", "window": "7d", "dtype": "int32"}}},
        {"features": {"n": {"aggregate": "count", "window": "7d", "colum": "x"}}},
        {"ttl": "soon"},
        {"sources": "trips"},
    ],
)
def test_what_a_view_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FeatureViewSpec.model_validate({"entity": "user", "source": "trips", "features": FEATURES, **change})


@pytest.mark.parametrize(
    "block",
    [
        {"key": ""},
        {"key": "id", "dtype": "float64"},
        {"keys": ["id"]},
        {"keys": {}},
        {"keys": {"id": "float64"}},
        {"keys": {"": "int64"}},
    ],
)
def test_what_an_entity_refuses(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EntitySpec.model_validate(block)


@pytest.mark.parametrize("block", [{}, {"offline": {"type": "duckdb"}, "online": {"type": "sqlite"}}])
def test_the_store_block_and_its_defaults(block: dict[str, Any]) -> None:
    assert FeatureStore.model_validate(block) == FeatureStore()


@pytest.mark.parametrize(
    "block",
    [
        {"offline": {"type": "dask"}},  # drops rows without features
        {"online": {"type": "redis"}},
        {"online": {"type": "sqlite", "path": "x"}},
        {"registry": {}},
    ],
)
def test_only_stores_that_work_are_taken(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FeatureStore.model_validate(block)
