"""All that an analysis needs of the data, in one small JSON object: sums for each arm, metric, day and subgroup, and what was left out.

The verdict is made of this alone (`mlctl.stats.experiment_analysis`), so that it can be made again without the data.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.runtime.experiment.exposures import UNITS, fold_rare, read_exposures, subgroup_column
from mlctl.runtime.experiment.operations import read_operations
from mlctl.runtime.experiment.outcomes import VALUES, from_outcomes, read_outcomes
from mlctl.runtime.experiment.sql import SECOND
from mlctl.runtime.profile.database import all_rows, database
from mlctl.stats.assignment import unit_hash
from mlctl.types.jobs.experiment import ExperimentJob, Metric

FORMAT = 1
_DAY = 86_400 * SECOND


def collect(job: ExperimentJob, folder: Path) -> dict[str, Any]:
    """Read the data. Raises MlctlError for what cannot be read; what can is counted, or told why not."""
    try:
        return _collected(job, folder)
    finally:
        for path in folder.glob("*.parquet"):  # they hold the ids of units, and as much as the data
            path.unlink()


def _collected(job: ExperimentJob, folder: Path) -> dict[str, Any]:
    with database(folder) as connection:
        connection.create_function("unit_hash", unit_hash, ["VARCHAR"], "VARCHAR")
        exposed = read_exposures(connection, job, folder, from_outcomes(job))
        joined = read_outcomes(connection, job, folder)
        fold_rare(connection, job)
        operations = read_operations(connection, job, folder)
        first, last = connection.execute(f"SELECT min(first), max(first) FROM {UNITS}").fetchone()
        metrics = {metric.name: _metric(connection, job, index, metric) for index, metric in enumerate(job.metrics)}
        found: dict[str, Any] = {
            "format": FORMAT,
            "experiment": job.experiment,
            "until": job.until,
            "first": _iso(first),
            "last": _iso(last),
            "newest_outcome": _iso(joined.newest),
            "days": _units_by_day(connection, job),
            "segments": {name: _units_by_value(connection, subgroup_column(job, name)) for name in job.subgroups},
            "metrics": {**metrics, **operations},
            "exposures": {"rows": exposed.rows, "units": exposed.units, "crossed": exposed.crossed, **exposed.left_out},
            "outcomes": {"rows": joined.rows, **joined.counts},
        }
    for name, count in joined.not_numbers.items():
        metrics[name]["not_numbers"] = count
    return found


def _iso(moment: int | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment / SECOND, UTC).isoformat()


def _day(moment: str) -> str:
    """The day of a time in SQL, as ISO 8601."""
    return f"strftime(make_timestamp({moment}), '%Y-%m-%d')"


def _units_by_day(connection: Any, job: ExperimentJob) -> dict[str, dict[str, int]]:
    """Day of the first exposure, then arm: how many units. Every day between the first and the last is there."""
    rows = all_rows(connection, f"SELECT {_day('first')} AS day, arm, count(*) AS n FROM {UNITS} GROUP BY ALL")
    found: dict[str, dict[str, int]] = {day: {} for day in sorted({row["day"] for row in rows})}
    for row in sorted(rows, key=lambda row: job.arms.index(row["arm"])):
        found[row["day"]][row["arm"]] = row["n"]
    return found


def _units_by_value(connection: Any, column: str) -> dict[str, dict[str, int]]:
    rows = all_rows(connection, f"SELECT {column} AS value, arm, count(*) AS n FROM {UNITS} GROUP BY ALL ORDER BY ALL")
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["value"], {})[row["arm"]] = row["n"]
    return found


def _metric(connection: Any, job: ExperimentJob, index: int, metric: Metric) -> dict[str, Any]:
    y, pending = f"y{index}", f"pending{index}"
    usable = f"{y} IS NOT NULL" + (f" AND d{index} IS NOT NULL" if metric.denominator is not None else "")
    covariate = metric.pre_seconds is not None or metric.covariate is not None
    centre, without = 0.0, 0
    if covariate:
        middle, without = connection.execute(
            f"SELECT avg(x{index}), count(*) FILTER (x{index} IS NULL) FROM {VALUES} WHERE {usable}"
        ).fetchone()
        centre = middle or 0.0
    columns = {
        "y": y,
        "d": f"d{index}" if metric.denominator is not None else None,
        "x": f"coalesce(x{index}, {centre!r})" if covariate else None,
    }
    table = f"{UNITS} AS u JOIN {VALUES} AS v ON v.unit = u.unit"
    days = all_rows(
        connection,
        f"SELECT {_day('first')} AS day, arm, {_sums(columns)} FROM {table} WHERE {usable} GROUP BY ALL ORDER BY ALL",
    )
    left = f"SELECT arm, count(*) FILTER ({pending}) AS pending, count(*) FILTER (NOT {pending} AND NOT ({usable})) AS without FROM {table} GROUP BY arm"
    told = {row["arm"]: row for row in all_rows(connection, left)}
    found: dict[str, Any] = {
        "pending": {arm: told[arm]["pending"] if arm in told else 0 for arm in job.arms},
        "without_value": {arm: told[arm]["without"] if arm in told else 0 for arm in job.arms},
        "without_covariate": without,
        "days": {arm: {} for arm in job.arms},
        "subgroups": {},
    }
    for row in days:
        found["days"][row.pop("arm")][row.pop("day")] = row
    for name in job.subgroups:
        parts: dict[str, Any] = {}
        query = f"SELECT {subgroup_column(job, name)} AS value, arm, {_sums(columns)} FROM {table} WHERE {usable} GROUP BY ALL ORDER BY ALL"
        for row in all_rows(connection, query):
            parts.setdefault(row.pop("value"), {})[row.pop("arm")] = row
        found["subgroups"][name] = parts
    return found


def _sums(columns: dict[str, str | None]) -> str:
    """The fields of `mlctl.stats.arm_metrics.Moments`, by sums that hold small values beside large ones (Kahan)."""
    y, d, x = columns["y"], columns["d"], columns["x"]
    pairs = {
        "y": (y,),
        "yy": (y, y),
        "d": (d,),
        "dd": (d, d),
        "yd": (y, d),
        "x": (x,),
        "xx": (x, x),
        "yx": (y, x),
        "dx": (d, x),
    }
    listed = ["count(*) AS n"]
    for name, factors in pairs.items():
        told = [factor for factor in factors if factor is not None]
        if len(told) == len(factors):
            listed.append(f"fsum({' * '.join(f'({factor})' for factor in told)}) AS {name}")
    return ", ".join(listed)
