"""The MLflow run of a training: one run, however often the training is stopped and goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException

from mlctl.files import atomic
from mlctl.runtime import secrets, tracking
from mlctl.runtime.trainer import plots, provenance
from mlctl.runtime.trainer.progress import read_curve
from mlctl.types.job import JOB_FILE
from mlctl.types.jobs.recipe import CausalLmModel, PythonModel
from mlctl.types.jobs.tracking import DIGEST_TAG
from mlctl.types.jobs.train import TableData, TrainJob
from mlctl.types.leaves import flatten
from mlctl.types.value import digest_bytes

RUN_FILE = "run.json"
TRAINING_FILE = "training.json"  # the parameters of the program, as an artifact: to train the same once more
_FLUSH_SECONDS = 5.0
_POINTS = 1000  # of the curve over steps, at most
_METRICS_AT_ONCE = 1000  # MLflow takes no more in a call
_OUR_LINE = ("type", "epoch", "step", "total")
_NAMES = {"seconds": "epoch_seconds"}
_DIGEST_LENGTH = 36  # what MLflow keeps of a data set's digest; the whole of it is in a tag
_PARAM_LENGTH = 6000


class Recorder:
    """Writes to the run in few and large calls: on SQLite each costs tens of milliseconds whatever its size."""

    def __init__(self, job: TrainJob, folder: Path) -> None:
        self._job, self.folder = job, folder
        self._client = tracking.connect(job.tracking)
        self._waiting: list[Metric] = []
        self._flushed = time.monotonic()
        diff = provenance.git_diff(Path.cwd())
        run = tracking.open_run(
            self._client, job.tracking, {**_versions(job), **provenance.git_state(Path.cwd()), **_diff_tag(diff)}
        )
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        atomic.write_json(folder / RUN_FILE, {"run_id": self.run_id, "experiment_id": self.experiment_id})
        self._begin(run.data.params, diff)
        self._logged = {metric.step for metric in self._client.get_metric_history(self.run_id, "val_loss")}
        self._last_step = max((item.step for item in self._client.get_metric_history(self.run_id, "loss")), default=0)
        self._total = 0

    def _begin(self, known: Mapping[str, str], diff: str) -> None:
        """Log what is known before the first step. A run that goes on has its parameters, and MLflow refuses to change one."""
        wanted = secrets.known().hidden({**_hyperparameters(self._job), **provenance.machine()})
        missing = [Param(name, value[:_PARAM_LENGTH]) for name, value in wanted.items() if name not in known]
        if missing:
            self._client.log_batch(self.run_id, params=missing)
            self._client.log_inputs(self.run_id, _datasets(self._job))
            self._client.log_text(self.run_id, provenance.requirements(), "requirements.txt")
            job = json.loads((self.folder / JOB_FILE).read_bytes())["params"]  # its secrets are sealed
            self._client.log_dict(self.run_id, job, TRAINING_FILE)
        if diff:
            self._client.log_text(self.run_id, diff, provenance.DIFF_FILE)
        path = self.folder / provenance.PROVENANCE_FILE
        data = json.loads(path.read_bytes())["data"] if path.exists() else None
        atomic.write_json(path, provenance.document(self._job, Path.cwd(), data=data))

    def step(self, line: Mapping[str, Any]) -> None:
        """Take word of a step: the curve goes out every few seconds."""
        self._total = line["total"]
        self._send_now_and_then()

    def epoch(self, line: Mapping[str, Any]) -> None:
        """Take the figures of an epoch; one that a killed process had logged already is not logged twice."""
        self._total = line.get("total", self._total)
        if line["epoch"] in self._logged:
            return
        self._logged.add(line["epoch"])
        now = int(time.time() * 1000)
        self._waiting += [
            Metric(_NAMES.get(name, name), float(value), now, line["epoch"])
            for name, value in line.items()
            if name not in _OUR_LINE and isinstance(value, int | float)
        ]
        self._send_now_and_then()

    def held(self, line: Mapping[str, Any]) -> None:
        """Note how many parameters are trained, and what each rank holds."""
        tags = {
            "mlctl.parameters": str(line["total"]),
            "mlctl.trainable_parameters": str(line["trainable"]),
            "mlctl.held": json.dumps(line["ranks"]),
        }
        tracking.set_tags(self._client, self._client.get_run(self.run_id), tags)

    def flush(self) -> None:
        """Send what waits, with the steps since the last time."""
        self._waiting += self._curve()
        self._flushed = time.monotonic()
        while self._waiting:
            self._client.log_batch(self.run_id, metrics=self._waiting[:_METRICS_AT_ONCE])
            del self._waiting[:_METRICS_AT_ONCE]

    def finish(
        self,
        outputs: Mapping[str, Any],
        resources: Mapping[str, float],
        statistics: Mapping[str, Any],
        ended: Mapping[str, Any],
        artifacts: Sequence[Path],
    ) -> None:
        """Log the results, the resources, the data's statistics, the pictures and the model, and close the run."""
        history = ended["history"]
        self._total = ended["step"]
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
        path = self.folder / provenance.PROVENANCE_FILE
        atomic.write_json(path, provenance.completed(json.loads(path.read_bytes()), outputs, ended))
        for item in (*artifacts, path):
            self._client.log_artifact(self.run_id, str(item))
        for item in plots.draw(self.folder, history):
            self._client.log_artifact(self.run_id, str(item), plots.PLOTS_FOLDER)
        for name in ("model", "adapter"):
            if name in outputs:
                self._client.log_artifacts(self.run_id, outputs[name], name)
        tags = {DIGEST_TAG: outputs["digest"], "mlctl.ended": ended["status"]}
        tracking.set_tags(self._client, self._client.get_run(self.run_id), tags)
        self._client.set_terminated(self.run_id, "FINISHED")

    def close(self, status: str) -> None:
        """End the run for now: `KILLED` when it was stopped, `FAILED` when it failed. It is opened again by the next try."""
        self.flush()
        self._client.set_terminated(self.run_id, status)

    def _send_now_and_then(self) -> None:
        if time.monotonic() - self._flushed <= _FLUSH_SECONDS:
            return
        try:
            self.flush()
        except MlflowException as error:  # a server that is away for a while must not end hours of training
            print(f"metrics are kept back: {error}", flush=True)

    def _curve(self) -> list[Metric]:
        """The steps that are due and were not logged yet: every one, or one of many when the training is long."""
        stride = max(1, -(-self._total // _POINTS))
        curve = read_curve(self.folder)
        steps = curve["step"]
        due = curve[(steps > self._last_step) & ((steps % stride == 0) | (steps == self._total))]
        if len(due):
            self._last_step = int(due["step"][-1])
        return [
            Metric(name, float(point[name]), int(point["time"] * 1000), int(point["step"]))
            for point in due
            for name in ("loss", "lr", "grad_norm")
            if math.isfinite(point[name])
        ]


def _diff_tag(diff: str) -> dict[str, str]:
    return {"mlctl.git.diff": digest_bytes(diff.encode())} if diff else {}


def _versions(job: TrainJob) -> dict[str, str]:
    """The versions of data and code, as tags."""
    data, model = job.data, job.recipe.model
    if isinstance(data, TableData):
        tags = {
            "mlctl.data.labels": data.labels.digest,
            **{f"mlctl.data.{name}": digest for name, digest in data.view_digests.items()},
            **{f"mlctl.transformation.{item.view}": item.code_digest for item in data.transformations},
        }
    else:
        tags = {"mlctl.data.dataset": data.dataset.digest}
    if isinstance(model, CausalLmModel):
        tags["mlctl.base.digest"] = model.digest or f"{model.base}@{model.revision}"
    return {**tags, "mlctl.code.digest": model.code_digest} if isinstance(model, PythonModel) else tags


def _hyperparameters(job: TrainJob) -> dict[str, str]:
    recipe = job.recipe.model_dump(mode="json", exclude={"model": {"closure", "code_digest"}, "checkpoint": True})
    data = job.data.model_dump(
        mode="json",
        exclude={"type", "labels", "dataset", "views", "view_digests", "transformations", "store", "columns"},
    )
    found = {name: value for name, value in flatten({**data, **recipe}).items() if value not in (None, [], {})}
    if isinstance(job.data, TableData):
        found["features"] = [*(view.view for view in job.data.views), *(item.view for item in job.data.transformations)]
    return {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for name, value in found.items()
    }


def _datasets(job: TrainJob) -> list[Any]:
    tag = [InputTag("mlflow.data.context", "training")]
    table = job.data.labels if isinstance(job.data, TableData) else job.data.dataset
    columns = json.dumps({"columns": table.columns})[:60_000]
    found = [
        Dataset(
            table.name,
            table.digest[:_DIGEST_LENGTH],
            "local",
            json.dumps({"uri": table.files[0]}),
            schema=columns,
            profile=json.dumps({"num_rows": table.rows}),
        )
    ]
    if isinstance(job.data, TableData):
        digests = job.data.view_digests
        found += [
            Dataset(
                view.view,
                digests[view.view][:_DIGEST_LENGTH],
                "local",
                json.dumps({"uri": view.path}),
                schema=json.dumps({"columns": view.features}),
            )
            for view in job.data.views
        ]
    return [DatasetInput(dataset, tags=tag) for dataset in found]
