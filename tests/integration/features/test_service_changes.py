"""What a change of a function, of its description, or of a feature's meaning makes run, through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.features.shop import DAYS, MONEY, START, write_purchases, write_visits

pytestmark = pytest.mark.tools
PROJECT = """
project: shop
datasets:
  purchases: {path: purchases.csv, timestamp: at, key: [purchase_id]}
  visits: {path: visits.csv, timestamp: at, key: [household_id, product_id]}
entities:
  household: {key: household_id}
feature_views:
  spending:
    entity: household
    source: purchases
    features:
      spent: {aggregate: sum, column: price, windows: [7d, 14d]}
on_demand_views:
  habits:
    function: src/habits.py:share
    request: {basket: float64}
    views: [spending]
    features: {basket_share: float64}
feature_services:
  offer: {views: [spending], on_demand: [habits], features: [basket_share, spent_14d]}
training:
  offer:
    data: {labels: visits, service: offer, target: bought, split: {by: random}}
    model: {type: mlp, hidden: [4]}
    epochs: 1
    optimizer: {type: adamw, lr: 0.01}
"""
SHARE = """
from src.money import in_units


def share(basket, spent_7d):
    return {"basket_share": in_units(basket) / (spent_7d + 1.0)}
"""


def mlctl(root: Path, *arguments: str, code: int = 0) -> str:
    command = [str(Path(sys.executable).with_name("mlctl")), *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def planned(root: Path) -> dict[str, dict[str, Any]]:
    """What a plan would do, by address."""
    lines = [json.loads(line) for line in mlctl(root, "plan", "--json").splitlines()]
    return {line["address"]: line for line in lines if line["type"] == "planned_change"}


def started(root: Path) -> list[str]:
    """What an apply runs, in order."""
    lines = [json.loads(line) for line in mlctl(root, "apply", "--auto-approve", "--json").splitlines()]
    return [line["address"] for line in lines if line["type"] == "apply_start"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "src").mkdir()
    (folder / "src" / "habits.py").write_text(SHARE)
    (folder / "src" / "money.py").write_text(MONEY)
    (folder / "mlctl.yaml").write_text(PROJECT)
    write_purchases(folder / "purchases.csv")
    write_visits(folder / "visits.csv", START + timedelta(days=DAYS), seed=1)
    mlctl(folder, "apply", "--auto-approve")
    return folder


def test_nothing_is_to_be_done_after_an_apply(root: Path) -> None:
    assert planned(root) == {}


def test_what_is_said_about_features_runs_nothing_and_is_noted_once(root: Path) -> None:
    before = (root / "mlctl.yaml").read_text()
    told = before.replace("windows: [7d, 14d]}", "windows: [7d, 14d], description: money spent}").replace(
        "    function:", "    description: how much of it is in this basket\n    owner: features\n    function:"
    )
    (root / "mlctl.yaml").write_text(told)
    found = planned(root)
    assert {address: item["reason"] for address, item in found.items()} == {
        "feature_views.spending": "metadata-changed",
        "on_demand_views.habits": "metadata-changed",
    }
    assert found["feature_views.spending"]["fields"][0]["path"] == "features.spent.description"
    assert started(root) == []
    assert planned(root) == {}
    (root / "mlctl.yaml").write_text(before)
    assert started(root) == []
    assert planned(root) == {}


def test_a_file_that_the_function_does_not_import_is_nothing_to_it(root: Path) -> None:
    (root / "src" / "other.py").write_text("x = 1\n")
    assert planned(root) == {}


def test_a_change_of_the_code_retrains_and_why_says_so(root: Path) -> None:
    (root / "src" / "money.py").write_text(MONEY.replace("100.0", "1000.0"))
    found = planned(root)
    assert [item["path"] for item in found["on_demand_views.habits"]["fields"]] == ["code:src/money.py"]
    assert sorted(found) == ["feature_services.offer", "on_demand_views.habits", "training.offer"]
    assert "code:src/money.py" in mlctl(root, "why", "on_demand_views.habits")
    assert "feature_services.offer" in mlctl(root, "why", "training.offer")
    assert started(root) == ["on_demand_views.habits", "feature_services.offer", "training.offer"]
    assert planned(root) == {}


def test_code_that_computes_the_same_is_still_other_code(root: Path) -> None:
    (root / "src" / "habits.py").write_text(SHARE + "\n# the same\n")
    assert "training.offer" in planned(root)
    (root / "src" / "habits.py").write_text(SHARE)
    assert planned(root) == {}
