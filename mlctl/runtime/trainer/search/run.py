"""Search for hyperparameters: one training after another, each in a folder of its own, until all trials are over."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime import secrets, tracking
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.executors.ranks import stop_left
from mlctl.runtime.trainer.plan import ENDED_FILE, PROGRESS_FILE
from mlctl.runtime.trainer.provenance import SEARCHED_BY_TAG, TRIAL_TAG
from mlctl.runtime.trainer.search import drawing, sampling
from mlctl.runtime.trainer.search.trials import Trial, Trials
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JOB_FILE, JobResult, JobStatus
from mlctl.types.jobs.executors import PLACED_FILE
from mlctl.types.jobs.recipe import Recipe
from mlctl.types.jobs.search import EPOCH_METRICS, TRIAL_OF, Search
from mlctl.types.jobs.train import TrainJob

DIVERGED = "FloatingPointError"  # what a rank raises when the loss is no number any more
# Trains one job in a folder, asked after each line of its ranks whether it is to stop: `mlctl.runtime.trainer.program.train`.
Train = Callable[[TrainJob, Report, Any, Callable[[Mapping[str, Any]], None]], JobResult]


def search(job: TrainJob, report: Report, stop: Any, train: Train) -> JobResult:
    """Go through all trials, or on with them, and give the outputs of the best. Raises MlctlError."""
    with tracking.tracking_errors(job.tracking.uri):
        return _Searching(job, report, stop, train).run()


class _Searching:
    def __init__(self, job: TrainJob, report: Report, stop: Any, train: Train) -> None:
        assert job.search is not None  # noqa: S101
        self.job, self.report, self.stop, self.train = job, report, stop, train
        self.search: Search = job.search
        self.trials = Trials(report.folder)
        self.sampling = sampling.Sampling(self.search, job.recipe.seed, job.recipe.epochs)
        self.client = tracking.connect(job.tracking)
        run = tracking.open_run(self.client, job.tracking, {"mlctl.search": self.search.model_dump_json()})
        self.run_id: str = run.info.run_id

    def run(self) -> JobResult:
        """All trials, then the best."""
        self._settle()
        while len(self.trials.over) < self.search.trials:
            if self.stop.set:
                self._close("KILLED")
                return JobResult(JobStatus.PREEMPTED)
            trial = self.trials.running or self.trials.begin(self.sampling.next(self.trials.over))
            result = self._try(trial)
            if result is not None:
                self._close("KILLED")
                return result
            self.trials.trim(self.trials.best(self.search.direction))
        best = self.trials.best(self.search.direction)
        if best is None:
            self._close("FAILED")
            raise self._none()
        made = self.train(self._job_of(best), _TrialReport(self, best), self.stop, lambda line: None)
        if made.status is not JobStatus.DONE:
            return made
        self.report.progress(f"the best of {len(self.trials.all)} trials is number {best.number + 1}")
        outputs = {**made.outputs, "search": self._summary(best), "search_run_id": self.run_id}
        self._log(best)
        self._close("FINISHED")
        return JobResult(JobStatus.DONE, outputs)

    def _try(self, trial: Trial) -> JobResult | None:
        """One trial to its end; a result when the search itself is to end."""
        pruning = _Pruning(self, trial)
        for line in told(self.trials.folder(trial)):  # to a program that was killed before it read all
            pruning.watch(line)
        try:
            result = self.train(self._job_of(trial), _TrialReport(self, trial), pruning, pruning.watch)
        except MlctlError as error:
            if not diverged(error):
                self._close("FAILED")
                raise
            trial.status, trial.error = "failed", error.diagnostics[0].summary
            self.trials.note(trial)
            self.report.progress(f"trial {trial.number + 1} of {self.search.trials} diverged")
            return None
        if trial.status == "pruned":
            self._settle()
            return None
        if result.status is not JobStatus.DONE:
            return result
        value = self._measured(result.outputs)
        if not math.isfinite(value):
            trial.status, trial.error = "failed", f"its {self.search.metric} is {value}"
            self.trials.note(trial)
            return None
        trial.value, trial.status = value, "done"
        if self.search.metric in EPOCH_METRICS:
            ended = json.loads((self.trials.folder(trial) / ENDED_FILE).read_bytes())
            trial.told = [(int(line["epoch"]), line[self.search.metric]) for line in ended["history"]]
        self.trials.note(trial)
        return None

    def _settle(self) -> None:
        """End the ranks, and close the runs, of trials that were over when a kill came."""
        for trial in self.trials.over:
            if (self.trials.folder(trial) / PLACED_FILE).exists():  # ranks of a cluster, that nobody told to stop
                stop_left(self._job_of(trial), self.trials.folder(trial))
        over = {str(trial.number + 1) for trial in self.trials.over}
        for run in tracking.runs_below(self.client, self.client.get_run(self.run_id)):
            if run.info.status == "RUNNING" and run.data.tags.get(TRIAL_TAG) in over:
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _measured(self, outputs: Mapping[str, Any]) -> float:
        value = outputs["metrics"].get(self.search.metric)
        if not isinstance(value, int | float):
            raise MlctlError.of(
                "search.no-metric",
                f"the training tells no `{self.search.metric}`",
                f"the trials are compared by it; there are {', '.join(sorted(outputs['metrics']))}",
                "set `search.metric` to one of them",
            )
        return float(value)

    def _job_of(self, trial: Trial) -> TrainJob:
        """The training of a trial: the search's own with some fields of its recipe set, as a run below the search's."""
        recipe = self.job.recipe.model_dump(mode="json")
        for name, value in trial.params.items():
            *blocks, last = self.search.space[name].path.split(".")
            around = recipe
            for block in blocks:
                around = around[block]
            around[last] = value
        storage = recipe["checkpoint"].get("storage")
        if storage is not None:
            storage["url"] += f"/trial-{trial.number:04d}"
        target = self.job.tracking
        labels = {
            **target.labels,
            tracking.PARENT_TAG: self.run_id,
            SEARCHED_BY_TAG: target.address,
            TRIAL_TAG: str(trial.number + 1),
        }
        own = {
            "object": f"{target.object}{TRIAL_OF}{trial.number + 1:04d}",
            "address": f"{target.address}-trial-{trial.number + 1:04d}",
            "labels": labels,
        }
        made = self.job.model_copy(
            update={
                "recipe": Recipe.model_validate(recipe),
                "tracking": target.model_copy(update=own),
                "search": None,
            }
        )
        path = self.trials.folder(trial) / JOB_FILE
        if not path.exists():
            params = secrets.known().masked(made.model_dump(mode="json"))
            atomic.write_json(path, {"program": "train", "params": params})
        return made

    def _summary(self, best: Trial) -> dict[str, Any]:
        return {
            "trials": len(self.trials.all),
            "pruned": sum(trial.status == "pruned" for trial in self.trials.all),
            "failed": sum(trial.status == "failed" for trial in self.trials.all),
            "best": best.number + 1,
            "metric": self.search.metric,
            "value": best.value,
            "params": best.params,
        }

    def _log(self, best: Trial) -> None:
        """What came of it, in the run above those of the trials."""
        from mlflow.entities import Metric, Param

        known = self.client.get_run(self.run_id).data.params
        params = [Param(f"best.{name}", json.dumps(value)) for name, value in best.params.items()]
        done = [trial for trial in self.trials.all if trial.value is not None]
        now, name = int(time.time() * 1000), self.search.metric
        values = [Metric(f"trial_{name}", trial.value, now, trial.number + 1) for trial in done]
        values.append(Metric(f"best_{name}", best.value, now, len(self.trials.all)))
        self.client.log_batch(self.run_id, metrics=values, params=[item for item in params if item.key not in known])
        study = self.sampling.study(self.trials.over)
        for path in drawing.draw(self.report.folder, self.search, self.trials.all, sampling.importances(study)):
            self.client.log_artifact(self.run_id, str(path), drawing.PLOTS_FOLDER)

    def _close(self, status: str) -> None:
        self.client.set_terminated(self.run_id, status)

    def _none(self) -> MlctlError:
        errors = [trial.error for trial in self.trials.all if trial.error]
        return MlctlError.of(
            "search.nothing-found",
            f"none of {len(self.trials.all)} trials went to its end",
            f"the last one: {errors[-1]}" if errors else "all of them were ended early",
            "narrow the space, above all `optimizer.lr`",
        )


class _Pruning:
    """A stop for one trial: that of the program, or its own when it does badly."""

    def __init__(self, searching: _Searching, trial: Trial) -> None:
        self._searching, self._trial = searching, trial

    @property
    def set(self) -> bool:
        """Whether the ranks are to stop."""
        return self._trial.status == "pruned" or self._searching.stop.set

    def watch(self, line: Mapping[str, Any]) -> None:
        """Take a line of the ranks: after an epoch a trial is compared with those before it."""
        metric = self._searching.search.metric
        if line["type"] != "epoch" or metric not in EPOCH_METRICS:
            return
        trial, searching = self._trial, self._searching
        if trial.status != "running" or any(epoch >= line["epoch"] for epoch, _ in trial.told):
            return  # told before it was cut off and went on
        trial.told.append((line["epoch"], line[metric]))
        if line["step"] < line["total"] and searching.sampling.hopeless(searching.trials.over, trial):
            trial.status, trial.value = "pruned", line[metric]
        searching.trials.note(trial)


class _TrialReport(Report):
    """Progress of a trial as that of the whole search."""

    def __init__(self, searching: _Searching, trial: Trial) -> None:
        super().__init__(searching.trials.folder(trial))
        self._searching, self._number = searching, trial.number

    def progress(
        self, message: str, done: float | None = None, total: float | None = None, unit: str = "", **metrics: float
    ) -> None:
        """One line of the search."""
        search = self._searching.search
        best = self._searching.trials.best(search.direction)
        if best is not None and best.value is not None:
            metrics[f"best_{search.metric}"] = best.value
        share = done / total if done is not None and total else 0.0
        message = f"trial {self._number + 1} of {search.trials}, {message}"
        self._searching.report.progress(message, round(self._number + share, 3), search.trials, "trials", **metrics)


def told(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines that the ranks of an earlier try wrote, as far as they are whole."""
    path = folder / PROGRESS_FILE
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(ValueError):
            stored = json.loads(line)
            if isinstance(stored, dict) and "type" in stored:
                yield stored


def diverged(error: MlctlError) -> bool:
    """Whether a training ended because its loss is no number any more, which says something about its hyperparameters."""
    return any(DIVERGED in item.summary or item.code == "training.diverged" for item in error.diagnostics)
