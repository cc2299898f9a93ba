"""A deployment that is known through and through: what it logs, what comes of it, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from mlctl.provider import Context
from mlctl.providers.evidently.monitor import Monitor
from mlctl.testing.harness import apply_once
from mlctl.types.address import Address, ObjectKey
from mlctl.types.jobs.labels import HeldOut
from mlctl.types.state import Record

NOW = datetime(2026, 5, 20, tzinfo=UTC)
PREDICTIONS = "logs/api"
TYPES = {
    "int64": "bigint",
    "double": "double",
    "string": "varchar",
    "bool": "boolean",
    "timestamp[us, tz=UTC]": "timestamp with time zone",
}


@dataclass
class World:
    """Draws predictions whose scores are true probabilities, until `drift` says that outcomes follow another rule."""

    root: Path
    seed: int = 1
    labels: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def scores(self, rows: int, shift: float = 0.0) -> np.ndarray:
        """Probabilities as a model gives them; `shift` makes requests harder to tell apart."""
        return 1 / (1 + np.exp(-self.random.normal(0, 2.5 - shift, rows)))

    def held_out(self, rows: int = 4000) -> Path:
        """Scores that an evaluation kept."""
        score = self.scores(rows)
        target = (self.random.random(rows) < score).astype(float)
        path = self.root / "held_out.json"
        kept = HeldOut(task="binary", rows=rows, scores=score.tolist(), targets=target.tolist())
        path.write_text(kept.model_dump_json())
        return path

    def day(
        self,
        ago: int,
        rows: int = 200,
        *,
        flipped: float = 0.0,
        shift: float = 0.0,
        lag: float = 1.0,
        version: str = "1",
        labelled: float = 1.0,
    ) -> None:
        """One day of predictions, so many days before NOW; of `flipped`, the outcome is the other one."""
        score = self.scores(rows, shift)
        outcome = (self.random.random(rows) < score) ^ (self.random.random(rows) < flipped)
        start = NOW - timedelta(days=ago)
        path = self.root / PREDICTIONS / f"{start:%Y-%m-%d}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as stream:
            for index in range(rows):
                moment = start + timedelta(seconds=index * 80_000 / rows)
                id = f"{ago}-{version}-{index}"
                stream.write(json.dumps({
                    "ts": moment.isoformat(), "request_id": id, "deployment": "api", "model": "m", "version": version, "role": "stable",
                    "key": {"user": index}, "features": None, "score": float(score[index]), "prediction": int(score[index] >= 0.5),
                    "latency_seconds": 0.001, "code": 200,
                }) + "\n")  # fmt: skip
                if self.random.random() < labelled:
                    self.labels.append(
                        {
                            "request": id,
                            "user": index,
                            "at": moment + timedelta(days=lag),
                            "churned": float(outcome[index]),
                        }
                    )

    def dataset(self, name: str = "outcomes", rows: list[dict[str, Any]] | None = None) -> Record:
        """The labels as parquet, and the dataset that holds them."""
        table = pa.Table.from_pylist(self.labels if rows is None else rows)
        parquet.write_table(table, self.root / f"{name}.parquet")
        return dataset_of(f"{name}.parquet", {item.name: TYPES[str(item.type)] for item in table.schema}, name)


def dataset_of(file: str, columns: dict[str, str], name: str = "outcomes", form: str = "parquet") -> Record:
    outputs = {
        "files": [file],
        "format": form,
        "columns": columns,
        "timestamp": "at",
        "key": [],
        "partitions": {},
        "digest": file,
    }
    return Record(ObjectKey(Address("datasets", name), "d"), outputs=outputs)


def evaluation(version: str = "1") -> Record:
    outputs = {"held_out": "held_out.json", "version": version, "digest": version}
    return Record(ObjectKey(Address("evaluations", "gate"), "e"), outputs=outputs)


def apply(ctx: Context, dataset: Record | None, judged: Record | None = None, **parts: Any) -> Record:
    """A monitor of the deployment."""
    deployment = Record(
        ObjectKey(Address("deployments", "api"), ""), outputs={"predictions": PREDICTIONS, "digest": "d"}
    )
    inputs = {"deployments.api": deployment}
    values: dict[str, Any] = {"deployment": "api", **parts}
    if dataset is not None:
        inputs[str(dataset.key.address)] = dataset
    if judged is not None:
        values["evaluation"] = "gate"
        inputs["evaluations.gate"] = judged
    return apply_once(Monitor(), "monitors.m", values, ctx, inputs)
