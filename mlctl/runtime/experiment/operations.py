"""What the prediction log tells of an arm beside who was in it: errors and times of answers, put together by unit.

Requests of one unit are no independent draws, so that errors come from units: of a rate or a mean by the delta method, of a
percentile by how far it moves within the error of its own rank. Source: Deng, Knoblich and Lu 2018, Applying the delta method in
metric analytics, section 4 (percentiles of clustered data).
"""

# ruff: noqa: S608 (names are ours, numbers are numbers)

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mlctl.runtime.experiment.exposures import SEEN_FILE, UNITS, log_rows, moment
from mlctl.runtime.profile.database import all_rows, own_parquet
from mlctl.stats.arm_metrics import Moments, estimate
from mlctl.types.jobs.experiment import ExperimentJob, LogExposures

_REQUESTS = "requests"
_MOST_REQUESTS = 20_000_000  # that a percentile looks at; of more, those of some units, drawn by their hash


def read_operations(connection: Any, job: ExperimentJob, folder: Path) -> dict[str, Any]:
    """By name of the operation, as `mlctl.runtime.experiment.moments` gives metrics. Raises MlctlError."""
    if not job.operations or job.log is None:
        return {}
    if isinstance(job.exposures, LogExposures):
        rows = f"{own_parquet(str(folder / SEEN_FILE))} AS s JOIN {UNITS} AS u ON u.unit = s.unit WHERE s.why IS NULL"
    else:  # the log holds hashes of the ids that the dataset has
        units = f"SELECT arm, first, unit_hash(unit) AS key, unit AS id FROM {UNITS}"
        both = f"SELECT key, id, arm, first FROM ({units}) UNION ALL SELECT id, id, arm, first FROM ({units})"
        rows = (
            f"({log_rows(job, job.log, job.subgroups)}) AS s JOIN ({both}) AS u ON u.key = s.unit AND u.arm = s.arm AND s.happened >= u.first "
            f"WHERE s.role IS DISTINCT FROM 'shadow' AND s.happened <= {moment(job.until)}"
        )
    # a request with several rows has a line for each of them, at the same moment
    connection.execute(
        f"CREATE TEMP TABLE {_REQUESTS} AS SELECT s.unit, any_value(u.arm) AS arm, any_value(u.first) AS first, "
        f"max(s.latency_seconds) AS seconds, max(CASE WHEN s.code BETWEEN 1 AND 499 THEN 0 ELSE 1 END) AS failed "
        f"FROM {rows} GROUP BY s.unit, s.request_id, s.happened"
    )
    return {
        name: _summed(connection, job, name)
        if name in ("error_rate", "mean_seconds")
        else _percentile(connection, job, name)
        for name in job.operations
    }


def _summed(connection: Any, job: ExperimentJob, name: str) -> dict[str, Any]:
    """A ratio of two sums over the requests of each unit. Times are of requests that were answered."""
    which = "true" if name == "error_rate" else "failed = 0 AND seconds IS NOT NULL"
    value = "failed" if name == "error_rate" else "seconds"
    units = f"SELECT unit, any_value(arm) AS arm, any_value(first) AS first, sum({value}) AS y, count(*) AS d FROM {_REQUESTS} WHERE {which} GROUP BY unit"
    day = "strftime(make_timestamp(first), '%Y-%m-%d')"
    sums = "count(*) AS n, fsum(y) AS y, fsum(y * y) AS yy, fsum(d) AS d, fsum(d * d) AS dd, fsum(y * d) AS yd"
    days: dict[str, Any] = {arm: {} for arm in job.arms}
    for row in all_rows(connection, f"SELECT {day} AS day, arm, {sums} FROM ({units}) GROUP BY ALL ORDER BY ALL"):
        arm, when = row.pop("arm"), row.pop("day")
        days[arm][when] = {name: value if name == "n" else float(value) for name, value in row.items()}
    return {"pending": {}, "without_value": {}, "without_covariate": 0, "days": days, "subgroups": {}}


def _percentile(connection: Any, job: ExperimentJob, name: str) -> dict[str, Any]:
    share = int(name[1:3]) / 100
    answered = f"SELECT * FROM {_REQUESTS} WHERE failed = 0 AND seconds IS NOT NULL"
    number = connection.execute(f"SELECT count(*) FROM ({answered})").fetchone()[0]
    if number > _MOST_REQUESTS:
        answered += f" AND hash(unit) % {math.ceil(number / _MOST_REQUESTS)} = 0"
    estimates = {}
    for arm in job.arms:
        found = _of_arm(connection, f"SELECT unit, seconds FROM ({answered}) WHERE arm = ?", arm, share)
        if found is not None:
            estimates[arm] = found
    return {"pending": {}, "without_value": {}, "without_covariate": 0, "estimates": estimates}


def _of_arm(connection: Any, requests: str, arm: str, share: float) -> dict[str, Any] | None:
    """The percentile of an arm's requests, its error and its units; None for too few of them."""
    value = connection.execute(f"SELECT quantile_cont(seconds, {share}) FROM ({requests})", [arm]).fetchone()[0]
    if value is None:
        return None
    units = f"SELECT count(*) FILTER (seconds <= ?) AS y, count(*) AS d FROM ({requests}) GROUP BY unit"
    sums = "count(*) AS n, fsum(y) AS y, fsum(y * y) AS yy, fsum(d) AS d, fsum(d * d) AS dd, fsum(y * d) AS yd"
    row = connection.execute(f"SELECT {sums} FROM ({units})", [value, arm]).fetchone()
    if row[0] < 2:
        return None
    rank = estimate("ratio", Moments(row[0], *map(float, row[1:])))
    low, high = max(share - rank.error, 0.0), min(share + rank.error, 1.0)
    around = connection.execute(
        f"SELECT quantile_cont(seconds, [{low!r}, {high!r}]) FROM ({requests})", [arm]
    ).fetchone()[0]
    error = (around[1] - around[0]) / (high - low) * rank.error if high > low else 0.0
    return {"value": value, "error": error, "units": row[0]}
