"""The rows of a prediction log that can be compared, as a table with a row number, a moment, the keys, and what was logged."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.files.day_logs import day_files
from mlctl.runtime.features.sql import KEY_TYPES, only_row, write_parquet
from mlctl.runtime.profile.database import literal, own_parquet, quote
from mlctl.types.jobs.features import LogParityParams, keys_of
from mlctl.types.jobs.monitor import MODEL_CODES

# Names that no feature has.
ROW, REQUEST_ID, FEATURES, REQUEST = "mlctl_row", "mlctl_request_id", "mlctl_features", "mlctl_request"
_FIELDS = {
    "ts": "VARCHAR", "request_id": "VARCHAR", "version": "VARCHAR", "code": "BIGINT", "latency_seconds": "DOUBLE",
    "key": "MAP(VARCHAR, VARCHAR)", "features": "MAP(VARCHAR, VARCHAR)", "request": "MAP(VARCHAR, VARCHAR)",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a log holds between two moments."""

    predictions: int  # of the version that is asked for
    whole: int  # those with keys and features
    compared: int  # after sampling
    other_versions: int
    unreadable: int


def read_rows(connection: Any, params: LogParityParams, output: Path) -> Found:
    """Write the rows to compare as parquet: the row's number, its moment, the keys, and the features and request values as texts by name.

    The features were looked up when the request came, which is the time of its line less the time it took.
    """
    files = _files(params)
    if not files:
        return Found(0, 0, 0, 0, 0)
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in _FIELDS.items())
    listed = ", ".join(literal(str(file)) for file in files)
    connection.execute(
        f"CREATE TEMP VIEW lines AS SELECT * FROM read_json([{listed}], format='newline_delimited', records=true, "
        f"ignore_errors=true, columns={{{columns}}})"
    )
    at = "CAST(CAST(ts AS TIMESTAMPTZ) AS TIMESTAMP) - to_microseconds(CAST(coalesce(latency_seconds, 0) * 1000000 AS BIGINT))"
    since = "true" if params.since is None else f"mlctl_at >= {_time(params.since)}"
    connection.execute(
        f"CREATE TEMP TABLE window_rows AS SELECT * FROM (SELECT {at} AS mlctl_at, * FROM lines WHERE TRY_CAST(ts AS TIMESTAMPTZ) IS NOT NULL) "
        f"WHERE {since} AND mlctl_at <= {_time(params.until)} AND code IN ({', '.join(map(str, MODEL_CODES))})"
    )
    (unreadable,) = only_row(connection, "SELECT count(*) FROM lines WHERE TRY_CAST(ts AS TIMESTAMPTZ) IS NULL")
    mine = f"version = {literal(params.version)}"
    keys = keys_of(params.sources)
    typed = [f"TRY_CAST(key[{literal(key.name)}] AS {KEY_TYPES[key.type]})" for key in keys]
    whole = " AND ".join([mine, "features IS NOT NULL", *(f"{value} IS NOT NULL" for value in typed)])
    predictions, others, complete = only_row(
        connection,
        f"SELECT count(*) FILTER ({mine}), count(*) FILTER (NOT {mine}), count(*) FILTER ({whole}) FROM window_rows",
    )
    named = "".join(f", {value} AS {quote(key.name)}" for value, key in zip(typed, keys, strict=True))
    order = "mlctl_at, request_id, CAST(key AS VARCHAR), CAST(features AS VARCHAR)"
    chosen = ""
    if params.sample is not None:
        chosen = f" ORDER BY md5_number(concat({params.seed}, '|', request_id, '|', CAST(key AS VARCHAR))), {order} LIMIT {params.sample}"
    write_parquet(
        connection,
        f"SELECT row_number() OVER (ORDER BY {order}) AS {ROW}, mlctl_at, request_id AS {REQUEST_ID}{named}, "
        f"features AS {FEATURES}, request AS {REQUEST} "
        f"FROM (SELECT * FROM window_rows WHERE {whole}{chosen}) ORDER BY {ROW}",
        output,
    )
    (compared,) = only_row(connection, f"SELECT count(*) FROM {own_parquet(str(output))}")
    return Found(predictions, complete, compared, others, unreadable)


def _files(params: LogParityParams) -> list[Path]:
    """The days that can hold a row of the window; one day is allowed on both sides, for clocks and for slow requests."""
    low = "" if params.since is None else _day(params.since, -1)
    high = _day(params.until, 1)
    return day_files(Path(params.predictions), low, high)


def _day(moment: str, days: int) -> str:
    return (datetime.fromisoformat(moment).astimezone(UTC) + timedelta(days=days)).date().isoformat()


def _time(moment: str) -> str:
    return (
        f"CAST({literal(datetime.fromisoformat(moment).astimezone(UTC).replace(tzinfo=None).isoformat())} AS TIMESTAMP)"
    )
