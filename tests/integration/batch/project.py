"""A project with a dataset, models and batch predictions, without a project file; every process it starts is ended with it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.launch import job
from mlctl.provider import Desired
from mlctl.providers.batch.batch import BatchPredictions, batch_job
from mlctl.providers.local.dataset import Dataset
from mlctl.testing.harness import apply_once, make_context, make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record
from tests.integration.serving.project import COLUMNS

ADDRESS = "batch_predictions.scores"


def shop_rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"id": first + index, "amount": None if index % 10 == 3 else index / 7, "visits": index % 13, "country": ("de", "fr")[index % 2]}
        for index in range(count)
    ]  # fmt: skip


class BatchProject:
    """One batch, of `shops@champion` over `datasets.shops`."""

    def __init__(self, root: Path, models: Path) -> None:
        self.root = root
        shutil.copytree(models, root / "models")
        self.ctx = make_context(root)
        self.kind = BatchPredictions()
        self.record: Record | None = None

    def dataset(self, rows: Sequence[Mapping[str, Any]], name: str = "shops", **block: Any) -> Record:
        """A real dataset object, profiled."""
        (self.root / f"{name}.jsonl").write_text("".join(json.dumps(dict(row)) + "\n" for row in rows))
        return apply_once(Dataset(), f"datasets.{name}", {"path": f"{name}.jsonl", "key": ["id"], **block}, self.ctx)

    def evaluation(self, version: str | None = "1", model: str = "one", **serving: Any) -> Record:
        found = {"columns": COLUMNS, "keys": [], "views": [], "store": None, "transformations": [], **serving}
        outputs = {
            "name": "shops", "alias": "champion", "version": version, "model": f"models/{model}", "run_id": "r1",
            "serving": found, "views": [], "digest": f"{version}-{model}",
        }  # fmt: skip
        return Record(ObjectKey.parse("evaluations.gate#1"), "1", outputs=outputs)

    def desired(self, dataset: Record, evaluation: Record | None = None, **block: Any) -> Desired:
        values = {"model": "shops@champion", "dataset": dataset.key.address.name, **block}
        inputs = {str(dataset.key.address): dataset, "evaluations.gate": evaluation or self.evaluation()}
        return make_desired(self.kind, ADDRESS, values, self.ctx, inputs)

    def apply(self, desired: Desired) -> Record:
        self.record = make_record(desired, self.kind.apply(desired, self.record, self.ctx))
        return self.record

    def folder(self, desired: Desired) -> Path:
        return self.ctx.folder(desired.key)

    def params(self, desired: Desired) -> dict[str, Any]:
        return batch_job(desired, self.ctx).model_dump(mode="json")

    def end(self) -> None:
        for path in self.root.rglob("process.json"):
            if job.state(path.parent) is job.JobState.RUNNING:
                os.killpg(json.loads(path.read_text())["pid"], signal.SIGKILL)


def table(folder: Path) -> list[dict[str, Any]]:
    """All rows of an output, in the order of its files."""
    import pyarrow.parquet as parquet

    return [row for file in sorted(folder.glob("*.parquet")) for row in parquet.read_table(file).to_pylist()]
