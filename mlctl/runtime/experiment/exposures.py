"""Who was shown which arm, and when first: from the prediction log of a deployment, or from a dataset of exposures.

Everything that is not counted is counted as that: a row has a reason why it is none, or is an exposure.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files.day_logs import day_files
from mlctl.runtime.experiment.sql import SECOND, number_of, text_of, time_of
from mlctl.runtime.profile.database import all_rows, literal, own_parquet
from mlctl.runtime.profile.source import relation
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.experiment import ExperimentJob, LogExposures, TableExposures

SEEN_FILE, UNITS = "exposures.parquet", "units"
_LOG_COLUMNS = {
    "ts": "VARCHAR", "request_id": "VARCHAR", "unit": "VARCHAR", "variant": "VARCHAR", "role": "VARCHAR",
    "propensity": "DOUBLE", "latency_seconds": "DOUBLE", "code": "BIGINT",
}  # fmt: skip
_SUBGROUP = "subgroup_"  # columns subgroup_0, subgroup_1 ... in the order of the job
_MOST_VALUES = 20  # of a subgroup; the rest are one


@dataclass(frozen=True)
class Exposed:
    """What was found: rows by why they are no exposure, and how many units were in more than one arm."""

    rows: int
    left_out: dict[str, int]
    crossed: int
    units: int


def read_exposures(connection: Any, job: ExperimentJob, folder: Path, of_outcomes: Sequence[str] = ()) -> Exposed:
    """Make the table `units`: unit, arm, first (microseconds), day, and a column for each subgroup. Raises MlctlError.

    `of_outcomes` are subgroups that the exposures do not tell; they are left for the outcomes to fill in.
    """
    connection.execute(f"COPY ({_rows(job, of_outcomes)}) TO {literal(str(folder / SEEN_FILE))} (FORMAT parquet)")
    seen = own_parquet(str(folder / SEEN_FILE))
    reasons = {
        row["why"]: row["n"] for row in all_rows(connection, f"SELECT why, count(*) AS n FROM {seen} GROUP BY why")
    }
    own = [index for index, name in enumerate(job.subgroups) if name not in of_outcomes]
    first = "".join(
        f", arg_min(coalesce({_SUBGROUP}{index}, '(none)'), happened) AS {_SUBGROUP}{index}" for index in own
    )
    # of the first exposure, even when it has none: a later one may have been changed by the arm
    covariates = "".join(f", arg_min_null({name}, happened) AS {name}" for name in covariate_columns(job).values())
    connection.execute(
        f"CREATE TEMP TABLE {UNITS} AS SELECT unit, arg_min(arm, happened) AS arm, min(happened) AS first, count(DISTINCT arm) AS arms{first}{covariates} "
        f"FROM {seen} WHERE why IS NULL GROUP BY unit"
    )
    (crossed, units) = connection.execute(f"SELECT count(*) FILTER (arms > 1), count(*) FROM {UNITS}").fetchone()
    connection.execute(f"DELETE FROM {UNITS} WHERE arms > 1")
    connection.execute(f"ALTER TABLE {UNITS} DROP COLUMN arms")
    left_out = {
        name: count for name, count in sorted(reasons.items(), key=lambda item: str(item[0])) if name is not None
    }
    return Exposed(sum(reasons.values()), left_out, crossed, units)


def covariate_columns(job: ExperimentJob) -> dict[str, str]:
    """The columns that covariates of metrics are read into, by the name they have in the data."""
    names = dict.fromkeys(metric.covariate for metric in job.metrics if metric.covariate is not None)
    return {name: f"covariate_{index}" for index, name in enumerate(names)}


def subgroup_column(job: ExperimentJob, name: str) -> str:
    """The column of `units` that a subgroup is in."""
    return f"{_SUBGROUP}{job.subgroups.index(name)}"


def fold_rare(connection: Any, job: ExperimentJob) -> None:
    """Keep the commonest values of each subgroup, and make one of the rest."""
    for name in job.subgroups:
        column = subgroup_column(job, name)
        common = f"SELECT {column} FROM {UNITS} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {_MOST_VALUES}"
        connection.execute(f"UPDATE {UNITS} SET {column} = '(other)' WHERE {column} NOT IN ({common})")


def _rows(job: ExperimentJob, of_outcomes: Sequence[str]) -> str:
    """A query of all rows: unit, arm, happened, why, and what else the source tells."""
    until = moment(job.until)
    known = ", ".join(literal(arm) for arm in job.arms)
    if isinstance(job.exposures, LogExposures):
        inner = log_rows(job, job.exposures, of_outcomes)
        since = moment(job.exposures.since)
        first = (
            "WHEN unreadable THEN 'unreadable' WHEN role = 'shadow' THEN 'shadow' WHEN propensity IS NULL THEN 'chosen_by_client' "
            f"WHEN happened < {since} THEN 'before_the_start' "
        )
    else:
        inner, first = _table_rows(job, job.exposures, of_outcomes), ""
    return (
        f"SELECT * EXCLUDE (unreadable, role, propensity), CASE {first}WHEN happened IS NULL THEN 'without_time' WHEN unit IS NULL OR unit = '' THEN 'without_unit' "
        f"WHEN arm IS NULL OR arm NOT IN ({known}) THEN 'other_arm' WHEN happened > {until} THEN 'after_the_end' END AS why FROM ({inner})"
    )


def log_rows(job: ExperimentJob, log: LogExposures, of_outcomes: Sequence[str] = ()) -> str:
    """A query of a prediction log's rows between the start and the end. Raises MlctlError when there is no log."""
    files = log_files(Path(log.folder), log.since, job.until)
    if not files:
        raise MlctlError.of(
            "experiment.no-exposures",
            f"the prediction log of deployments.{log.deployment} is empty since {log.since}",
            "who was shown which arm is read from there",
            "send requests through the deployment's gateway, with the header that names the unit",
        )
    listed = ", ".join(f"{name}: {literal(kind)}" for name, kind in {**_LOG_COLUMNS, "features": "JSON"}.items())
    paths = ", ".join(literal(str(file)) for file in files)
    table = f"read_json([{paths}], format='newline_delimited', ignore_errors=true, columns={{{listed}}})"
    features = [
        f", {_feature(name)} AS {_SUBGROUP}{index}" for index, name in enumerate(job.subgroups) if name not in of_outcomes
    ]  # fmt: skip
    features += [
        f", TRY_CAST({_feature(name)} AS DOUBLE) AS {column}" for name, column in covariate_columns(job).items()
    ]
    at = "TRY_CAST(ts AS TIMESTAMPTZ)"
    return (
        f"SELECT unit, variant AS arm, CASE WHEN isfinite({at}) THEN epoch_us({at}) END AS happened, role, propensity, request_id, latency_seconds, code, "
        f"(ts IS NULL AND variant IS NULL) AS unreadable{''.join(features)} FROM {table}"
    )


def _feature(name: str) -> str:
    """A feature of a logged request, as text."""
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return f"json_extract_string(features, {literal(pointer)})"


def moment(text: str) -> int:
    """A time in ISO 8601 as microseconds since 1970."""
    return int(datetime.fromisoformat(text).timestamp() * SECOND)


def log_files(folder: Path, since: str, until: str) -> list[Path]:
    """The files of a prediction log that may hold a row between two moments; a day more on both sides, for clocks."""
    low, high = (datetime.fromisoformat(item).astimezone(UTC).date().toordinal() for item in (since, until))
    found = ((path, datetime.fromisoformat(path.stem).date().toordinal()) for path in day_files(folder))
    return [path for path, day in found if low - 1 <= day <= high + 1 and path.stat().st_size]


def _table_rows(job: ExperimentJob, table: TableExposures, of_outcomes: Sequence[str]) -> str:
    columns, name = table.source.columns, table.name
    parts = [
        f"{text_of(table.unit, columns, name, 'the unit')} AS unit",
        f"{text_of(table.arm, columns, name, 'the arm')} AS arm",
        f"{time_of(table.timestamp, columns, name)} AS happened",
        "NULL AS role", "NULL AS propensity", "false AS unreadable",
    ]  # fmt: skip
    parts += [
        f"{text_of(item, columns, name, 'a subgroup')} AS {_SUBGROUP}{index}"
        for index, item in enumerate(job.subgroups) if item not in of_outcomes
    ]  # fmt: skip
    parts += [
        f"{number_of(item, columns, name, 'a covariate')} AS {column}"
        for item, column in covariate_columns(job).items()
    ]
    return f"SELECT {', '.join(parts)} FROM {relation(table.source)}"
