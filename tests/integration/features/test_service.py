"""One definition for training and serving: what a training joined and computed, the real server gives again, bit for bit."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Condition, Observed
from mlctl.providers.serving.client import predict
from mlctl.types.diagnostic import MlctlError
from tests.integration.features.shop import MONEY, Shop, read_csv

pytestmark = pytest.mark.tools
COLUMNS = ["surprise", "spent_14d", "tries", "basket_share", "per_visit"]
NOBODY = 11  # a household without a purchase


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("shop"))
    try:
        made.make_features()
        made.make_model()
        made.deploy()
        yield made
    finally:
        made.end()


def trained_rows(shop: Shop) -> dict[tuple[int, str], dict[str, float | None]]:
    """The table that the training learnt from, by key."""
    import duckdb

    path = next(shop.root.glob(".mlctl/default/objects/training.offer/*/table/table.parquet"))
    names = ["household_id", "product_id", *COLUMNS]
    text = ", ".join(names)
    rows = duckdb.sql(f"SELECT {text} FROM read_parquet('{path}')").fetchall()
    return {
        row[:2]: {name: None if value != value else value for name, value in zip(COLUMNS, row[2:], strict=True)}
        for row in rows
    }


def bits(value: float | None) -> bytes | None:
    return None if value is None else struct.pack("<d", value)


def request_of(row: dict[str, str]) -> dict[str, Any]:
    return {
        "household_id": int(row["household_id"]),
        "product_id": row["product_id"],
        "basket": float(row["basket"]) if row["basket"] else None,
        "coupons": int(row["coupons"]),
    }


def logged(shop: Shop, rows: int) -> list[dict[str, Any]]:
    """The prediction log, when it has so many rows with a score."""
    folder = shop.root / str(shop.made["deployments.api"].outputs["predictions"])
    deadline = time.monotonic() + 10
    found: list[dict[str, Any]] = []
    while len(found) < rows:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
        found = [row for row in map(json.loads, lines) if row["score"] is not None]
    return found


def test_the_server_gives_every_feature_that_training_saw_to_the_bit(shop: Shop) -> None:
    visits = [request_of(row) for row in read_csv(shop.root / "visits.csv") if int(row["household_id"]) != NOBODY]
    answer = predict(shop.made["deployments.api"], {"keys": visits})
    assert len(answer["predictions"]) == len(visits)
    trained = trained_rows(shop)
    rows = logged(shop, len(visits))
    compared = 0
    for asked, row in zip(visits, rows, strict=True):
        assert row["key"] == {name: asked[name] for name in ("household_id", "product_id")}
        assert row["request"] == {name: asked[name] for name in ("basket", "coupons")}
        learnt = trained[asked["household_id"], asked["product_id"]]
        assert list(row["features"]) == COLUMNS
        for name in COLUMNS:
            assert bits(row["features"][name]) == bits(learnt[name]), (asked, name)
            compared += learnt[name] is not None
    assert compared > 200  # and not one missing value compared with another


def test_one_row_alone_gets_what_it_gets_among_others(shop: Shop) -> None:
    visits = [request_of(row) for row in read_csv(shop.root / "visits.csv")[:8]]
    together = predict(shop.made["deployments.api"], {"keys": visits})["predictions"]
    alone = [predict(shop.made["deployments.api"], visit)["predictions"][0] for visit in visits]
    assert [item.get("missing") for item in alone] == [item.get("missing") for item in together]
    assert [item["score"] for item in alone] == pytest.approx([item["score"] for item in together])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"household_id": 1, "product_id": "p1", "basket": 5.0}, "predict.missing-field"),
        ({"household_id": 1, "product_id": "p1", "basket": 5.0, "coupons": 0.5}, "predict.bad-value"),
        ({"household_id": 1, "product_id": 1, "basket": 5.0, "coupons": 0}, "predict.bad-key"),
        ({"household_id": 99, "product_id": "p9", "basket": 5.0, "coupons": 0}, "predict.unknown-key"),
        ({"keys": [1]}, "predict.bad-key"),
    ],
)
def test_a_request_that_lacks_something_is_told_what(shop: Shop, body: dict[str, Any], code: str) -> None:
    with pytest.raises(MlctlError) as caught:
        predict(shop.made["deployments.api"], body)
    assert caught.value.diagnostics[0].code == code


def test_the_openapi_page_says_what_a_row_is(shop: Shop) -> None:
    import urllib.request

    with urllib.request.urlopen(f"{shop.made['deployments.api'].outputs['url']}/openapi.json") as answer:
        page = json.load(answer)
    forms = page["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    [row] = [form for form in forms if "household_id" in form["required"]]
    assert row["properties"] == {
        "household_id": {"type": "integer"},
        "product_id": {"type": "string"},
        "basket": {"type": ["number", "null"]},
        "coupons": {"type": ["integer", "null"]},
    }


def test_the_model_carries_its_code_and_does_not_mind_what_becomes_of_the_project(shop: Shop) -> None:
    served = shop.made["evaluations.gate"].outputs["serving"]["transformations"]
    model = str(shop.made["training.offer"].outputs["model"])
    assert [item["root"] for item in served] == [f"{model}/transformations/0"]
    kept = (shop.root / model / "transformations" / "0" / "src" / "habits.py").read_text()
    assert kept == (shop.root / "src" / "habits.py").read_text()


def test_lineage_leads_from_the_score_to_the_columns_of_the_data(shop: Shop) -> None:
    score = shop.made["training.offer"].outputs["lineage"]["score"]
    assert ["feature_services.offer", "basket_share"] in score["from"]
    offer = shop.made["feature_services.offer"].outputs["lineage"]
    assert offer["basket_share"]["from"] == [["on_demand_views.habits", "basket_share"]]
    habits = shop.made["on_demand_views.habits"].outputs["lineage"]["basket_share"]
    assert ["feature_views.household_view", "spent_7d"] in habits["from"]
    spent = shop.made["feature_views.household_view"].outputs["lineage"]["spent_7d"]
    assert spent["columns"] == ["price", "pieces"]
    assert spent["from"] == [["datasets.purchases", "price"], ["datasets.purchases", "pieces"]]
    assert (spent["aggregate"], spent["window"], spent["where"]) == ("sum", "7d", "price > 0")


def test_a_function_that_does_not_do_what_its_block_says_is_refused_when_it_is_applied(shop: Shop) -> None:
    (shop.root / "src" / "bad.py").write_text(
        "def wrong(spent_7d):\n    return {'x': spent_7d.mean()}\n\n"
        "def failing(spent_7d):\n    return {'x': spent_7d.nothing}\n\n"
        "def ranking(spent_7d):\n    return {'x': spent_7d.argsort()}\n"
    )
    for name, code, said in (
        ("wrong", "features.bad-transformation", "shape ()"),
        ("failing", "features.transformation-failed", "line 5"),
        ("ranking", "features.not-row-wise", "alone"),
    ):
        block = {"function": f"src/bad.py:{name}", "views": ["household_view"], "features": {"x": "float64"}}
        with pytest.raises(MlctlError) as caught:
            shop.make(f"on_demand_views.{name}", block, "feature_views.household_view")
        [problem] = caught.value.diagnostics
        assert (problem.code, said in problem.summary) == (code, True), problem
        assert f"src/bad.py:{name}" in problem.summary


def test_kept_code_that_was_changed_is_seen_by_a_deep_look_and_put_back(shop: Shop) -> None:
    made = shop.made["on_demand_views.habits"]
    kind = shop.registry.kind("on_demand_views")
    kept = shop.root / made.outputs["transformation"]["root"] / "src" / "money.py"
    kept.write_text("def in_units(cents):\n    return cents\n")
    deep = replace(shop.ctx, deep=True)
    assert kind.read(made, shop.ctx) == Observed()
    assert kind.read(made, deep) == Observed(
        condition=Condition.BROKEN, detail="its kept code was changed by something else"
    )
    again = shop.make("on_demand_views.habits", made.spec, *(str(use.key.address) for use in made.uses))
    assert (kept.read_text(), again.outputs) == (MONEY, made.outputs)
    kept.unlink()
    assert kind.read(made, shop.ctx) is None
    assert shop.make("on_demand_views.habits", made.spec, *(str(use.key.address) for use in made.uses)) == again


def test_a_model_of_what_requests_bring_needs_no_view_and_no_store(shop: Shop) -> None:
    (shop.root / "src" / "alone.py").write_text(
        "def alone(basket, coupons):\n    return {'weight': basket * 2, 'used': coupons > 0}\n"
    )
    block = {
        "function": "src/alone.py:alone",
        "request": {"basket": "float64", "coupons": "int64"},
        "features": {"weight": "float64", "used": "int64"},
    }
    shop.make("on_demand_views.alone", block)
    shop.make("feature_services.alone", {"on_demand": ["alone"]}, "on_demand_views.alone")
    training = {
        "data": {"labels": "visits", "service": "alone", "target": "bought", "split": {"by": "random"}},
        "model": {"type": "mlp", "hidden": [2]}, "epochs": 1, "optimizer": {"type": "adamw", "lr": 0.01},
    }  # fmt: skip
    made = shop.make("training.alone", training, "datasets.visits", "feature_services.alone")
    serving = made.outputs["serving"]
    assert (serving["columns"], serving["keys"], serving["store"]) == (["weight", "used"], [], None)
    [profile] = [json.loads((shop.root / str(made.outputs["training_profile"])).read_text())]
    assert set(profile["columns"]) == {"weight", "used"}


def test_labels_without_what_a_request_brings_are_refused(shop: Shop, tmp_path: Path) -> None:
    rows = read_csv(shop.root / "visits.csv")
    text = "household_id,product_id,at,coupons,bought\n" + "".join(
        f"{row['household_id']},{row['product_id']},{row['at']},{row['coupons']},{row['bought']}\n" for row in rows
    )
    (shop.root / "plain.csv").write_text(text)
    shop.make("datasets.plain", {"path": "plain.csv", "timestamp": "at", "key": ["household_id", "product_id"]})
    training = {
        "data": {"labels": "plain", "service": "offer", "target": "bought", "split": {"by": "random"}},
        "model": {"type": "mlp", "hidden": [2]}, "epochs": 1, "optimizer": {"type": "adamw", "lr": 0.01},
    }  # fmt: skip
    with pytest.raises(MlctlError) as caught:
        shop.make("training.plain", training, "datasets.plain", "feature_services.offer")
    assert "the labels have no column `basket`" in caught.value.diagnostics[0].summary
