"""A shop from purchases to a served model: two entities, a function of the project, and one feature service for them all."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.registry import Registry
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.address import Address
from mlctl.types.state import Record
from tests.integration.serving.project import free_port

START = datetime(2024, 1, 1)
DAYS, HOUSEHOLDS, PRODUCTS = 20, 12, 5
CODE = """
import numpy as np

from src.money import in_units


def habits(basket, coupons, spent_7d, per_visit, bought_14d):
    usual = np.where(np.isnan(per_visit), 1.0, np.sqrt(np.abs(per_visit)))
    return {
        "basket_share": in_units(basket) / (spent_7d + 1.0 / 3.0),
        "surprise": np.log1p(np.abs(basket)) * np.exp(-usual) + 0.1 * coupons,
        "tries": np.floor(bought_14d) + 1,
    }
"""
MONEY = "def in_units(cents):\n    return cents / 100.0 * 1.1\n"
FEATURES = {
    "household_view": {
        "spent": {"aggregate": "sum", "column": "net", "windows": ["7d", "14d"]},
        "per_visit": {"aggregate": "ratio", "column": "net", "where": "pieces > 1", "window": "7d", "dtype": "float32"},
    },
    "product_view": {"bought_14d": {"aggregate": "sum", "column": "pieces", "window": "14d", "dtype": "int64"}},
}


class Shop:
    """Every object is made by its own kind, with the tools it really uses."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ctx = make_context(root, {"feature_store": {}}, project="shop")
        self.registry = Registry()
        self.made: dict[str, Record] = {}
        (root / "src").mkdir()
        (root / "src" / "habits.py").write_text(CODE)
        (root / "src" / "money.py").write_text(MONEY)
        write_purchases(root / "purchases.csv")
        write_visits(root / "visits.csv", START + timedelta(days=DAYS), seed=1)
        write_visits(root / "later.csv", START + timedelta(days=DAYS, hours=1), seed=2)

    def make(self, address: str, values: Mapping[str, Any], *inputs: str) -> Record:
        """Apply a block; `inputs` are addresses of what was made before."""
        kind = self.registry.kind(Address.parse(address).section)
        known = {name: self.made[name] for name in inputs}
        self.made[address] = apply_once(kind, address, values, self.ctx, known)
        return self.made[address]

    def make_features(self) -> None:
        """Data sets, entities, views, the function and the service."""
        self.make("datasets.purchases", {"path": "purchases.csv", "timestamp": "at", "key": ["purchase_id"]})
        for name in ("visits", "later"):
            self.make(
                f"datasets.{name}", {"path": f"{name}.csv", "timestamp": "at", "key": ["household_id", "product_id"]}
            )
        self.make("entities.household", {"key": "household_id"})
        self.make("entities.shelf", {"keys": {"household_id": "int64", "product_id": "string"}})
        block = {
            "source": "purchases",
            "columns": {"net": "price * pieces - 0.01"},
            "where": "price > 0",
            "online": True,
        }
        self.make(
            "feature_views.household_view",
            {**block, "entity": "household", "features": FEATURES["household_view"]},
            "datasets.purchases",
            "entities.household",
        )
        self.make(
            "feature_views.product_view",
            {**block, "columns": {}, "entity": "shelf", "features": FEATURES["product_view"]},
            "datasets.purchases",
            "entities.shelf",
        )
        views = ("feature_views.household_view", "feature_views.product_view")
        self.make(
            "on_demand_views.habits",
            {
                "function": "src/habits.py:habits",
                "request": {"basket": "float32", "coupons": "int64"},
                "views": ["household_view", "product_view"],
                "features": {"basket_share": "float64", "surprise": "float32", "tries": "int64"},
            },
            *views,
        )
        service = {
            "views": ["household_view"],
            "on_demand": ["habits"],
            "features": ["surprise", "spent_14d", "tries", "basket_share", "per_visit"],
        }
        self.make("feature_services.offer", service, "feature_views.household_view", "on_demand_views.habits")

    def make_model(self) -> None:
        """Train on the service, and let the model through."""
        training = {
            "data": {"labels": "visits", "service": "offer", "target": "bought", "split": {"by": "random"}},
            "model": {"type": "mlp", "hidden": [4]}, "epochs": 2, "batch_size": 16, "optimizer": {"type": "adamw", "lr": 0.01},
        }  # fmt: skip
        self.make("training.offer", training, "datasets.visits", "feature_services.offer")
        gate = {
            "model": "${training.offer.model}",
            "dataset": "later",
            "require": {"roc_auc": {"min": 0}},
            "register": {"name": "offer", "alias": "champion"},
        }
        self.make("evaluations.gate", gate, "training.offer", "datasets.later")

    def deploy(self) -> Record:
        """Serve the model."""
        block = {"model": "offer@champion", "serve": {"port": free_port()}}
        return self.make("deployments.api", block, "evaluations.gate")

    def end(self) -> None:
        """Stop the server."""
        record = self.made.get("deployments.api")
        if record is not None:
            self.registry.kind("deployments").delete(record, self.ctx)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def write_purchases(path: Path) -> None:
    """900 purchases of all households but the last."""
    draw = random.Random(7)
    rows = [
        [
            number,
            draw.randrange(HOUSEHOLDS - 1),  # the last household never bought anything
            f"p{draw.randrange(PRODUCTS)}",
            round(draw.lognormvariate(1, 1), 2),
            draw.randrange(1, 5),
            (START + timedelta(minutes=draw.randrange(DAYS * 1440))).isoformat(" "),
        ]
        for number in range(900)
    ]
    _write(path, ["purchase_id", "household_id", "product_id", "price", "pieces", "at"], rows)


def write_visits(path: Path, at: datetime, seed: int) -> None:
    """A visit of each household to each shelf, at one time, with what the request brings and the target."""
    draw = random.Random(seed)
    rows = [
        [
            household,
            f"p{product}",
            at.isoformat(" "),
            "" if draw.random() < 0.1 else repr(draw.uniform(1, 5000)),
            draw.randrange(4),
            int(draw.random() < 0.4),
        ]
        for household in range(HOUSEHOLDS)
        for product in range(PRODUCTS)
    ]
    _write(path, ["household_id", "product_id", "at", "basket", "coupons", "bought"], rows)


def _write(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
