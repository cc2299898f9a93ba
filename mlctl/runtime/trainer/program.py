"""Train a model: prepare its table, run the ranks, keep its MLflow run, and put out the model."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.stop import StopSignal
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.train import AdoptJob, ForgetRunJob, TrainJob
from mlctl.types.ownership import ADOPTED_TAG

_POLL_SECONDS = 0.1
_OUTPUTS_FILE = "trained.json"


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Train, or take over a model that exists, or forget the run of a training that is to be deleted."""
    if params["op"] == "forget":
        return _forget(ForgetRunJob.model_validate(params))
    if params["op"] == "adopt":
        return _adopt(AdoptJob.model_validate(params), report)
    return _train(TrainJob.model_validate(params), report, StopSignal())


def _train(job: TrainJob, report: Report, stop: StopSignal) -> JobResult:
    folder = report.folder
    outputs = _finished(folder)
    if outputs is not None:  # only what is said about it has changed
        _retag(job)
        return JobResult(JobStatus.DONE, outputs)
    report.progress("joining features and splitting rows")
    from mlctl.runtime.trainer.ranks import Ranks, how_ended

    ended = how_ended(folder)
    trained = ended is not None and ended["status"] == "done"  # by a program that was killed before it saved the model
    ranks = None if trained else Ranks(folder, job.strategy, job.processes)
    try:
        # the ranks take seconds to start, as do these: they wait for the plan, and not it for them
        from mlctl.runtime.trainer.prepare import prepare

        plan = prepare(job, folder)
        if stop.set:
            return JobResult(JobStatus.PREEMPTED)
        from mlctl.runtime import tracking
        from mlctl.runtime.trainer.record import Recorder

        with tracking.tracking_errors(job.tracking.uri):
            recorder = Recorder(job, folder)
            if ranks is not None:
                _follow(ranks, recorder, report, stop)
                ended = how_ended(folder)
            if ended is None or ended["status"] != "done":
                recorder.close("KILLED" if stop.set else "FAILED")
                if stop.set or ranks is None:
                    return JobResult(JobStatus.PREEMPTED)
                raise ranks.failure()
            report.progress("saving the model")
            return JobResult(JobStatus.DONE, _finish(job, plan, folder, recorder, ended))
    finally:
        if ranks is not None and ranks.running:
            ranks.ask_to_stop()
            ranks.wait()


def _follow(ranks: Any, recorder: Any, report: Report, stop: StopSignal) -> None:
    """Hand on what the ranks report until they are gone; a request to stop is passed on once."""
    asked = False
    for line in ranks.lines():
        if line is None:
            if not ranks.running:
                break
            if stop.set and not asked:
                asked = True
                report.progress("stopping at the next step")
                ranks.ask_to_stop()
                ranks.wait()
                continue
            time.sleep(_POLL_SECONDS)
        elif line["type"] == "step":
            report.progress(
                f"epoch {line['epoch']}",
                line["step"],
                line["total"],
                "steps",
                loss=line["loss"],
                rows_per_second=line["rows_per_second"],
            )
        elif line["type"] == "resumed":
            report.progress("going on from a checkpoint", line["step"], line["total"], "steps")
        elif line["type"] == "epoch":
            recorder.epoch(line)
            report.progress(
                f"epoch {line['epoch']} done",
                line["step"],
                line["total"],
                "steps",
                train_loss=line["train_loss"],
                val_loss=line["val_loss"],
                rows_per_second=line["rows_per_second"],
            )


def _finish(job: TrainJob, plan: Any, folder: Path, recorder: Any, ended: Mapping[str, Any]) -> dict[str, Any]:
    """Make the model folder and the outputs, complete the run, and note that all is done."""
    from mlctl.runtime.trainer.finish import MODEL_FOLDER, judge, save_model
    from mlctl.runtime.trainer.prepare import KEYS_FILE, PROFILE_FILE
    from mlctl.runtime.trainer.transformations import CODE_FOLDER, applied_from, digest_with

    digest = digest_with(save_model(plan, folder, ended["total"]), job.transformations)
    shipped = applied_from(job.transformations, folder / MODEL_FOLDER / CODE_FOLDER)
    metrics = judge(plan, folder)
    last = ended["history"][-1]
    place = Path(os.path.relpath(folder))
    outputs = {
        "digest": digest,
        "model": str(place / MODEL_FOLDER),
        "model_uri": f"runs:/{recorder.run_id}/model",
        "run_id": recorder.run_id,
        "experiment_id": recorder.experiment_id,
        "tracking_uri": job.tracking.uri,
        "training_profile": str(place / PROFILE_FILE),
        "keys": str(place / KEYS_FILE),
        "metrics": {**metrics, "train_loss": last["train_loss"], "val_loss": last["val_loss"]},
        "rows": plan.train + plan.validation,
        "target": job.target,
        "task": plan.config["task"],
        "seconds": round(sum(line["seconds"] for line in ended["history"]), 3),
        "serving": job.serving(plan.config["columns"], shipped),
        "views": [view.model_dump(mode="json") for view in job.views],
        "transformations": [item.model_dump(mode="json") for item in shipped],
    }
    ranks = ended["ranks"]
    resources = {
        "resources.cpu_seconds": sum(rank["cpu_seconds"] for rank in ranks),
        "resources.peak_rss_megabytes": sum(rank["peak_rss_megabytes"] for rank in ranks),
        "resources.gpu_megabytes": sum(rank["gpu_megabytes"] for rank in ranks),
    }
    profile = json.loads((folder / PROFILE_FILE).read_bytes())
    statistics = {
        "labels": job.labels.statistics,
        "train_rows": plan.train,
        "validation_rows": plan.validation,
        "features": {name: _brief(column) for name, column in profile["columns"].items()},
        "device": ranks[0]["device"],
        "ranks": ranks,
    }
    recorder.finish(outputs, resources, statistics, ended["history"])
    atomic.write_json(folder / _OUTPUTS_FILE, outputs)
    return outputs


def _brief(column: Mapping[str, Any]) -> dict[str, Any]:
    return {name: column[name] for name in ("count", "nulls", "mean", "std", "min", "max")}


def _finished(folder: Path) -> dict[str, Any] | None:
    """The outputs of a training that ended well, when its files are all there."""
    try:
        outputs: dict[str, Any] = json.loads((folder / _OUTPUTS_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return outputs if all(Path(outputs[name]).exists() for name in ("model", "training_profile", "keys")) else None


def _retag(job: TrainJob) -> None:
    from mlctl.runtime import tracking

    with tracking.tracking_errors(job.tracking.uri):
        client = tracking.connect(job.tracking)
        for run in tracking.own_runs(client, job.tracking):
            tracking.set_tags(client, run, job.tracking.labels)


def _adopt(job: AdoptJob, report: Report) -> JobResult:
    from mlctl.runtime import tracking
    from mlctl.runtime.trainer.adopt import adopt

    with tracking.tracking_errors(job.train.tracking.uri):
        return JobResult(JobStatus.DONE, adopt(job, report, _OUTPUTS_FILE))


def _forget(job: ForgetRunJob) -> JobResult:
    """Mark the runs of a training as deleted; MLflow keeps them until its own clean-up. One that was taken over is given back."""
    from mlctl.runtime import tracking

    with tracking.tracking_errors(job.tracking.uri):
        client = tracking.connect(job.tracking)
        for run in tracking.own_runs(client, job.tracking, everywhere=True):
            if ADOPTED_TAG in run.data.tags:
                tracking.give_back(client, run, job.tracking)
            else:
                client.delete_run(run.info.run_id)
    return JobResult(JobStatus.DONE)
