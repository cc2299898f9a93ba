"""The MLflow run of a training: one run, however often the training is stopped and goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException

from mlctl.files import atomic
from mlctl.runtime import secrets, tracking
from mlctl.runtime.trainer import provenance
from mlctl.types.jobs.tracking import DIGEST_TAG
from mlctl.types.jobs.train import PythonModel, TrainJob

RUN_FILE = "run.json"
_FLUSH_SECONDS = 5.0
_DIGEST_LENGTH = 36  # what MLflow keeps of a data set's digest; the whole of it is in a tag
_PARAM_LENGTH = 6000


class Recorder:
    """Writes to the run in few and large calls: on SQLite each costs tens of milliseconds whatever its size."""

    def __init__(self, job: TrainJob, folder: Path) -> None:
        self._job, self._folder = job, folder
        self._client = tracking.connect(job.tracking)
        self._waiting: list[Metric] = []
        self._flushed = time.monotonic()
        run = tracking.open_run(self._client, job.tracking, {**_versions(job), **provenance.git_state(Path.cwd())})
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        atomic.write_json(folder / RUN_FILE, {"run_id": self.run_id, "experiment_id": self.experiment_id})
        known = run.data.params
        wanted = secrets.known().hidden({**_hyperparameters(job), **provenance.machine()})
        missing = [Param(name, value[:_PARAM_LENGTH]) for name, value in wanted.items() if name not in known]
        if missing:  # a run that goes on has them all, and MLflow refuses to change one
            self._client.log_batch(self.run_id, params=missing)
            self._client.log_inputs(self.run_id, _datasets(job))
            self._client.log_text(self.run_id, provenance.requirements(), "requirements.txt")
        self._logged = {metric.step for metric in self._client.get_metric_history(self.run_id, "val_loss")}

    def epoch(self, line: Mapping[str, Any]) -> None:
        """Take the figures of an epoch; one that a killed process had logged already is not logged twice."""
        if line["epoch"] in self._logged:
            return
        self._logged.add(line["epoch"])
        names = {
            "train_loss": "train_loss",
            "val_loss": "val_loss",
            "seconds": "epoch_seconds",
            "rows_per_second": "rows_per_second",
        }
        now = int(time.time() * 1000)
        self._waiting += [Metric(name, line[field], now, line["epoch"]) for field, name in names.items()]
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            waiting = list(self._waiting)
            try:
                self.flush()
            except MlflowException as error:  # a server that is away for a while must not end hours of training
                print(f"metrics are kept back: {error}", flush=True)
                self._waiting = waiting

    def flush(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        self._flushed = time.monotonic()
        if waiting:
            self._client.log_batch(self.run_id, metrics=waiting)

    def finish(
        self,
        outputs: Mapping[str, Any],
        resources: Mapping[str, float],
        statistics: Mapping[str, Any],
        history: Sequence[Mapping[str, Any]],
    ) -> None:
        """Log the results, the resources, the data's statistics and the model, and close the run."""
        for line in history:
            self.epoch(line)
        now, last = int(time.time() * 1000), len(history)
        figures = {
            **{
                f"validation.{name}": value
                for name, value in outputs["metrics"].items()
                if name not in ("train_loss", "val_loss")
            },
            "total_seconds": outputs["seconds"],
            **resources,
        }
        self._waiting += [Metric(name, value, now, last) for name, value in figures.items()]
        self.flush()
        self._client.log_dict(self.run_id, dict(statistics), "dataset_statistics.json")
        self._client.log_artifact(self.run_id, outputs["training_profile"])
        self._client.log_artifacts(self.run_id, outputs["model"], "model")
        tracking.set_tags(self._client, self._client.get_run(self.run_id), {DIGEST_TAG: outputs["digest"]})
        self._client.set_terminated(self.run_id, "FINISHED")

    def close(self, status: str) -> None:
        """End the run for now: `KILLED` when it was stopped, `FAILED` when it failed. It is opened again by the next try."""
        self.flush()
        self._client.set_terminated(self.run_id, status)


def _versions(job: TrainJob) -> dict[str, str]:
    """The versions of data and code, as tags."""
    tags = {
        "mlctl.data.labels": job.labels.digest,
        **{f"mlctl.data.{name}": digest for name, digest in job.view_digests.items()},
        **{f"mlctl.transformation.{item.view}": item.code_digest for item in job.transformations},
    }
    return {**tags, "mlctl.code.digest": job.model.code_digest} if isinstance(job.model, PythonModel) else tags


def _hyperparameters(job: TrainJob) -> dict[str, str]:
    chosen = job.model_dump(
        mode="json",
        include={
            "task",
            "target",
            "split_by",
            "test_share",
            "strategy",
            "processes",
            "precision",
            "epochs",
            "batch_size",
            "optimizer",
            "lr",
            "weight_decay",
            "seed",
        },
    )
    model = {
        f"model.{name}": value
        for name, value in job.model.model_dump(mode="json", exclude={"closure", "code_digest"}).items()
    }
    views = {"features": [*(view.view for view in job.views), *(item.view for item in job.transformations)]}
    return {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in {**chosen, **model, **views}.items()
        if value is not None
    }


def _datasets(job: TrainJob) -> list[Any]:
    labels, tag = job.labels, [InputTag("mlflow.data.context", "training")]
    columns = json.dumps({"columns": labels.columns})[:60_000]
    found = [
        Dataset(
            labels.name,
            labels.digest[:_DIGEST_LENGTH],
            "local",
            json.dumps({"uri": labels.files[0]}),
            schema=columns,
            profile=json.dumps({"num_rows": labels.rows}),
        )
    ]
    found += [
        Dataset(
            view.view,
            job.view_digests[view.view][:_DIGEST_LENGTH],
            "local",
            json.dumps({"uri": view.path}),
            schema=json.dumps({"columns": view.features}),
        )
        for view in job.views
    ]
    return [DatasetInput(dataset, tags=tag) for dataset in found]
