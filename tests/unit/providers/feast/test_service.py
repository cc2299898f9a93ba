"""Feature services: which features, in which order, looked up and computed how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Kind
from mlctl.providers.feast.service import FeatureService
from mlctl.providers.feast.spec import FeatureServiceSpec, FeatureViewSpec, OnDemandViewSpec
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Transformation
from mlctl.types.jobs.server import ServedFeatures
from mlctl.types.state import Record

HOUSEHOLD, PRODUCT = {"name": "household_id", "type": "int64"}, {"name": "product_id", "type": "string"}
STORE = {
    "project": "p", "registry": "r", "online": {"type": "sqlite", "path": "o"}, "offline": {"type": "duckdb"},
}  # fmt: skip


def view(name: str, keys: list[dict[str, str]], features: list[str], digest: str = "v") -> Record:
    outputs = {
        "view": name, "keys": keys, "features": dict.fromkeys(features, "float64"), "offline": f"{name}.parquet", "ttl_seconds": 60,
        "grid_seconds": 3600, "sparse": False, "until": "2024-02-01T00:00:00", "online": True, "store": STORE, "digest": digest,
    }  # fmt: skip
    return Record(ObjectKey.parse(f"feature_views.{name}#"), name, outputs=outputs)


def on_demand(request: dict[str, str], inputs: list[str], views: list[Record], digest: str = "t") -> Record:
    made = Transformation.model_validate(
        {
            "view": "ratios", "root": "code", "file": "f.py", "function": "f", "closure": ["f.py"], "code_digest": "c",
            "request": request, "inputs": inputs, "features": {"share": "float64"},
        }
    )  # fmt: skip
    outputs = {
        "features": dict(made.features), "transformation": made.model_dump(mode="json"), "views": [dict(item.outputs) for item in views],
        "digest": digest,
    }  # fmt: skip
    return Record(ObjectKey.parse("on_demand_views.ratios#1"), "1", outputs=outputs)


SPENDING = view("spending", [HOUSEHOLD], ["spent_7d", "spent_30d", "visits"])
GOODS = view("goods", [HOUSEHOLD, PRODUCT], ["bought_7d"])
RATIOS = on_demand({"basket": "float64"}, ["spent_7d"], [SPENDING])


def served(root: Path, block: dict[str, Any], *records: Record) -> Record:
    inputs = {str(record.key.address): record for record in records}
    return apply_once(FeatureService(), "feature_services.offer", block, make_context(root), inputs)


def test_it_is_a_kind() -> None:
    assert isinstance(FeatureService(), Kind)


def test_all_features_come_in_the_order_of_its_views(tmp_path: Path) -> None:
    made = served(tmp_path, {"views": ["spending", "goods"], "on_demand": ["ratios"]}, SPENDING, GOODS, RATIOS)
    serving = ServedFeatures.model_validate(made.outputs["serving"])
    assert serving.columns == ["spent_7d", "spent_30d", "visits", "bought_7d", "share"]
    assert [key.name for key in serving.keys] == ["household_id", "product_id"]
    assert made.outputs["request"] == {"basket": "float64"}
    assert FeatureService().describe(made) == "5 features by household_id, product_id"


def test_a_selection_is_in_its_own_order_and_only_what_it_needs_is_looked_up(tmp_path: Path) -> None:
    block = {"views": ["spending"], "on_demand": ["ratios"], "features": ["share", "visits"]}
    serving = ServedFeatures.model_validate(served(tmp_path, block, SPENDING, RATIOS).outputs["serving"])
    assert serving.columns == ["share", "visits"]
    assert [item.features for item in serving.views] == [["spent_7d", "visits"]]  # spent_7d for the function


def test_what_a_function_reads_comes_with_it(tmp_path: Path) -> None:
    made = served(tmp_path, {"on_demand": ["ratios"]}, RATIOS)
    assert [item["view"] for item in made.outputs["views"]] == ["spending"]
    assert made.outputs["serving"]["columns"] == ["share"]


@pytest.mark.parametrize(
    ("block", "records"),
    [
        ({"views": ["spending"], "on_demand": ["ratios"]}, [view("spending", [HOUSEHOLD], ["spent_7d", "spent_30d", "visits"], "w"), RATIOS]),
        ({"views": ["spending"], "on_demand": ["ratios"]}, [SPENDING, on_demand({"basket": "float64"}, ["spent_7d"], [SPENDING], "u")]),
        ({"views": ["spending"], "on_demand": ["ratios"], "features": ["share", "visits"]}, [SPENDING, RATIOS]),
    ],
)  # fmt: skip
def test_other_data_other_code_and_another_selection_are_another_digest(
    tmp_path: Path, block: dict[str, Any], records: list[Record]
) -> None:
    before = served(tmp_path, {"views": ["spending"], "on_demand": ["ratios"]}, SPENDING, RATIOS)
    assert served(tmp_path, block, *records).digest != before.digest


@pytest.mark.parametrize(
    ("block", "code"),
    [
        ({}, "features.empty-service"),
        ({"views": ["a", "a"]}, "features.duplicate"),
        ({"views": ["a"], "features": ["x", "x"]}, "features.duplicate"),
    ],
)
def test_a_block_that_says_nothing_or_twice_is_refused(tmp_path: Path, block: dict[str, Any], code: str) -> None:
    found = FeatureService().check(FeatureServiceSpec.model_validate(block), make_context(tmp_path))
    assert [item.code for item in found] == [code]


@pytest.mark.parametrize(
    ("block", "code", "path"),
    [
        ({"views": ["spending"], "features": ["visit"]}, "features.unknown-feature", ("features", 0)),
        ({"views": ["spending", "scores"], "features": ["visits"]}, "features.unused", ("views", 1)),
        ({"views": ["spending", "twice"]}, "features.name-collision", ("views",)),
        ({"views": ["spending", "shouted"]}, "features.name-collision", ("views",)),
        ({"views": ["ratios"], "on_demand": ["ratios"]}, "features.name-collision", ("on_demand",)),
        ({"views": ["spending"], "on_demand": ["ratios"], "features": ["visits"]}, "features.unused", ("on_demand", 0)),
    ],
)
def test_what_does_not_go_together_is_found_offline(
    tmp_path: Path, block: dict[str, Any], code: str, path: tuple[Any, ...]
) -> None:
    def table(*names: str) -> FeatureViewSpec:
        return FeatureViewSpec.model_validate({"entity": "h", "source": "s", "features": {name: {} for name in names}})

    demand = {"function": "f.py:f", "request": {"basket": "int64"}, "features": {"share": "float64"}}
    address = Address("feature_services", "offer")
    specs = {
        address: FeatureServiceSpec.model_validate(block),
        Address("feature_views", "spending"): table("visits"),
        Address("feature_views", "scores"): table("risk"),
        Address("feature_views", "twice"): table("visits"),
        Address("feature_views", "shouted"): table("VISITS"),
        Address("feature_views", "ratios"): table("share"),
        Address("on_demand_views", "ratios"): OnDemandViewSpec.model_validate(demand),
    }
    found = [item for _, item in FeatureService().check_together(specs, {}, make_context(tmp_path))]
    assert (code, path) in [(item.code, item.path) for item in found]


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([SPENDING, view("goods", [{**HOUSEHOLD, "type": "string"}], ["bought_7d"]), RATIOS], "features.key-type"),
        ([SPENDING, GOODS, on_demand({"product_id": "int64"}, ["spent_7d"], [SPENDING])], "features.name-collision"),
    ],
)
def test_a_column_of_a_request_is_one_thing(tmp_path: Path, records: list[Record], code: str) -> None:
    with pytest.raises(MlctlError) as caught:
        served(tmp_path, {"views": ["spending", "goods"], "on_demand": ["ratios"]}, *records)
    assert caught.value.diagnostics[0].code == code
