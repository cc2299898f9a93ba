"""Predict all rows of a dataset, part by part, and go on after a kill where the last whole part ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.batch.stopping import StopFlag, Stopped
from mlctl.runtime.report import Report
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.batch import MANIFEST_FILE, PARTS, BatchJob, RayBatch
from mlctl.types.value import digest

_TELL_SECONDS = 0.5


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Make every part that is not there, then the manifest. Raises MlctlError."""
    job = BatchJob.model_validate(params)
    stopped = StopFlag()
    folder = report.folder
    from mlctl.runtime.batch.parts import note, parts
    from mlctl.runtime.batch.rows import check_names, prepare

    check_names(job)
    report.progress("reading the rows")
    rows = prepare(job, folder)
    every = list(parts(rows, job.rows_per_part))
    todo = [part for part in every if note(folder, part) is None]
    telling = Telling(report, rows, rows - sum(part.stop - part.start for part in todo))
    try:
        _make(job, folder, todo, telling, stopped)
    except Stopped:
        return JobResult(JobStatus.PREEMPTED)
    return JobResult(JobStatus.DONE, _finish(job, folder, [(part.name, note(folder, part)) for part in every], rows))


def _make(job: BatchJob, folder: Path, todo: list[Any], telling: Telling, stopped: Callable[[], bool]) -> None:
    if todo and isinstance(job.executor, RayBatch):
        from mlctl.runtime.batch.ray import make_all

        make_all(job, job.executor, folder, todo, telling.more, stopped)
        return
    scorer: Any = None
    for part in todo:
        if scorer is None:
            scorer = _scorer(job, folder, stopped)
        if stopped():
            raise Stopped
        scorer.make(part, lambda count: _counted(count, telling, stopped))


def _counted(count: int, telling: Telling, stopped: Callable[[], bool]) -> None:
    telling.more(count)
    if stopped():
        raise Stopped


def _scorer(job: BatchJob, folder: Path, stopped: Callable[[], bool]) -> Any:
    if job.generation is not None:
        from mlctl.runtime.batch.text import TextScorer

        return TextScorer(job, job.generation, folder, stopped)
    from mlctl.runtime.batch.table import TableScorer

    return TableScorer(job, folder)


def _finish(job: BatchJob, folder: Path, made: list[tuple[str, Any]], rows: int) -> dict[str, Any]:
    """Write the manifest, and take away what only the making needed."""
    from mlctl.runtime.batch.rows import discard

    files = [{"name": name, **found} for name, found in made]
    whole = digest([[item["rows"], item["digest"]] for item in files])
    counts = {name: sum(item.get(name, 0) for item in files) for name in ("unknown_keys", "failed")}
    model = {"name": job.model.name, "version": job.model.version, "digest": job.model.digest}
    dataset = {"name": job.dataset.name, "digest": job.dataset.digest}
    facts = {
        "rows": rows,
        "model": model,
        "dataset": dataset,
        "where": job.where,
        "digest": whole,
        "files": files,
        **counts,
    }
    atomic.write_json(folder / PARTS / MANIFEST_FILE, facts)
    discard(folder)
    place = Path(os.path.relpath(folder / PARTS)).as_posix()
    return {
        "path": place, "files": [f"{place}/{item['name']}" for item in files], "format": "parquet", "rows": rows,
        "model": job.model.name, "version": job.model.version, "digest": whole, "bytes": sum(item["bytes"] for item in files),
        **{name: count for name, count in counts.items() if count},
    }  # fmt: skip


class Telling:
    """How far it is: rows, rows in a second, and how long the rest will take."""

    def __init__(self, report: Report, rows: int, before: int) -> None:
        self._report, self._rows, self._done, self._before = report, rows, before, before
        self._began = self._told = time.monotonic()

    def more(self, count: int) -> None:
        """So many more rows are predicted."""
        self._done += count
        now = time.monotonic()
        if now - self._told < _TELL_SECONDS and self._done < self._rows:
            return
        self._told = now
        rate = (self._done - self._before) / max(now - self._began, 1e-6)
        left = (self._rows - self._done) / rate if rate > 0 else 0.0
        self._report.progress(
            "predicting", self._done, self._rows, "rows", rows_per_second=round(rate, 1), eta_seconds=round(left, 1)
        )
