"""Feature windows over a dense grid of snapshots, in DuckDB.

Time is cut into steps of the grid, counted from 1970-01-01 UTC; an event at a step's very start belongs to that step. A
key has a snapshot at the end of every step, from its first event to the last event of the whole source, stamped with the
step's end: the first moment at which the values are known. A window of w covers the w before that moment.

No result depends on the order in which rows are met, so that a re-run gives the same bits: sums are taken over decimals
(exact), and a last value is chosen by time and then by size.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.runtime.features.spread import make_moments, make_spread
from mlctl.runtime.features.sql import KEY_TYPES, copy_parquet, fitting, only_row
from mlctl.runtime.profile.database import own_parquet, quote
from mlctl.runtime.profile.source import relation
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import EVENT_TIMESTAMP, FeatureColumn, MaterializeParams

MAX_SNAPSHOT_ROWS = 1_000_000_000
_DECIMAL_DIGITS = 37  # DECIMAL(38, s) holds 38; one is kept for rounding up
_SUM_SCALE = 20  # finer than the 16 digits of a double for any value above 0.0001
_FUTURE_SECONDS = 86_400
_SQL_TYPES = {"float64": "DOUBLE", "float32": "FLOAT", "int64": "BIGINT"}
_FLOATS = ("float", "double")
_SUMMED = ("sum", "mean", "std")


@dataclass(frozen=True, slots=True)
class Snapshots:
    """What was written: rows, the first and the last snapshot, and a digest of the content and schema."""

    rows: int
    keys: int
    since: datetime
    until: datetime
    digest: str


@dataclass(frozen=True, slots=True)
class _Column:
    """With which types the values of a source column, and squares of them, add up exactly."""

    sums: str | None  # None for integers and decimals, which DuckDB sums exactly as they are
    squares: str


def compute(connection: Any, params: MaterializeParams, output: Path) -> Snapshots:
    """Write the snapshots of a view as parquet, sorted by key and time. Raises MlctlError."""
    with fitting():
        return _compute(connection, params, output)


def _compute(connection: Any, params: MaterializeParams, output: Path) -> Snapshots:
    types = params.source.columns
    _make_events(connection, params)
    events, last_step = _measure_events(connection, params)
    rows = _count_rows(connection, params, last_step)
    summed = {name: _summed_column(connection, name, types[name], events) for name in _columns_with(params, _SUMMED)}
    _make_partials(connection, params, summed)
    _make_grid(connection, last_step)
    for name in _columns_with(params, ("count_distinct",)):
        _make_gaps(connection, name)
    _make_spreads(connection, params, summed)
    copy_parquet(connection, _snapshot_query(params), output)
    made = describe(connection, params, output)
    if made.rows != rows:
        raise MlctlError.of(
            "features.wrote-short",
            f"{made.rows:,} of {rows:,} snapshots were written",
            "the source changed while it was read",
            "run `mlctl apply` again",
        )
    return made


def _columns_with(params: MaterializeParams, aggregates: tuple[str, ...]) -> list[str]:
    """The source columns that some feature aggregates in one of these ways, each once."""
    return sorted({item.column for item in params.features if item.aggregate in aggregates and item.column is not None})


def _make_events(connection: Any, params: MaterializeParams) -> None:
    """The events as `key`, `moment`, `step` and the columns that features need; rows without key or time belong to nobody."""
    grid = params.grid_seconds * 1_000_000
    wanted = sorted({item.column for item in params.features if item.column is not None})
    picked = "".join(
        f", {_as_number(quote(name), params.source.columns[name])} AS {quote('c_' + name)}" for name in wanted
    )
    moment = f"CAST({quote(params.timestamp)} AS TIMESTAMP)"
    key = f"CAST({quote(params.join_key)} AS {KEY_TYPES[params.key_type]})"
    # Parquet is quick to read again, and other formats are not.
    what = "VIEW" if params.source.format == "parquet" else "TABLE"
    connection.execute(
        f"CREATE TEMP {what} events AS SELECT key, moment, (epoch_us(moment) - ((epoch_us(moment) % {grid}) + {grid}) % {grid}) // {grid} AS step, * EXCLUDE (key, moment) "
        f"FROM (SELECT {key} AS key, {moment} AS moment{picked} FROM {relation(params.source)}) WHERE key IS NOT NULL AND moment IS NOT NULL AND isfinite(moment)"
    )


def _as_number(name: str, kind: str) -> str:
    return f"CAST({name} AS INTEGER)" if kind == "boolean" else name


def _measure_events(connection: Any, params: MaterializeParams) -> tuple[int, int]:
    """The number of events and the last step. Raises MlctlError for a source without events, or with events to come."""
    count, last, last_step = only_row(connection, "SELECT count(*), max(moment), max(step) FROM events")
    column = params.timestamp
    if count == 0:
        raise MlctlError.of(
            "features.no-events",
            f"the source of {params.view} has no row with both `{params.join_key}` and `{column}`",
            "a feature view needs at least one event",
            "check the data set and its columns",
        )
    if last.replace(tzinfo=UTC).timestamp() > time.time() + _FUTURE_SECONDS:
        raise MlctlError.of(
            "data.future-timestamp",
            f"`{column}` goes up to {last.isoformat()}, which is in the future",
            "snapshots are made up to the last event, so one wrong year would fill the disk with empty ones",
            f"correct or drop the rows with such a `{column}`; a data check with a range on it finds them",
        )
    return count, last_step


def _count_rows(connection: Any, params: MaterializeParams, last_step: int) -> int:
    """How many snapshots there will be. Raises MlctlError when they would not fit any disk."""
    (rows,) = only_row(
        connection,
        f"SELECT CAST(sum({last_step} - first + 1) AS BIGINT) FROM (SELECT min(step) AS first FROM events GROUP BY key)",
    )
    if rows > MAX_SNAPSHOT_ROWS:
        raise MlctlError.of(
            "features.grid-too-fine",
            f"{params.view} would have {rows:,} snapshots",
            f"one for each key and each {params.grid_seconds} s since the key's first event; the limit is {MAX_SNAPSHOT_ROWS:,}",
            "use a larger `grid`, or check the source for a timestamp that is far too early",
        )
    return int(rows)


def _summed_column(connection: Any, name: str, kind: str, events: int) -> _Column:
    """Find the decimal scale at which no sum over all events can overflow. Raises MlctlError for NaN and infinity."""
    column = quote("c_" + name)
    finite = f"isfinite({column})" if kind in _FLOATS else "true"
    query = f"SELECT count(*) FILTER (NOT {finite}), max(abs(CAST({column} AS DOUBLE))) FILTER ({finite}) FROM events WHERE {column} IS NOT NULL"
    bad, largest = only_row(connection, query)
    if bad:
        raise MlctlError.of(
            "data.not-finite",
            f"{bad:,} values of `{name}` are NaN or infinite",
            "they would make every window that holds one of them NaN",
            "store missing values as null, and correct or drop the others",
        )
    largest = largest or 0.0
    scale = min(_SUM_SCALE, _DECIMAL_DIGITS - _digits(largest * events))
    squares = _DECIMAL_DIGITS - _digits(8 * largest * largest * events)
    if scale < 0 or squares < 0:
        raise MlctlError.of(
            "features.out-of-range",
            f"the values of `{name}` are too large to be summed exactly",
            f"the largest is {largest:g}; sums are kept with 38 digits",
            "store the column in a larger unit",
        )
    return _Column(f"DECIMAL(38, {scale})" if kind in _FLOATS else None, f"DECIMAL(38, {squares})")


def _digits(value: float) -> int:
    """How many digits a value has before the point."""
    return 0 if value < 1 else math.floor(math.log10(value)) + 1


def _make_partials(connection: Any, params: MaterializeParams, summed: dict[str, _Column]) -> None:
    """One row for each key and step with an event: the parts that windows are put together from."""
    parts = ["count(*) AS n"]
    for name in _columns_with(params, ("count",)):
        parts.append(f"count({quote('c_' + name)}) AS {quote('count_' + name)}")
    for name, column in summed.items():
        field = quote("c_" + name)
        value = field if column.sums is None else f"CAST({field} AS {column.sums})"
        parts.append(f"sum({value}) AS {quote('sum_' + name)}")
        parts.append(f"count({field}) AS {quote('filled_' + name)}")
    for aggregate in ("min", "max"):
        parts += [
            f"{aggregate}({quote('c_' + name)}) AS {quote(f'{aggregate}_{name}')}"
            for name in _columns_with(params, (aggregate,))
        ]
    for name in _columns_with(params, ("last",)):
        field = quote("c_" + name)
        parts.append(
            f"max({{'moment': moment, 'value': {field}}}) FILTER ({field} IS NOT NULL).value AS {quote('last_' + name)}"
        )
    connection.execute(
        f"CREATE TEMP TABLE partials AS SELECT key, step, {', '.join(parts)} FROM events GROUP BY key, step"
    )


def _make_grid(connection: Any, last_step: int) -> None:
    """Every key and step that gets a snapshot."""
    firsts = "SELECT key, min(step) AS first FROM partials GROUP BY key"
    connection.execute(
        f"CREATE TEMP TABLE grid AS SELECT key, unnest(range(first, {last_step} + 1)) AS step FROM ({firsts})"
    )


def _make_spreads(connection: Any, params: MaterializeParams, summed: dict[str, _Column]) -> None:
    for name in _columns_with(params, ("std",)):
        make_moments(connection, name, summed[name].squares)
    for index, item in enumerate(params.features):
        if item.aggregate == "std" and item.column is not None:
            make_spread(connection, f"spread_{index}", item.column, item.window_steps, summed[item.column].squares)


def _make_gaps(connection: Any, name: str) -> None:
    """For each key and value of a column: the steps it was seen in, and for each the step it was next seen in."""
    field = quote("c_" + name)
    connection.execute(
        f"CREATE TEMP TABLE {quote('gaps_' + name)} AS SELECT key, step, lead(step) OVER (PARTITION BY key, value ORDER BY step) AS next "
        f"FROM (SELECT DISTINCT key, step, {field} AS value FROM events WHERE {field} IS NOT NULL)"
    )


def _snapshot_query(params: MaterializeParams) -> str:
    """The grid, the parts of each step joined to it, and every feature as a window over them."""
    grid = params.grid_seconds * 1_000_000
    joins, fields = [], []
    for index, item in enumerate(params.features):
        if item.aggregate == "count_distinct":
            joins.append(f"LEFT JOIN ({_distinct_deltas(item)}) AS delta_{index} USING (key, step)")
        if item.aggregate == "std":
            joins.append(f"LEFT JOIN spread_{index} USING (key, step)")
        fields.append(f"CAST({_feature(item, index)} AS {_SQL_TYPES[item.dtype]}) AS {quote(item.name)}")
    windows = [
        f"w_{steps} AS (PARTITION BY key ORDER BY step ROWS BETWEEN {steps - 1} PRECEDING AND CURRENT ROW)"
        for steps in sorted({item.window_steps for item in params.features})
    ]
    windows.append("so_far AS (PARTITION BY key ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)")
    moment = f"make_timestamp((step + 1) * {grid}) AS {EVENT_TIMESTAMP}"
    return (
        f"SELECT key AS {quote(params.join_key)}, {moment}, {', '.join(fields)} "
        f"FROM grid LEFT JOIN partials USING (key, step) {' '.join(joins)} WINDOW {', '.join(windows)} ORDER BY key, step"
    )


def _distinct_deltas(item: FeatureColumn) -> str:
    """By how much a sliding distinct count changes at each step.

    A value seen at step s is in the windows that end at s to s + w - 1. It counts from s on, and stops counting at s + w,
    or at the step it is next seen in, where it starts to count anew: every window counts it once.
    """
    gaps = quote(f"gaps_{item.column}")
    end = f"least(step + {item.window_steps}, coalesce(next, step + {item.window_steps}))"
    changes = f"SELECT key, step, 1 AS change FROM {gaps} UNION ALL SELECT key, {end} AS step, -1 AS change FROM {gaps}"
    return f"SELECT key, step, sum(change) AS change FROM ({changes}) GROUP BY key, step"


def _feature(item: FeatureColumn, index: int) -> str:
    """One feature as an expression over its window. Empty windows: 0 for sums and counts, null for the rest."""
    over = f"OVER w_{item.window_steps}"
    name = item.column
    if item.aggregate == "count":
        return f"coalesce(sum({'n' if name is None else quote(f'count_{name}')}) {over}, 0)"
    if item.aggregate == "count_distinct":
        return f"coalesce(sum(delta_{index}.change) OVER so_far, 0)"
    if item.aggregate == "sum":
        return f"coalesce(sum({quote(f'sum_{name}')}) {over}, 0)"
    if item.aggregate == "mean":
        return f"CAST(sum({quote(f'sum_{name}')}) {over} AS DOUBLE) / nullif(sum({quote(f'filled_{name}')}) {over}, 0)"
    if item.aggregate == "std":
        return f"spread_{index}.std"
    if item.aggregate == "last":
        return f"last_value({quote(f'last_{name}')} IGNORE NULLS) {over}"
    return f"{item.aggregate}({quote(f'{item.aggregate}_{name}')}) {over}"


def describe(connection: Any, params: MaterializeParams, output: Path) -> Snapshots:
    """Count and digest snapshots. The digest is a sum over rows: threads and row groups leave no trace in it."""
    table = own_parquet(str(output))
    key = quote(params.join_key)
    texts = [
        f"length(CAST({key} AS VARCHAR))",
        key,
        f"epoch_us({EVENT_TIMESTAMP})",
        *(quote(item.name) for item in params.features),
    ]
    row = " || '|' || ".join(f"coalesce(CAST({text} AS VARCHAR), '')" for text in texts)
    sums = ", ".join(f"CAST(sum(md5_number_{half}(row)) AS VARCHAR)" for half in ("lower", "upper"))
    rows, keys, since, until, low, high = only_row(
        connection,
        f"SELECT count(*), count(DISTINCT {key}), min({EVENT_TIMESTAMP}), max({EVENT_TIMESTAMP}), {sums} "
        f"FROM (SELECT *, {row} AS row FROM {table})",
    )
    return Snapshots(rows, keys, since.replace(tzinfo=UTC), until.replace(tzinfo=UTC), f"{low}:{high}")


def last_known(until: datetime, grid_seconds: int, now: datetime) -> datetime:
    """The latest snapshot that is known by now: `until`, or the last whole step when the source reaches into this one."""
    steps_ahead = math.ceil((until - now).total_seconds() / grid_seconds)
    return until - timedelta(seconds=max(steps_ahead, 0) * grid_seconds)
