"""A matrix of real trainings, two processes each, and an evaluation of each of them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.imports.test_command import Shop

pytestmark = [pytest.mark.tools, pytest.mark.slow]

MLCTL = str(Path(sys.executable).with_name("mlctl"))
FILE = """
project: shop
datasets:
  labels: {path: labels.csv, timestamp: at, key: [customer, at]}
  holdout: {path: holdout.csv, timestamp: at, key: [customer, at]}
training:
  churn:
    matrix: {lr: [0.01, 0.03]}
    data: {labels: labels, columns: [visits, spent], target: churned, split: {by: time, test: 20%}}
    model: {type: mlp, hidden: [4]}
    strategy: {type: ddp, processes: 2}
    epochs: 6
    batch_size: 32
    optimizer: {lr: "${matrix.lr}"}
evaluations:
  gate:
    for_each: training.churn
    model: '${training.churn["${each.key}"].model}'
    dataset: holdout
    require: {roc_auc: {min: 0.5}}
"""


@pytest.mark.soak
def test_each_instance_is_trained_and_evaluated_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "mlctl.yaml").write_text(FILE)
    shop = Shop.__new__(Shop)
    shop.root = tmp_path
    shop.table("labels", range(1, 15))
    shop.table("holdout", range(16, 22))

    def run(*arguments: str) -> str:
        done = subprocess.run([MLCTL, *arguments], cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("apply", "--auto-approve")
    run("plan", "--detailed-exitcode")
    outputs: dict[str, Any] = {}
    for key in ("lr=0.01", "lr=0.03"):
        outputs[key] = json.loads(run("show", f'training.churn["{key}"]', "--json"))["outputs"]
        assert outputs[key]["serving"]["columns"] == ["visits", "spent"]  # and no column out of the folder's name
        assert f"training.churn@{key}" in outputs[key]["model"]
        gate = json.loads(run("show", f'evaluations.gate["{key}"]', "--json"))
        assert gate["gate"]["passed"]
    assert len({item["digest"] for item in outputs.values()}) == 2
    with closing(sqlite3.connect(tmp_path / ".mlctl" / "mlflow.db")) as database:
        names = database.execute("SELECT name FROM runs ORDER BY name").fetchall()
        metrics = {row[0] for row in database.execute("SELECT DISTINCT key FROM metrics WHERE key LIKE 'gate%'")}
    assert names == [('churn["lr=0.01"]',), ('churn["lr=0.03"]',)]
    assert {"gate/lr:0.01.roc_auc", "gate/lr:0.03.roc_auc"} <= metrics
    run("destroy", "--auto-approve")
    assert not list((tmp_path / ".mlctl" / "default" / "objects").glob("*/*"))
