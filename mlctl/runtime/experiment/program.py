"""The `experiment` program: read exposures and outcomes, keep their sums, and decide by them."""

from __future__ import annotations

import json
import time
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.experiment.moments import collect
from mlctl.runtime.report import Report
from mlctl.stats.experiment_analysis import Design, analyse
from mlctl.stats.experiment_verdict import Look
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.experiment import MOMENTS_FILE, ExperimentJob


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Give the analysis, and leave beside it the sums that it was made of."""
    began = time.monotonic()
    job = ExperimentJob.model_validate(params)
    report.progress("reading exposures and outcomes")
    stored = report.folder / MOMENTS_FILE
    atomic.write_json(stored, collect(job, report.folder))
    moments = json.loads(stored.read_bytes())  # decided by just what is kept, in its order: a replay has nothing else
    report.progress("comparing the arms")
    looks = [Look.from_json(one) for one in job.looks]
    found = analyse(Design.from_json(job.design), moments, looks, final=job.final)
    return JobResult(JobStatus.DONE, {"analysis": found, "seconds": round(time.monotonic() - began, 3)})
