"""A small project with one real object of every section, each made when it is first asked for."""

from __future__ import annotations

import csv
import random
import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from mlctl.provider import Context, Family
from mlctl.registry import Registry
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record
from tests.integration.servers import redis
from tests.integration.serving.project import free_port

START = datetime(2024, 1, 1)
SETTINGS: Mapping[str, Any] = {
    "tracking": {"mlflow": {"uri": "sqlite:///.mlctl/mlflow.db", "experiment": "conformance"}},
    "feature_store": {"offline": {"type": "duckdb"}, "online": {"type": "sqlite"}},
}
FEATURES: Mapping[str, Any] = {
    "amount_3d": {"aggregate": "sum", "column": "amount", "window": "3d"},
    "events_7d": {"aggregate": "count", "window": "7d"},
}

SHARES = """
def share(amount_3d, basket):
    return {"share": basket / (amount_3d + 1.0)}


def other_share(amount_3d, basket):
    return {"share": basket / (amount_3d + 2.0)}
"""


class Chain:
    """The project folder, its context, and the objects that others are made with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ctx: Context = make_context(root, SETTINGS, project="conformance")
        self.registry = Registry()
        self._made: list[Record] = []
        self._servers = ExitStack()
        _write_events(root / "events.csv", 400, seed=1)
        _write_events(root / "more_events.csv", 300, seed=2)
        (root / "src").mkdir()
        (root / "src" / "shares.py").write_text(SHARES)
        _write_labels(root / "labels.csv", range(8, 14))
        _write_labels(root / "holdout.csv", range(15, 21))

    def make(self, address: str, values: Mapping[str, Any], *inputs: Record) -> Record:
        """Apply one block with its real tool."""
        kind = self.registry.kind(Address.parse(address).section)
        record = apply_once(kind, address, values, self.ctx, by_address(*inputs))
        self._made.append(record)
        return record

    def end(self) -> None:
        """Stop what runs, and see that nothing does; the files go with the folder."""
        for record in reversed(self._made):
            kind = self.registry.kind(record.key.address.section)
            if kind.family is Family.SERVICE:
                kind.delete(record, self.ctx)
        self._servers.close()
        left = self.processes()
        for process in left:
            process.kill()
        assert left == []

    def processes(self) -> list[psutil.Process]:
        """The worker programs and servers that live below this project folder."""
        found = []
        for process in psutil.process_iter():
            try:
                command = [word for word in process.cmdline() if word]  # a fork shows room that is left
                live = process.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if live and "mlctl.runtime" in command and str(self.root) in command[-1]:
                found.append(process)
        return found

    def sql(self, query: str) -> int:
        """A number out of the MLflow database; 0 while there is none."""
        path = self.root / ".mlctl" / "mlflow.db"
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path)) as database:
            return int(database.execute(query).fetchone()[0])

    @cached_property
    def events(self) -> Record:
        return self.make("datasets.events", {"path": "events.csv", "timestamp": "at", "key": ["event_id"]})

    @cached_property
    def more_events(self) -> Record:
        return self.make("datasets.more_events", {"path": "more_events.csv", "timestamp": "at", "key": ["event_id"]})

    @cached_property
    def labels(self) -> Record:
        return self.make(
            "datasets.labels", {"path": "labels.csv", "timestamp": "event_timestamp", "key": ["household_id", "event_timestamp"]}
        )  # fmt: skip

    @cached_property
    def holdout(self) -> Record:
        return self.make(
            "datasets.holdout", {"path": "holdout.csv", "timestamp": "event_timestamp", "key": ["household_id", "event_timestamp"]}
        )  # fmt: skip

    @cached_property
    def entity(self) -> Record:
        return self.make("entities.household", {"key": "household_id"})

    @cached_property
    def view(self) -> Record:
        values = {"entity": "household", "source": "events", "features": FEATURES, "online": True}
        return self.make("feature_views.spending", values, self.entity, self.events)

    @cached_property
    def on_demand(self) -> Record:
        values = {
            "function": "src/shares.py:share", "request": {"basket": "float64"}, "views": ["spending"], "features": {"share": "float64"},
        }  # fmt: skip
        return self.make("on_demand_views.shares", values, self.view)

    @cached_property
    def service(self) -> Record:
        return self.make(
            "feature_services.offer", {"views": ["spending"], "on_demand": ["shares"]}, self.view, self.on_demand
        )

    @cached_property
    def broker(self) -> str:
        """The URL of a Redis server of its own."""
        return self._servers.enter_context(redis()).url

    @cached_property
    def model(self) -> Record:
        return self.make("training.churn", self.training_block(), self.labels, self.view)

    @cached_property
    def champion(self) -> Record:
        values = {
            "model": "${training.churn.model}", "dataset": "holdout", "require": {"roc_auc": {"min": 0}},
            "register": {"name": "churn", "alias": "champion"},
        }  # fmt: skip
        return self.make("evaluations.churn_gate", values, self.model, self.holdout)

    @cached_property
    def api(self) -> Record:
        return self.make(
            "deployments.churn_api", {"model": "churn@champion", "serve": {"port": free_port()}}, self.champion
        )

    @staticmethod
    def training_block() -> dict[str, Any]:
        """A training of a second or two."""
        return {
            "data": {"labels": "labels", "features": ["spending"], "target": "churned", "split": {"by": "time", "test": "25%"}},
            "model": {"type": "mlp", "hidden": [8]}, "epochs": 2, "batch_size": 64, "optimizer": {"type": "adamw", "lr": 0.01}, "seed": 3,
        }  # fmt: skip


def by_address(*records: Record) -> dict[str, Record]:
    """Records as inputs."""
    return {str(record.key.address): record for record in records}


def renamed(record: Record, address: str) -> Record:
    """The same object under another address."""
    return replace(record, key=ObjectKey(Address.parse(address), record.key.identity))


def _write_events(path: Path, rows: int, seed: int) -> None:
    draw = random.Random(seed)
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["event_id", "household_id", "amount", "at"])
        for number in range(rows):
            household = draw.randrange(40)
            at = START + timedelta(minutes=draw.randrange(20 * 1440))
            writer.writerow(
                [number, household, round(draw.lognormvariate(2, 1) * (1 + household % 4), 2), at.isoformat(" ")]
            )


def _write_labels(path: Path, days: range) -> None:
    draw = random.Random(days.start)
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["household_id", "event_timestamp", "churned"])
        for day in days:
            for household in range(40):
                writer.writerow(
                    [household, (START + timedelta(days=day)).isoformat(" "), int(draw.random() < (household % 4) / 4)]
                )
