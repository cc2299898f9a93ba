"""Snapshots of a view's features: windows over its source's events, or the rows of a precomputed table, in DuckDB.

Time is cut into steps of the grid, counted from 1970-01-01 UTC; an event at a step's very start belongs to that step. A
key has a snapshot at the end of every step, from its first event to the last event of the whole source, stamped with the
step's end: the first moment at which the values are known. A window of w covers the w before that moment. A sparse view
has only the snapshots at which a value may change.

No result depends on the order in which rows are met, so that a re-run gives the same bits: sums are taken over decimals
(exact), and a last value is chosen by time and then by size.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.runtime.features import partials, sparse
from mlctl.runtime.features.distinct import delta_query, distinct_windows, make_gaps
from mlctl.runtime.features.expression import check_expressions, embed, with_expressions
from mlctl.runtime.features.frames import snapshot_query
from mlctl.runtime.features.inputs import check_types, inputs_of
from mlctl.runtime.features.precomputed import precomputed_query, snapshot_values
from mlctl.runtime.features.sql import columns_of, copy_parquet, fitting, key_names, key_values, only_row
from mlctl.runtime.profile.database import own_parquet, quote
from mlctl.runtime.stream.log import relation_with
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.features import EVENT_TIMESTAMP, MaterializeParams

_FUTURE_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Snapshots:
    """What was written: rows, the first and the last snapshot, and a digest of the content and schema."""

    rows: int
    keys: int
    since: datetime
    until: datetime
    digest: str


def compute(connection: Any, params: MaterializeParams, output: Path) -> Snapshots:
    """Write the snapshots of a view as parquet, sorted by key and time. Raises MlctlError."""
    files = params.source.files
    before = _stamps(files)
    with fitting():
        query = _prepare(connection, params)
        copy_parquet(connection, query, output)
    if _stamps(files) != before:
        raise MlctlError.of(
            "data.changed-while-read",
            f"the source of {params.view} changed while its windows were computed",
            "a file of it was replaced or written to",
            "run `mlctl apply` again once it is whole",
        )
    return describe(connection, params, output)


def _stamps(files: Iterable[str]) -> list[tuple[int, int, int] | None]:
    """What tells a file from another one put in its place."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            seen = os.stat(file)
        except OSError:
            found.append(None)
        else:
            found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return found


def _prepare(connection: Any, params: MaterializeParams) -> str:
    """Make the tables that the snapshots are put together from, and give the query of the snapshots. Raises MlctlError."""
    table = relation_with(params.source, params.log)
    types = _check(connection, params, table)
    if params.grid_seconds == 0:
        check_types(params.features, types)
        known = _known(params, table, snapshot_values(params.features))
        if only_row(connection, f"SELECT count(*) FROM ({known})") == (0,):
            raise _no_events(params)
        return precomputed_query(params, known)
    inputs = inputs_of(params.features, types)
    _make_events(connection, params, _known(params, table, {item.name: item.sql for item in inputs.values()}))
    found = partials.measure(connection, list(inputs.values()))
    if found is None:
        raise _no_events(params)
    _refuse_future(found.last, params)
    keys = _keys(params)
    connection.execute(f"CREATE TEMP TABLE partials AS {partials.partials_query(keys, inputs.values(), found.exact)}")
    windows = {item.window_steps for item in params.features}
    (count,) = only_row(connection, sparse.count_query(keys, found.last_step, windows, sparse=params.sparse))
    sparse.refuse_too_many(params.view, count, params.grid_seconds, sparse=params.sparse)
    rows = ["SELECT * FROM partials", sparse.fillers(keys, found.last_step, windows, sparse=params.sparse)]
    for name, sizes in distinct_windows(params.features, inputs).items():
        make_gaps(connection, keys, name)
        rows.append(delta_query(keys, name, sizes, found.last_step))
    return snapshot_query(params, inputs, found.exact, keys, " UNION ALL BY NAME ".join(f"({row})" for row in rows))


def _keys(params: MaterializeParams) -> str:
    return ", ".join(f"k_{index}" for index in range(len(params.keys)))


def _check(connection: Any, params: MaterializeParams, table: str) -> dict[str, str]:
    """The columns a feature can read, with their types. Raises MlctlError for a view that does not fit its source."""
    columns = columns_of(connection, table)
    filters = {} if params.where is None else {"where": params.where}
    for item in params.features:
        if item.where is not None and item.where not in filters.values():  # windows of one feature share theirs
            filters[f"features.{item.name}.where"] = item.where
    check_expressions(connection, table, columns, params.expressions, filters)
    types = columns_of(connection, f"({with_expressions(table, params.expressions)})")
    read = [params.timestamp, *(key.name for key in params.keys)]
    read += [name for item in params.features for name in (item.column, item.over) if name is not None]
    for name in dict.fromkeys(read):
        if name not in types:
            raise MlctlError.of(
                "data.missing-column",
                f"the source of {params.view} has no column `{name}`",
                "its files may have changed since the data set was profiled",
                did_you_mean(name, types),
            )
    return types


def _rows(params: MaterializeParams, table: str) -> str:
    """The rows of the source that are events, with the computed columns."""
    where = "" if params.where is None else f" WHERE {embed(params.where)}"
    return f"SELECT * FROM ({with_expressions(table, params.expressions)}){where}"


def _known(params: MaterializeParams, table: str, values: Mapping[str, str]) -> str:
    """The events with keys, `moment` and some values; rows without key or time belong to nobody."""
    keys = [f"{value} AS k_{index}" for index, value in enumerate(key_values(params.keys))]
    picked = "".join(f", {sql} AS {name}" for name, sql in values.items())
    given = "".join(f"k_{index} IS NOT NULL AND " for index in range(len(keys)))
    return (
        f"SELECT * FROM (SELECT {', '.join(keys)}, CAST({quote(params.timestamp)} AS TIMESTAMP) AS moment{picked} "
        f"FROM ({_rows(params, table)})) WHERE {given}moment IS NOT NULL AND isfinite(moment)"
    )


def _make_events(connection: Any, params: MaterializeParams, known: str) -> None:
    """The events as keys, `moment`, `step` and the inputs of features."""
    grid = params.grid_seconds * 1_000_000
    # Parquet is quick to read again, and other formats are not.
    what = "VIEW" if params.source.format == "parquet" else "TABLE"
    connection.execute(
        f"CREATE TEMP {what} events AS SELECT *, "
        f"(epoch_us(moment) - ((epoch_us(moment) % {grid}) + {grid}) % {grid}) // {grid} AS step FROM ({known})"
    )


def _no_events(params: MaterializeParams) -> MlctlError:
    keys = ", ".join(f"`{key.name}`" for key in params.keys)
    chosen = "" if params.where is None else " that `where` takes"
    return MlctlError.of(
        "features.no-events",
        f"the source of {params.view} has no row{chosen} with {keys} and `{params.timestamp}`",
        "a feature view needs at least one event",
        "check the data set and its columns",
    )


def _refuse_future(last: datetime, params: MaterializeParams) -> None:
    if last.replace(tzinfo=UTC).timestamp() > time.time() + _FUTURE_SECONDS:
        column = params.timestamp
        raise MlctlError.of(
            "data.future-timestamp",
            f"`{column}` goes up to {last.isoformat()}, which is in the future",
            "snapshots are made up to the last event, so one wrong year would fill the disk with empty ones",
            f"correct or drop the rows with such a `{column}`; a data check with a range on it finds them",
        )


def describe(connection: Any, params: MaterializeParams, output: Path) -> Snapshots:
    """Count and digest snapshots. The digest is a sum over rows: threads and row groups leave no trace in it."""
    table = own_parquet(str(output))
    keys = ", ".join(key_names(params.keys))
    names = [*key_names(params.keys), EVENT_TIMESTAMP, *(quote(item.name) for item in params.features)]
    # A sort key tells any two rows apart, and is much quicker to make than their text.
    row = ", ".join(f"{name}, 'ASC NULLS LAST'" for name in names)
    halves = "CAST(row >> 64 AS UBIGINT)", f"CAST(row & CAST({2**64 - 1} AS UHUGEINT) AS UBIGINT)"
    sums = ", ".join(f"CAST(sum({half}) AS VARCHAR)" for half in halves)
    rows, since, until, high, low = only_row(
        connection,
        f"SELECT count(*), min({EVENT_TIMESTAMP}), max({EVENT_TIMESTAMP}), {sums} "
        f"FROM (SELECT {EVENT_TIMESTAMP}, md5_number(create_sort_key({row})) AS row FROM {table})",
    )
    (count,) = only_row(connection, f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {table})")
    return Snapshots(rows, count, since.replace(tzinfo=UTC), until.replace(tzinfo=UTC), f"{high}:{low}")


def last_known(until: datetime, grid_seconds: int, now: datetime) -> datetime:
    """The latest snapshot that is known by now: `until`, or the last whole step when the source reaches into this one."""
    if grid_seconds == 0:  # precomputed rows are known at their own times
        return min(until, now)
    steps_ahead = math.ceil((until - now).total_seconds() / grid_seconds)
    return until - timedelta(seconds=max(steps_ahead, 0) * grid_seconds)
