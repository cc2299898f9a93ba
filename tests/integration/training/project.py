"""A small project folder to train in: labels and snapshots on disk, and records as the other kinds would leave them."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from mlctl.processes.environment import worker_environment
from mlctl.provider import Context, Desired
from mlctl.providers.mlflow.evaluation import Evaluation
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_context, make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.interrupt import Interrupt
from mlctl.types.state import Pending, Record
from tests import nursery

START = datetime(2024, 1, 1)
SLOW_MODEL = """
import time
import torch
from torch import nn
from src.layers import hidden


class Slow(nn.Module):
    def __init__(self, features, seconds):
        super().__init__()
        self.seconds = seconds
        self.net = nn.Sequential(hidden(features), nn.Dropout(0.2), nn.Linear(8, 1))

    def forward(self, x):
        if self.training:
            time.sleep(self.seconds)
        return self.net(x)


def build(features, seconds=0.0):
    return Slow(len(features), seconds)


def broken(features):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(len(features), 1)

        def forward(self, x):
            if self.training:
                raise ValueError("the flux capacitor is empty")
            return self.net(x)
    return Broken()
"""
LAYERS = """
from torch import nn


def hidden(features):
    return nn.Sequential(nn.Linear(features, 8), nn.ReLU())
"""


class Project:
    """A project folder with two feature columns that tell something about a target."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ctx = make_context(root)
        self.training, self.evaluation = Training(), Evaluation()
        (root / "src").mkdir()
        (root / "src" / "model.py").write_text(SLOW_MODEL)
        (root / "src" / "layers.py").write_text(LAYERS)
        self.inputs: dict[str, Record] = {"feature_views.shopping": self._snapshots()}
        self.add_labels("labels", range(12))
        self.add_labels("holdout", range(14, 20))

    def add_labels(self, name: str, days: range) -> None:
        """Labels of 60 households on some days, as a profiled CSV dataset."""
        rows = [(key, START + timedelta(days=day, hours=1), _shops(key, day)) for day in days for key in range(60)]
        self._write(name, ["household_id", "event_timestamp", "shops"], rows)
        columns = {"household_id": "bigint", "event_timestamp": "timestamp", "shops": "bigint"}
        self.add_dataset(name, columns, len(rows), "event_timestamp", ["household_id", "event_timestamp"])

    def add_dataset(
        self, name: str, columns: dict[str, str], rows: int, timestamp: str | None = None, key: list[str] | None = None
    ) -> None:
        """The record of a dataset whose file is there."""
        digest = self.ctx.digests.file(self.root / f"{name}.csv")
        outputs = {
            "path": f"{name}.csv", "files": [f"{name}.csv"], "format": "csv", "digest": digest, "rows": rows, "columns": columns,
            "statistics": {"household_id": {"nulls": 0}}, "timestamp": timestamp, "key": key or [],
        }  # fmt: skip
        self.inputs[f"datasets.{name}"] = Record(
            ObjectKey.parse(f"datasets.{name}#{digest[:8]}"), name, outputs=outputs
        )

    def write_table(self, name: str, rows: list[dict[str, Any]], columns: dict[str, str], **more: Any) -> None:
        """A CSV dataset of any shape."""
        self._write(name, list(columns), [tuple(row[column] for column in columns) for row in rows])
        self.add_dataset(name, columns, len(rows), **more)

    def values(self, **changed: Any) -> dict[str, Any]:
        """A training block that takes a second or two; `changed` replaces its fields."""
        data = {"labels": "labels", "features": ["shopping"], "target": "shops", "split": {"by": "time", "test": "20%"}}
        block = {
            "data": data, "model": {"type": "mlp", "hidden": [16]}, "strategy": {"type": "single"}, "epochs": 4, "batch_size": 64,
            "optimizer": {"type": "adamw", "lr": 0.01}, "checkpoint": {"every": "5 steps", "keep": 2}, "seed": 3,
        }  # fmt: skip
        return {**block, **changed}

    def train(self, address: str, **changed: Any) -> Record:
        """Train to the end, and make the record known to evaluations."""
        desired = self.desired(address, **changed)
        record = make_record(desired, self.training.apply(desired, None, self.ctx))
        self.inputs[address] = record
        return record

    def desired(self, address: str, **changed: Any) -> Desired:
        """What a project that holds this training would ask for."""
        values = self.values(**changed)
        named = {
            f"datasets.{values['data'].get('labels') or values['data']['dataset']}",
            *(f"feature_views.{name}" for name in values["data"].get("features", [])),
        }
        inputs = {name: self.inputs[name] for name in named}
        return make_desired(self.training, address, values, self.ctx, inputs)

    def evaluate(self, address: str, values: Mapping[str, Any], prior: Record | None = None) -> Record:
        """Evaluate as the engine would."""
        named = (values["model"].removeprefix("${").removesuffix(".model}"), f"datasets.{values['dataset']}")
        inputs = {name: self.inputs[name] for name in named}
        desired = make_desired(self.evaluation, address, values, self.ctx, inputs)
        return make_record(desired, self.evaluation.apply(desired, prior, self.ctx))

    def folder(self, address: str, **changed: Any) -> Path:
        """Where a training of these values works."""
        return self.ctx.folder(self.desired(address, **changed).key)

    def pending(self, address: str, **changed: Any) -> Record:
        """The record the engine keeps while a training is under way."""
        desired = self.desired(address, **changed)
        return Record(desired.key, None, dict(desired.values), pending=Pending.APPLY)

    def sql(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Rows of the MLflow database."""
        with closing(sqlite3.connect(self.root / ".mlctl" / "mlflow.db")) as database:
            return database.execute(query, arguments).fetchall()

    def mlflow(self, code: str) -> Any:
        """Run code with a `client` in a process of its own and give back what it leaves in `result`."""
        program = f"import json; from mlflow import MlflowClient; client = MlflowClient('sqlite:///.mlctl/mlflow.db'); result = None\n{code}\nprint('RESULT', json.dumps(result))"
        done = nursery.shared().python(
            program, environment=worker_environment(), folder=self.root.resolve(), libraries=("mlflow.pyfunc",)
        )
        printed, _ = done.communicate(timeout=300)
        assert done.returncode == 0, printed
        return json.loads(printed.split("RESULT ")[-1].splitlines()[0])

    def _write(self, name: str, header: list[str], rows: list[tuple[Any, ...]]) -> None:
        with open(self.root / f"{name}.csv", "w", newline="") as stream:
            csv.writer(stream).writerows([header, *rows])

    def _snapshots(self) -> Record:
        import duckdb

        rows = [
            (key, START + timedelta(days=day), _amount(key, day), _items(key)) for day in range(20) for key in range(60)
        ]
        with closing(duckdb.connect()) as database:
            database.execute(
                "CREATE TABLE s (household_id BIGINT, event_timestamp TIMESTAMP, amount DOUBLE, items DOUBLE)"
            )
            database.executemany("INSERT INTO s VALUES (?, ?, ?, ?)", rows)
            database.execute(f"COPY s TO '{self.root / 'shopping.parquet'}' (FORMAT parquet)")
        features = {"amount": "float64", "items": "float64"}
        outputs = {
            "view": "shopping", "entity": "household", "keys": [{"name": "household_id", "type": "int64"}], "features": features,
            "offline": "shopping.parquet", "rows": len(rows), "ttl_seconds": 172800, "grid_seconds": 86400, "until": "2024-01-20T00:00:00", "digest": "f" * 32, "store": None,
        }  # fmt: skip
        return Record(ObjectKey.parse("feature_views.shopping#"), "shopping", outputs=outputs)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[MlctlError]]:
    """Run something that is going to fail; the errors it raised are in the list."""
    errors: list[MlctlError] = []

    def run() -> None:
        try:
            work()
        except MlctlError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def processes_of(folder: Path) -> list[int]:
    """The processes that work in a job's folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if str(folder) in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def kill_session(folder: Path) -> None:
    """SIGKILL to the program alone, as an out-of-memory killer does it: the rest has to notice by itself."""
    os.kill(json.loads((folder / "process.json").read_bytes())["pid"], signal.SIGKILL)


def context_with_stop(ctx: Context) -> tuple[Context, Interrupt]:
    """The same context with a stop of its own."""
    stop = Interrupt()
    return replace(ctx, stop=stop), stop


def _amount(key: int, day: int) -> float:
    return math.sin(key * 12.9898 + day * 78.233) + key / 30


def _items(key: int) -> float | None:
    return None if key % 7 == 0 else float(key % 5)


def _shops(key: int, day: int) -> int:
    noise = random.Random(key * 1000 + day).random()
    return int(1 / (1 + math.exp(-2.5 * (_amount(key, day) - 1))) > noise)
