"""The `backtest` program: give the verdict of a monitor as it would have been at each of several moments in the past."""

from __future__ import annotations

from typing import Any

from mlctl.runtime.monitor import program
from mlctl.runtime.report import Report
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.monitor import BacktestJob, MonitorJob, remembered


class _Quiet(Report):
    """What a part tells of its own progress would hide how far the whole is."""

    def progress(self, *_: Any, **__: Any) -> None:
        """Say nothing."""


def main(params: dict[str, Any], report: Report) -> JobResult:
    """One run after the other, oldest first; no page is drawn."""
    job = BacktestJob.model_validate(params)
    quiet = _Quiet(report.folder)
    runs: list[dict[str, Any]] = []
    memory: dict[str, Any] = {}
    for number, moment in enumerate(job.moments):
        report.progress("watching the past", number, len(job.moments), "runs")
        one = MonitorJob(
            monitor=job.monitor,
            predictions=job.predictions,
            until=moment,
            parts=job.parts,
            min_impact=job.min_impact,
            memory=memory,
            asks=False,
        )
        runs.append(program.together(one, program.look(one, quiet)))
        memory |= remembered(runs[-1])
    return JobResult(JobStatus.DONE, {"runs": runs})
