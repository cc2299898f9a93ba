"""What units did after they were first shown their arm: one value of each metric a unit, from the rows of its own window.

A row before the exposure, after the end of the window or without a number is counted as that, and in no metric. A unit
whose window is not over is pending: it has no value yet, and not the value nothing.
"""

# ruff: noqa: S608 (names go through quote())

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.runtime.experiment.exposures import UNITS, covariate_columns, moment, subgroup_column
from mlctl.runtime.experiment.sql import SECOND, number_of, text_of, time_of
from mlctl.runtime.profile.database import literal, one_row, own_parquet, quote
from mlctl.runtime.profile.source import relation
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.experiment import Aggregate, ExperimentJob, LogExposures, Metric, Outcomes

VALUES = "unit_values"
_EVENTS_FILE = "outcomes.parquet"
_SKEW_SECONDS = 60  # an outcome so little before its exposure is told apart: two clocks differ
_OF_NOTHING: dict[Aggregate, str] = {"any": "0.0", "sum": "0.0", "count": "0.0"}  # the others have no value of no rows


@dataclass(frozen=True)
class Joined:
    """What became of the rows of the outcomes; one row may count in several of `counts`."""

    rows: int
    counts: dict[str, int]
    not_numbers: dict[str, int]  # by metric
    newest: int | None  # microseconds of the last row that counts, by the end of the data


def read_outcomes(connection: Any, job: ExperimentJob, folder: Path) -> Joined:
    """Make the table of values: unit, and of each metric its y, d and x; null while pending or without a value. Raises MlctlError."""
    rows, repeated = _write_events(connection, job, job.outcomes, folder)
    events = own_parquet(str(folder / _EVENTS_FILE))
    _subgroups_from(connection, job, events)
    until = moment(job.until)
    joined = f"SELECT e.*, u.first FROM {events} AS e LEFT JOIN {UNITS} AS u ON u.unit = e.unit"
    told = one_row(
        connection,
        f"""SELECT count(*) FILTER (unit IS NULL OR unit = '') AS without_unit, count(*) FILTER (happened IS NULL) AS without_time,
        count(*) FILTER (happened > {until}) AS after_the_end, count(*) FILTER (first IS NULL AND unit <> '' AND happened <= {until}) AS of_no_exposed_unit,
        count(*) FILTER (happened < first AND happened >= first - {_SKEW_SECONDS * SECOND}) AS clock_skew,
        count(*) FILTER (happened < first - {_SKEW_SECONDS * SECOND}) AS before_exposure,
        max(happened) FILTER (happened <= {until}) AS newest FROM ({joined})""",
    )
    newest = told.pop("newest")
    columns = [part for index, metric in enumerate(job.metrics) for part in _aggregated(index, metric)]
    connection.execute(
        f"CREATE TEMP TABLE {VALUES} AS WITH joined AS ({joined} WHERE u.first IS NOT NULL AND e.happened <= {until}), "
        f"summed AS (SELECT unit, {', '.join(columns)} FROM joined GROUP BY unit) "
        f"SELECT u.unit, {', '.join(_value(job, index, metric, until) for index, metric in enumerate(job.metrics))} "
        f"FROM {UNITS} AS u LEFT JOIN summed AS s ON s.unit = u.unit"
    )
    _refuse_neither_yes_nor_no(connection, job)
    bad = one_row(
        connection,
        f"SELECT {', '.join(f'sum(bad{index}) AS n{index}' for index in range(len(job.metrics)))} FROM {VALUES}",
    )
    return Joined(
        rows,
        {"repeated": repeated, **{name: int(count) for name, count in told.items()}},
        {metric.name: int(bad[f"n{index}"] or 0) for index, metric in enumerate(job.metrics)},
        newest,
    )


def _refuse_neither_yes_nor_no(connection: Any, job: ExperimentJob) -> None:
    """A proportion counts zeros and ones: by `any` it always does, else the column has to hold them. Raises MlctlError."""
    for index, metric in enumerate(job.metrics):
        if metric.type != "proportion":
            continue
        found = connection.execute(
            f"SELECT count(*), any_value(y{index}) FROM {VALUES} WHERE y{index} NOT IN (0, 1)"
        ).fetchone()
        if found[0]:
            raise MlctlError.of(
                "experiment.not-yes-or-no",
                f"`{metric.column}` of `{job.outcomes.name}` makes {found[1]:g} of a unit, and the proportion `{metric.name}` counts 0 and 1",
                f"{found[0]:,} units have a value that is neither",
                "write `aggregate: any` for whether there was one above 0, or `type: mean`",
            )


def _write_events(connection: Any, job: ExperimentJob, outcomes: Outcomes, folder: Path) -> tuple[int, int]:
    """Each row once, with the key of its unit as the exposures have it; gives how many rows there were and how many repeated one."""
    columns, name = outcomes.source.columns, outcomes.name
    unit = text_of(outcomes.unit, columns, name, "the unit")
    time = time_of(outcomes.timestamp, columns, name, end_of_day=True)
    numbers = [f"{expression} AS {label}" for label, expression in _numbers(job, outcomes).items()]
    kept = [
        f"{text_of(item, columns, name, 'a subgroup')} AS {subgroup_column(job, item)}" for item in from_outcomes(job)
    ]
    same = ", ".join(quote(item) for item in outcomes.source.key or columns)
    every = ", ".join(quote(item) for item in columns)
    once = f"SELECT * FROM {relation(outcomes.source)} QUALIFY row_number() OVER (PARTITION BY {same} ORDER BY {every}) = 1"
    made = f"SELECT {', '.join([f'{unit} AS unit', f'{time} AS happened', *numbers, *kept])} FROM ({once})"
    if isinstance(job.exposures, LogExposures):  # the log holds hashes of ids, and the outcomes may hold either
        connection.execute(
            f"CREATE TEMP TABLE unit_keys AS SELECT id, CASE WHEN id IN (SELECT unit FROM {UNITS}) THEN id ELSE unit_hash(id) END AS key "
            f"FROM (SELECT DISTINCT {unit} AS id FROM {relation(outcomes.source)}) WHERE id IS NOT NULL AND id <> ''"
        )
        made = f"SELECT e.* REPLACE (k.key AS unit) FROM ({made}) AS e LEFT JOIN unit_keys AS k ON k.id = e.unit"
    connection.execute(f"COPY ({made}) TO {literal(str(folder / _EVENTS_FILE))} (FORMAT parquet)")
    rows = connection.execute(f"SELECT count(*) FROM {relation(outcomes.source)}").fetchone()[0]
    written = connection.execute(f"SELECT count(*) FROM {own_parquet(str(folder / _EVENTS_FILE))}").fetchone()[0]
    return rows, rows - written


def from_outcomes(job: ExperimentJob) -> list[str]:
    """Subgroups that only the outcomes tell: of a unit, its last value before it was exposed. Raises MlctlError for one that nobody tells."""
    if isinstance(job.exposures, LogExposures):
        return [name for name in job.subgroups if name in job.outcomes.source.columns]
    missing = [name for name in job.subgroups if name not in job.exposures.source.columns]
    for name in missing:
        if name not in job.outcomes.source.columns:
            raise MlctlError.of(
                "data.missing-column",
                f"neither `{job.exposures.name}` nor `{job.outcomes.name}` have a column `{name}`",
                "it is a subgroup of the experiment",
                "name a column that was known before the exposure",
            )
    return missing


def _subgroups_from(connection: Any, job: ExperimentJob, events: str) -> None:
    for name in from_outcomes(job):
        column = subgroup_column(job, name)
        connection.execute(f"ALTER TABLE {UNITS} ADD COLUMN {column} VARCHAR DEFAULT '(none)'")
        connection.execute(
            f"UPDATE {UNITS} SET {column} = found.value FROM (SELECT e.unit, arg_max(e.{column}, e.happened) AS value FROM {events} AS e "
            f"JOIN {UNITS} AS u ON u.unit = e.unit AND e.happened <= u.first GROUP BY e.unit) AS found WHERE found.unit = {UNITS}.unit AND found.value IS NOT NULL"
        )


def _numbers(job: ExperimentJob, outcomes: Outcomes) -> dict[str, str]:
    """What is read of each row: n0 and d0 of the first metric, and so on."""
    columns, name, found = outcomes.source.columns, outcomes.name, {}
    for index, metric in enumerate(job.metrics):
        found[f"n{index}"] = number_of(metric.column, columns, name, metric.name)
        if metric.denominator is not None:
            found[f"d{index}"] = number_of(metric.denominator, columns, name, metric.name)
    return found


def _span(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * SECOND)


def _aggregated(index: int, metric: Metric) -> list[str]:
    """The parts of a query that put the rows of a unit together: y, d, x and how many were no numbers."""
    window = _span(metric.window_seconds)
    within = "happened >= first" + (f" AND happened < first + {window}" if window is not None else "")
    parts = [
        f"{_together(f'n{index}', metric.aggregate, within)} AS y{index}",
        f"count(*) FILTER ({within} AND n{index} IS NULL) AS bad{index}",
    ]
    if metric.denominator is not None:
        parts.append(f"{_together(f'd{index}', metric.denominator_aggregate, within)} AS d{index}")
    if metric.pre_seconds is not None:
        before = f"happened < first AND happened >= first - {_span(metric.pre_seconds)}"
        parts.append(f"{_together(f'n{index}', metric.aggregate, before)} AS x{index}")
    return parts


def _together(column: str, how: Aggregate, where: str) -> str:
    made = {
        "any": f"max(CASE WHEN {column} > 0 THEN 1.0 ELSE 0.0 END)",
        "sum": f"sum({column})",
        "count": f"CAST(count({column}) AS DOUBLE)",
        "mean": f"avg({column})",
        "min": f"min({column})",
        "max": f"max({column})",
        "first": f"arg_min({column}, happened)",
        "last": f"arg_max({column}, happened)",
    }[how]
    if how == "count":
        return made.replace(f"count({column})", f"count({column}) FILTER ({where})")
    return f"{made} FILTER ({where} AND {column} IS NOT NULL)"


def _value(job: ExperimentJob, index: int, metric: Metric, until: int) -> str:
    """The columns of one metric: a unit that is not pending and did nothing has the value of nothing, where there is one."""
    window = _span(metric.window_seconds)
    over = "true" if window is None else f"u.first + {window} <= {until}"
    parts = [
        f"CASE WHEN {over} THEN coalesce(s.y{index}, {_OF_NOTHING.get(metric.aggregate, 'NULL')}) END AS y{index}",
        f"coalesce(s.bad{index}, 0) AS bad{index}",
        f"NOT ({over}) AS pending{index}",
    ]
    if metric.denominator is not None:
        nothing = _OF_NOTHING.get(metric.denominator_aggregate, "NULL")
        parts.append(f"CASE WHEN {over} THEN coalesce(s.d{index}, {nothing}) END AS d{index}")
    if metric.pre_seconds is not None:
        parts.append(f"coalesce(s.x{index}, {_OF_NOTHING.get(metric.aggregate, 'NULL')}) AS x{index}")
    elif metric.covariate is not None:
        parts.append(f"u.{covariate_columns(job)[metric.covariate]} AS x{index}")
    return ", ".join(parts)
