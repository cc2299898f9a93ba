"""What is said when a table is not what the plan saw any more."""

from __future__ import annotations

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import DatabaseCopy


def changed(source: DatabaseCopy, now: str) -> MlctlError:
    """The error for a table that was written to between the plan and its copy."""
    if source.watermark is None:
        fix = "run `mlctl apply` again; a table that is always written to wants `version: {watermark: COLUMN}`"
    else:
        fix = "run `mlctl apply` again; rows up to a watermark must not change, or it is no watermark"
    return MlctlError.of(
        "data.changed-while-reading",
        f"the rows of {source.relation.strip()[:80]} changed after they were planned",
        f"then: {source.version}; now: {now}",
        fix,
    )
