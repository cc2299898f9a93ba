"""Train a model: prepare its table, run the ranks, keep its MLflow run, and put out the model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime import secrets
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.stages import Finished, stages_of
from mlctl.runtime.trainer.stop import Stop, StopSignal
from mlctl.runtime.trainer.storage import begin_copies, end_copies
from mlctl.runtime.trainer.telling import tell
from mlctl.types.job import JOB_FILE, JobResult, JobStatus
from mlctl.types.jobs.executors import PLACED_FILE
from mlctl.types.jobs.train import FILES, AdoptJob, ForgetRunJob, StopRanksJob, TrainJob
from mlctl.types.ownership import ADOPTED_TAG

_POLL_SECONDS = 0.1
_OUTPUTS_FILE = "trained.json"
Watch = Callable[[Mapping[str, Any]], None]


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Train, or take over a model that exists, or end and forget a training that is to be deleted."""
    if params["op"] == "forget":
        return _forget(ForgetRunJob.model_validate(params))
    if params["op"] == "adopt":
        return _adopt(AdoptJob.model_validate(params), report)
    if params["op"] == "stop_ranks":
        return _stop_ranks(StopRanksJob.model_validate(params))
    job, stop = TrainJob.model_validate(params), StopSignal()
    return _train(job, report, stop) if job.search is None else _search(job, report, stop)


def _search(job: TrainJob, report: Report, stop: StopSignal) -> JobResult:
    """Train many times; what comes of it are the outputs of the best."""
    outputs = _finished(report.folder)
    if outputs is not None:
        _retag(job)
        return JobResult(JobStatus.DONE, outputs)
    from mlctl.runtime.trainer.search.run import search

    result = search(job, report, stop, _train)
    if result.status is JobStatus.DONE:
        atomic.write_json(report.folder / _OUTPUTS_FILE, dict(result.outputs))
    return result


def _train(job: TrainJob, report: Report, stop: Stop, watch: Watch = lambda line: None) -> JobResult:
    """One training; `watch` is shown each line of its ranks."""
    folder = report.folder
    outputs = _finished(folder)
    if outputs is not None:  # only what is said about it has changed
        _retag(job)
        return JobResult(JobStatus.DONE, outputs)
    from mlctl.runtime.trainer.executors.ranks import how_ended, start_ranks, trained

    done = trained(folder)  # by a program that was killed before it saved the model
    copies = None if done else begin_copies(job, folder, report.progress)
    ranks = None if done else start_ranks(job, folder)
    try:
        # the ranks take seconds to start, as do these: they wait for the plan, and not it for them
        stages = stages_of(job.data.type)
        plan = stages.prepare(job, folder, report)
        if stop.set:
            return JobResult(JobStatus.PREEMPTED)
        from mlctl.runtime import tracking
        from mlctl.runtime.trainer.record import Recorder

        with tracking.tracking_errors(job.tracking.uri):
            recorder = Recorder(job, folder)
            if ranks is not None:
                ranks.begin()
                _follow(ranks, recorder, report, stop, watch)
            ended = how_ended(folder)
            if ended is None or not trained(folder):
                recorder.close("KILLED" if stop.set else "FAILED")
                if stop.set or ranks is None:
                    return JobResult(JobStatus.PREEMPTED)
                raise ranks.failure()
            if ended["status"] == "stopped_early":
                report.progress(
                    f"stopped early, after epoch {len(ended['history'])}", ended["step"], ended["total"], "steps"
                )
            return JobResult(
                JobStatus.DONE, _finish(job, stages.finish(job, plan, folder, ended, report), recorder, ended)
            )
    finally:
        if ranks is not None:
            if ranks.running:
                ranks.ask_to_stop()
            ranks.wait()  # also for what they may have left behind
        end_copies(copies, report.progress, stopped=stop.set)


def _follow(ranks: Any, recorder: Any, report: Report, stop: Stop, watch: Watch) -> None:
    """Hand on what the ranks report until they are gone; a request to stop is passed on once."""
    asked = False
    for line in ranks.lines():
        if line is not None:
            tell(line, recorder, report)
            watch(line)
        elif stop.set and not asked:
            asked = True
            report.progress("stopping at the next step")
            ranks.ask_to_stop()
            ranks.wait()
        else:
            time.sleep(_POLL_SECONDS)


def _finish(job: TrainJob, finished: Finished, recorder: Any, ended: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the outputs and the run, and note that all is done."""
    outputs = {
        **finished.outputs,
        "model_uri": f"runs:/{recorder.run_id}/model",
        "run_id": recorder.run_id,
        "experiment_id": recorder.experiment_id,
        "tracking_uri": job.tracking.uri,
        "seconds": round(sum(line["seconds"] for line in ended["history"]), 3),
    }
    ranks = ended["ranks"]
    resources = {
        "resources.cpu_seconds": sum(rank["cpu_seconds"] for rank in ranks),
        "resources.peak_rss_megabytes": sum(rank["peak_rss_megabytes"] for rank in ranks),
        "resources.gpu_megabytes": sum(rank["gpu_megabytes"] for rank in ranks),
    }
    statistics = {**finished.statistics, "device": ranks[0]["device"], "ranks": ranks}
    recorder.finish(outputs, resources, statistics, ended, finished.artifacts)
    atomic.write_json(recorder.folder / _OUTPUTS_FILE, outputs)
    return outputs


def _finished(folder: Path) -> dict[str, Any] | None:
    """The outputs of a training that ended well, when its files are all there."""
    try:
        outputs: dict[str, Any] = json.loads((folder / _OUTPUTS_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return outputs if all(Path(outputs[name]).exists() for name in FILES if name in outputs) else None


def _retag(job: TrainJob) -> None:
    from mlctl.runtime import tracking

    with tracking.tracking_errors(job.tracking.uri):
        client = tracking.connect(job.tracking)
        for run in tracking.own_runs(client, job.tracking):
            for item in (run, *tracking.runs_below(client, run)):
                tracking.set_tags(client, item, job.tracking.labels)


def _adopt(job: AdoptJob, report: Report) -> JobResult:
    from mlctl.runtime import tracking
    from mlctl.runtime.trainer.tabular.adopt import adopt

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
                for item in (*tracking.runs_below(client, run), run):
                    client.delete_run(item.info.run_id)
    return JobResult(JobStatus.DONE)


def _stop_ranks(job: StopRanksJob) -> JobResult:
    """End what may still run for a training, and for each trial of a search."""
    from mlctl.runtime.trainer.executors.ranks import stop_left

    for path in sorted(Path(job.folder).rglob(PLACED_FILE)):
        stop_left(_job_of(path.parent, job), path.parent)
    return JobResult(JobStatus.DONE)


def _job_of(folder: Path, job: StopRanksJob) -> TrainJob:
    """What is trained in a folder: in one of a trial, that trial."""
    if folder.resolve() == Path(job.folder).resolve():
        return job.training
    stored = json.loads((folder / JOB_FILE).read_bytes())["params"]
    return TrainJob.model_validate(secrets.known().opened(stored))
