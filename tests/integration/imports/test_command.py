"""`mlctl import` on a real project: a model and its registered name, made by hand, up to the kill in the middle."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlctl.processes.environment import worker_environment
from tests import nursery

pytestmark = [pytest.mark.tools, pytest.mark.slow]

MLCTL = str(Path(sys.executable).with_name("mlctl"))
FILE = """
project: shop
datasets:
  labels: {path: labels.csv, timestamp: at, key: [customer, at]}
  holdout: {path: holdout.csv, timestamp: at, key: [customer, at]}
training:
  churn:
    data: {labels: labels, columns: [visits, spent], target: churned, split: {by: time, test: 20%}}
    model: {type: mlp, hidden: [4]}
    epochs: 2
    optimizer: {lr: 0.01}
evaluations:
  gate:
    model: ${training.churn.model}
    dataset: holdout
    require: {roc_auc: {min: 0.7}}
    register: {name: churn, alias: champion}
"""
BY_HAND = """
import mlflow, numpy as np, pandas as pd
from mlflow.models import infer_signature
class Rule(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return 1 / (1 + np.exp(model_input["visits"].to_numpy() - 5))
mlflow.set_tracking_uri("sqlite:///.mlctl/mlflow.db")
mlflow.create_experiment("hand", artifact_location=__import__("pathlib").Path("hand").resolve().as_uri())
mlflow.set_experiment("hand")
rows = pd.DataFrame({"spent": [1.0], "visits": [2.0]})
with mlflow.start_run():
    mlflow.pyfunc.log_model(artifact_path="model", python_model=Rule(), signature=infer_signature(rows, np.array([0.5])), registered_model_name="churn")
mlflow.MlflowClient().set_registered_model_alias("churn", "champion", "1")
"""


class Shop:
    """A project folder, driven through the command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".mlctl").mkdir()
        (root / "mlctl.yaml").write_text(FILE)
        self.table("labels", range(1, 15))
        self.table("holdout", range(16, 22))
        subprocess.run([sys.executable, "-W", "ignore", "-c", BY_HAND], cwd=root, env=worker_environment(), check=True, capture_output=True)  # fmt: skip

    def table(self, name: str, days: range) -> None:
        draw = random.Random(days.start)
        with open(self.root / f"{name}.csv", "w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["customer", "at", "visits", "spent", "churned"])
            for day in days:
                for customer in range(30):
                    visits = draw.randrange(11)
                    churned = int(draw.random() < 1 / (1 + 2.7 ** (visits - 5)))
                    writer.writerow([customer, f"2024-01-{day:02} 00:00:00", float(visits), round(draw.uniform(1, 90), 2), churned])  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return nursery.mlctl(*arguments, folder=self.root)

    def show(self, address: str) -> dict[str, Any]:
        done = self.run("show", address, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.root / ".mlctl" / "mlflow.db")) as database:
            return database.execute(query).fetchall()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.soak
def test_a_model_and_its_registered_name_are_taken_over_and_given_back(shop: Shop) -> None:
    refused = shop.run("import", "training.churn", "models:/churn/7", "--auto-approve")
    assert refused.returncode in (1, 8), refused
    assert "import.not-found" in refused.stderr + refused.stdout
    assert "<=" in ok(shop.run("import", "training.churn", "models:/churn@champion", "--auto-approve"))
    record = shop.show("training.churn")
    (run,) = shop.sql("SELECT run_id FROM model_versions WHERE name = 'churn'")
    assert record["outputs"]["run_id"] == run[0]
    ok(shop.run("plan", "--target", "training.churn", "--detailed-exitcode"))

    foreign = shop.run("apply", "--auto-approve")
    assert foreign.returncode in (1, 8), foreign
    assert "mlctl import evaluations.gate models:/churn@champion" in " ".join((foreign.stdout + foreign.stderr).split())
    ok(shop.run("import", "evaluations.gate", "models:/churn@champion", "--auto-approve"))
    assert shop.show("evaluations.gate")["outputs"]["version"] == "1"
    ok(shop.run("plan", "--detailed-exitcode"))
    again = shop.run("import", "training.churn", "models:/churn@champion", "--auto-approve")
    assert (again.returncode, "import.made-already" in again.stderr) == (1, True)

    ok(shop.run("destroy", "--auto-approve"))
    assert shop.sql("SELECT alias, version FROM registered_model_aliases") == [("champion", 1)]
    assert shop.sql("SELECT current_stage FROM model_versions") == [("None",)]
    assert shop.sql("SELECT lifecycle_stage FROM runs") == [("active",)]
    for table in ("tags", "model_version_tags", "registered_model_tags"):
        assert shop.sql(f"SELECT key FROM {table} WHERE key LIKE 'mlctl.%'") == [], table


def test_an_import_that_was_killed_goes_on_with_the_next_apply_and_trains_nothing(shop: Shop) -> None:
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [MLCTL, "import", "training.churn", "models:/churn/1", "--auto-approve"]
    process = subprocess.Popen(command, cwd=shop.root, **quiet)
    folders = shop.root / ".mlctl" / "default" / "objects" / "training.churn"
    deadline = time.monotonic() + 120
    while not (found := list(folders.glob("*/process.json"))):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    worker = json.loads(found[0].read_bytes())["pid"]
    os.killpg(worker, signal.SIGKILL)
    ok(shop.run("apply", "--auto-approve", "--target", "training.churn"))
    assert shop.show("training.churn")["outputs"]["adopted"] == "models:/churn/1"
    assert shop.sql("SELECT count(*) FROM runs") == [(1,)]
    assert not list(folders.glob("*/checkpoints"))
