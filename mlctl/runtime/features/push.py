"""Push a table of features to the online store: what another system computed, ahead of the next materialization."""

# ruff: noqa: S608 (names go through quote(), types are ours)

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.runtime.features.sql import KEY_TYPES, fitting, only_row
from mlctl.runtime.features.stores.writer import OnlineWriter, Record, Written
from mlctl.runtime.profile.database import database, quote
from mlctl.runtime.profile.source import detect, relation
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.features import EVENT_TIMESTAMP, INTEGER_TYPES, PushParams, ViewSource, key_type_of
from mlctl.types.jobs.profile import Source
from mlctl.types.value import Json

_PORTION = 10_000
_SQL_TYPES = {"float64": "DOUBLE", "float32": "FLOAT", "int64": "BIGINT"}


def push(params: PushParams, report: Report) -> dict[str, Json]:
    """Check the whole file, then write it: {"rows", "written", "older"}. Raises MlctlError before anything is written.

    A push that is cut off is repeated: what is there already is not written again.
    """
    if not Path(params.file).is_file():
        raise MlctlError.of(
            "features.no-file", f"there is no file `{params.file}`", "", "name a parquet, CSV or JSONL file"
        )
    source = params.source
    with database(report.folder) as connection, fitting():
        columns = detect(connection, [params.file], params.format)
        _check_columns(source, columns, params.file)
        table = relation(Source(files=[params.file], format=params.format, columns=columns))
        rows = _check_rows(connection, source, table, params.file)
        with closing(OnlineWriter(params.store, source)) as writer:
            total = Written(0, 0, 0)
            for portion in _portions(connection, source, table):
                total += writer.write(portion)
                done = total.written + total.older + total.future
                report.progress("pushing", done, rows, "rows", written=total.written)
    return {"rows": rows, "written": total.written, "older": total.older + total.future}


def _check_columns(source: ViewSource, columns: dict[str, str], file: str) -> None:
    """Every key, the event time and every feature, each of a type that loses nothing. Raises MlctlError with all problems."""
    problems = []
    for name in [*(key.name for key in source.keys), EVENT_TIMESTAMP, *source.features]:
        if name not in columns:
            why = f"a row of {source.view} has its keys, `{EVENT_TIMESTAMP}` and all its features"
            problems.append(
                MlctlError.of(
                    "features.missing-column", f"`{file}` has no column `{name}`", why, did_you_mean(name, columns)
                )
            )
    for key in source.keys:
        if key.name in columns and key_type_of(columns[key.name]) != key.type:
            problems.append(_wrong_type(file, key.name, columns[key.name], key.type))
    if EVENT_TIMESTAMP in columns and not columns[EVENT_TIMESTAMP].startswith(("timestamp", "date")):
        problems.append(_wrong_type(file, EVENT_TIMESTAMP, columns[EVENT_TIMESTAMP], "timestamp"))
    for name, dtype in source.features.items():
        kind = columns.get(name)
        if kind is not None and not (_is_number(kind) if dtype != "int64" else kind in INTEGER_TYPES):
            problems.append(_wrong_type(file, name, kind, dtype))
    if problems:
        raise MlctlError([item for problem in problems for item in problem.diagnostics])


def _is_number(kind: str) -> bool:
    return kind in INTEGER_TYPES or kind in ("ubigint", "float", "double") or kind.startswith("decimal")


def _wrong_type(file: str, name: str, kind: str, wanted: str) -> MlctlError:
    summary = f"`{name}` is {kind} in `{file}`, and should be {wanted}"
    return MlctlError.of(
        "features.bad-type", summary, "values are never rounded or guessed", f"write the column as {wanted}"
    )


def _check_rows(connection: Any, source: ViewSource, table: str, file: str) -> int:
    """No row without a key or a time, and none of the future: it would hide the value that is good now. Raises MlctlError."""
    missing = " OR ".join(f"{quote(name)} IS NULL" for name in [*(key.name for key in source.keys), EVENT_TIMESTAMP])
    moment = f"CAST({quote(EVENT_TIMESTAMP)} AS TIMESTAMP)"
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    rows, incomplete, future, last = only_row(
        connection,
        f"SELECT count(*), count(*) FILTER ({missing} OR NOT isfinite({moment})), "
        f"count(*) FILTER (isfinite({moment}) AND epoch_us({moment}) > {now}), max({moment}) FROM {table}",
    )
    if incomplete:
        raise MlctlError.of(
            "features.no-key",
            f"{incomplete:,} rows of `{file}` have no key or no `{EVENT_TIMESTAMP}`",
            "a value belongs to a key and a time",
            "leave them out",
        )
    if future:
        raise MlctlError.of(
            "features.future-rows",
            f"{future:,} rows of `{file}` are dated ahead, up to {last} UTC",
            "such a value is not served before its time, and would hide the one that is good now",
            "push it when it is known; times without a zone are UTC",
        )
    return int(rows)


def _portions(connection: Any, source: ViewSource, table: str) -> Iterator[list[Record]]:
    keys = [key.name for key in source.keys]
    fields = [
        *(f"CAST({quote(key.name)} AS {KEY_TYPES[key.type]})" for key in source.keys),
        f"epoch_us(CAST({quote(EVENT_TIMESTAMP)} AS TIMESTAMP))",
        *(f"CAST({quote(name)} AS {_SQL_TYPES[dtype]})" for name, dtype in source.features.items()),
    ]
    connection.execute(f"SELECT {', '.join(fields)} FROM {table}")
    while rows := connection.fetchmany(_PORTION):
        yield [
            (
                dict(zip(keys, row, strict=False)),
                datetime.fromtimestamp(row[len(keys)] // 1_000_000, UTC).replace(
                    microsecond=row[len(keys)] % 1_000_000
                ),
                dict(zip(source.features, row[len(keys) + 1 :], strict=True)),
            )
            for row in rows
        ]
