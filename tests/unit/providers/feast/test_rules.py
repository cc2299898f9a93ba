"""Every rule of a feature view has a block that breaks it."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.providers.feast.rules import block_problems, entity_problems
from mlctl.providers.feast.source_rules import source_problems
from mlctl.providers.feast.spec import EntitySpec, FeatureViewSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Severity

ADDRESS = Address("feature_views", "shopping")
ENTITY = {"name": "household", "keys": [{"name": "household_id", "type": "int64"}]}
DATASET = {
    "columns": {
        "household_id": "bigint",
        "bought_at": "timestamp",
        "price": "double",
        "amount": "decimal(18,2)",
        "pieces": "integer",
        "shop": "varchar",
    },
    "timestamp": "bought_at",
}


def view(features: dict[str, Any] | None = None, **fields: Any) -> FeatureViewSpec:
    block = {
        "entity": "household",
        "source": "purchases",
        "features": features or {"n_7d": {"aggregate": "count", "window": "7d"}},
    }
    return FeatureViewSpec.model_validate({**block, **fields})


def feature(**fields: Any) -> dict[str, Any]:
    return {"x": {"aggregate": "sum", "column": "price", "window": "7d", **fields}}


def keyed(name: str, kind: str = "int64") -> dict[str, Any]:
    return {**ENTITY, "keys": [{"name": name, "type": kind}]}


COMPUTED = {"price": {}, "cost": {"column": "amount", "dtype": "float32"}}


@pytest.mark.parametrize(
    "block",
    [
        view(),
        view(feature(window=None, windows=["7d", "30d"])),
        view(feature(where="shop = 'north'")),
        view(feature(aggregate="ratio", over="amount")),
        view(feature(aggregate="ratio", over="amount", where="pieces > 1")),
        view({"x": {"aggregate": "ratio", "where": "pieces > 1", "window": "7d"}}),
        view(feature(column="net"), columns={"net": "price - amount"}, where="shop IS NOT NULL"),
        view(feature(window="10s"), grid="1s", snapshots="sparse"),
        view(feature(), snapshots="sparse"),
        view(COMPUTED),
        view(COMPUTED, ttl="1h"),
        view(feature()),
        view(feature(), grid="1h"),
        view({"x": {"aggregate": "count", "window": "90m"}}, grid="30m"),
        view(feature(), ttl="1d"),
        view(feature(dtype="float32")),
    ],
)
def test_a_sound_block_has_no_problem(block: FeatureViewSpec) -> None:
    assert list(block_problems(block)) == []
    assert list(source_problems(block, ENTITY, DATASET, ADDRESS)) == []


@pytest.mark.parametrize(
    ("block", "code", "path"),
    [
        (view(grid="7h"), "features.bad-grid", ("grid",)),
        (view(grid="7d"), "features.bad-grid", ("grid",)),
        (view(grid="30s"), "features.bad-grid", ("grid",)),
        (view(grid="0.5s", snapshots="sparse"), "features.bad-grid", ("grid",)),
        (view(feature(window=None)), "features.one-window", ("features", "x")),
        (view(feature(windows=["7d"])), "features.one-window", ("features", "x")),
        (
            view(feature(window=None, windows=["7d", "36h"])),
            "features.window-not-on-grid",
            ("features", "x", "windows"),
        ),
        (view(feature(window=None, windows=["7d", "168h"])), "features.name-collision", ("features", "x")),
        (view(feature(over="amount")), "features.unused", ("features", "x", "over")),
        (view({"x": {"aggregate": "ratio", "window": "7d"}}), "features.no-column", ("features", "x")),
        (
            view(feature(aggregate="ratio", over="amount", dtype="int64")),
            "features.bad-dtype",
            ("features", "x", "dtype"),
        ),
        (view({"x": feature()["x"], "y": {"column": "price"}}), "features.mixed", ("features", "y")),
        (view(COMPUTED, grid="1d"), "features.unused", ("grid",)),
        (view(COMPUTED, snapshots="dense"), "features.unused", ("snapshots",)),
        (view({"price": {"window": "7d"}}), "features.unused", ("features", "price", "window")),
        (view({"price": {"where": "price > 1"}}), "features.unused", ("features", "price", "where")),
        (view(columns={"N": "price", "n": "amount"}), "features.name-collision", ("columns", "n")),
        (view(columns={"event_timestamp": "bought_at"}), "features.name-collision", ("columns", "event_timestamp")),
        (view(ttl="0s"), "features.bad-ttl", ("ttl",)),
        (view(ttl="1500ms"), "features.bad-ttl", ("ttl",)),
        (view(feature(column=None)), "features.no-column", ("features", "x")),
        (view(feature(window="36h")), "features.window-not-on-grid", ("features", "x", "window")),
        (view(feature(window="1h")), "features.window-not-on-grid", ("features", "x", "window")),
        (view(feature(window="0d")), "features.window-not-on-grid", ("features", "x", "window")),
        (view(feature(aggregate="mean", dtype="int64")), "features.bad-dtype", ("features", "x", "dtype")),
        (view({"event_timestamp": feature()["x"]}), "features.name-collision", ("features", "event_timestamp")),
        (view({"x": feature()["x"], "X": feature()["x"]}), "features.name-collision", ("features", "X")),
    ],
)
def test_a_rule_of_the_block(block: FeatureViewSpec, code: str, path: tuple[str, ...]) -> None:
    found = [item for item in block_problems(block) if item.severity is Severity.ERROR]
    assert [(item.code, item.path) for item in found] == [(code, path)]


def test_a_ttl_below_the_grid_is_a_warning() -> None:
    assert [(item.code, item.severity) for item in block_problems(view(ttl="1h"))] == [
        ("features.ttl-below-grid", Severity.WARNING)
    ]


@pytest.mark.parametrize(
    ("block", "entity", "dataset", "code"),
    [
        (view(), ENTITY, {**DATASET, "timestamp": None}, "features.no-timestamp"),
        (view(), ENTITY, {**DATASET, "timestamp": "price"}, "features.not-a-timestamp"),
        (view(), keyed("houshold_id"), DATASET, "data.missing-column"),
        (view(), keyed("household_id", "string"), DATASET, "features.key-type"),
        (view(), keyed("price"), DATASET, "features.key-type"),
        (view(feature(column="pric")), ENTITY, DATASET, "data.missing-column"),
        (view({"x": {"aggregate": "count", "column": "nope", "window": "7d"}}), ENTITY, DATASET, "data.missing-column"),
        (view(feature(column="shop")), ENTITY, DATASET, "features.not-numeric"),
        (view(feature(column="bought_at", aggregate="max")), ENTITY, DATASET, "features.not-numeric"),
        (view(feature(dtype="int64")), ENTITY, DATASET, "features.bad-dtype"),
        (view(feature(column="amount", dtype="int64")), ENTITY, DATASET, "features.bad-dtype"),
        (view({"household_id": feature()["x"]}), ENTITY, DATASET, "features.name-collision"),
        (view(feature(aggregate="ratio", over="nope")), ENTITY, DATASET, "data.missing-column"),
        (view(feature(aggregate="ratio", over="shop")), ENTITY, DATASET, "features.not-numeric"),
        (view(columns={"Price": "amount"}), ENTITY, DATASET, "features.name-collision"),
        (view({"spent": {}}), ENTITY, DATASET, "data.missing-column"),
        (view({"shop": {}}), ENTITY, DATASET, "features.not-numeric"),
        (view({"price": {"dtype": "int64"}}), ENTITY, DATASET, "features.bad-dtype"),
        (
            view(),
            {**ENTITY, "keys": [*ENTITY["keys"], {"name": "product_id", "type": "int64"}]},
            DATASET,
            "data.missing-column",
        ),
    ],
)
def test_a_rule_of_the_source(block: FeatureViewSpec, entity: Any, dataset: Any, code: str) -> None:
    assert [item.code for item in source_problems(block, entity, dataset, ADDRESS)] == [code]


@pytest.mark.parametrize(
    "fields",
    [
        {"aggregate": "sum", "column": "pieces", "dtype": "int64"},
        {"aggregate": "max", "column": "amount"},
        {"aggregate": "count_distinct", "column": "shop"},
        {"aggregate": "count", "column": "shop"},
    ],
)
def test_types_that_fit(fields: Any) -> None:
    assert list(source_problems(view({"x": {"window": "7d", **fields}}), ENTITY, DATASET, ADDRESS)) == []


@pytest.mark.parametrize(
    ("block", "code", "path"),
    [
        ({}, "features.one-key", ()),
        ({"key": "a", "keys": {"a": "int64"}}, "features.one-key", ("keys",)),
        ({"keys": {"a": "int64"}, "dtype": "int64"}, "features.unused", ("dtype",)),
        ({"keys": {"a": "int64", "A": "string"}}, "features.name-collision", ("keys", "A")),
        ({"keys": {"event_timestamp": "string"}}, "features.name-collision", ("keys", "event_timestamp")),
    ],
)
def test_a_rule_of_an_entity(block: dict[str, Any], code: str, path: tuple[str, ...]) -> None:
    assert [(item.code, item.path) for item in entity_problems(EntitySpec.model_validate(block))] == [(code, path)]


@pytest.mark.parametrize(
    "block", [{"key": "a"}, {"key": "a", "dtype": "string"}, {"keys": {"a": "int64", "b": "string"}}]
)
def test_a_sound_entity_has_no_problem(block: dict[str, Any]) -> None:
    assert list(entity_problems(EntitySpec.model_validate(block))) == []


def test_a_near_miss_is_suggested_and_all_problems_come_at_once() -> None:
    block = view({"x": feature(column="pric")["x"], "y": feature(column="shop")["x"]})
    found = list(source_problems(block, keyed("household_id", "string"), {**DATASET, "timestamp": None}, ADDRESS))
    assert [item.code for item in found] == [
        "features.no-timestamp",
        "features.key-type",
        "data.missing-column",
        "features.not-numeric",
    ]
    assert "did you mean `price`?" in found[2].fix
    assert {item.address for item in found} == {"feature_views.shopping"}
