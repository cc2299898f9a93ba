"""The `transform` program: load the function of an on-demand view and call it once, before anything is made with it."""

from __future__ import annotations

from typing import Any

from mlctl.runtime.features.transform import load
from mlctl.runtime.report import Report
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.features import CheckTransformationParams


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Raises MlctlError for a function that does not do what its block says."""
    job = CheckTransformationParams.model_validate(params)
    for item in load([job.transformation]):
        item.try_out()
    return JobResult(JobStatus.DONE)
