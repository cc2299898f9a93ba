"""SQLite to Parquet. A SQLite column may hold anything, whatever it is declared as: every value is checked against it."""

# ruff: noqa: S608 (names are quoted; a query is the user's own, and the connection is read-only)

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote as url_quote

import pyarrow as pa

from mlctl.databases import sql
from mlctl.databases.look import refuse_order
from mlctl.databases.postgres import named_once
from mlctl.runtime.profile.copy import parquet
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import DatabaseCopy

_VIEW = "mlctl_rows"
# What a column is by its declared type: the first of these words in it decides, as in SQLite's own rules of affinity, and
# before those the words with which people declare what SQLite has no storage for.
_WORDS = (
    ("BOOL", "boolean"), ("DATETIME", "timestamp"), ("TIMESTAMP", "timestamp"), ("DATE", "date"),
    ("INT", "bigint"), ("CHAR", "varchar"), ("CLOB", "varchar"), ("TEXT", "varchar"), ("BLOB", "blob"),
    ("REAL", "double"), ("FLOA", "double"), ("DOUB", "double"),
)  # fmt: skip
_NUMERIC = "double"  # every other declared type has numeric affinity
# How a value is stored, by what the column holds; the wider first.
_STORED = {
    "boolean": ("integer",),
    "bigint": ("integer",),
    "double": ("real", "integer"),
    "varchar": ("text",),
    "blob": ("blob",),
}
_TEMPORAL = ("date", "timestamp")  # as ISO 8601 text


def copy(source: DatabaseCopy, target: Path, report: Report) -> int:
    """Copy the rows in order. Raises MlctlError."""
    path = Path(source.connection["path"])
    try:
        with closing(_opened(path)) as connection:
            connection.execute(f"CREATE TEMP VIEW {_VIEW} AS SELECT * FROM {source.relation} AS t")
            connection.execute("PRAGMA query_only = true")
            connection.execute("BEGIN")  # one snapshot for all that follows
            report.progress("reading the types")
            columns = _columns(connection)
            refuse_order(source, columns)
            total = connection.execute(f"SELECT count(*) FROM {_VIEW}").fetchone()[0]
            rows = connection.execute(sql.rows("sqlite", _VIEW, source.order))
            return parquet.write(_batches(rows, columns), columns, target, report, total)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _explained(error, path) from error


def _opened(path: Path) -> sqlite3.Connection:
    """Read-only, and without a trace: in a database with a write-ahead log even a reader leaves the files of the log beside it."""
    unused = _has_log(path) and not path.with_name(f"{path.name}-wal").exists()  # whoever has it open has made one
    mode = "mode=ro&immutable=1" if unused else "mode=ro"
    return sqlite3.connect(f"file:{url_quote(str(path.absolute()))}?{mode}", uri=True, timeout=30)


def _has_log(path: Path) -> bool:
    """Whether a database is in the mode of a write-ahead log, by the format versions in its header."""
    try:
        with open(path, "rb") as stream:
            return stream.read(20)[18:] == b"\x02\x02"
    except OSError:
        return False


def _columns(connection: sqlite3.Connection) -> dict[str, str]:
    """The type of each column: what it is declared as, or else what it holds. Raises MlctlError for values of another kind."""
    declared = [(row[1], str(row[2]).upper()) for row in connection.execute(f"PRAGMA table_info({_VIEW})")]
    names = list(named_once(declared))
    stored = _stored(connection, names)
    columns = {}
    for name, words in declared:
        found = next((kind for word, kind in _WORDS if word in words), _NUMERIC if words else None)
        columns[name] = (
            _held(name, stored[name]) if found is None else _checked(name, found, words, stored[name], connection)
        )
    return columns


def _stored(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, set[str]]:
    """How the values of each column are stored, nulls aside."""
    found: dict[str, set[str]] = {name: set() for name in names}
    kinds = ("integer", "real", "text", "blob")
    width = 400  # columns a query: SQLite takes 2000 results
    for start in range(0, len(names), width):
        part = names[start : start + width]
        asked = ", ".join(f"max(typeof({sql.quoted('sqlite', name)}) = '{kind}')" for name in part for kind in kinds)
        row = connection.execute(f"SELECT {asked} FROM {_VIEW}").fetchone()
        for index, answer in enumerate(row):
            if answer:
                found[part[index // len(kinds)]].add(kinds[index % len(kinds)])
    return found


def _held(name: str, stored: set[str]) -> str:
    """The type of a column that is not declared, such as an expression of a query, by what it holds."""
    for kind in ("bigint", "double", "varchar", "blob"):
        if stored <= set(_STORED[kind]):
            return kind if stored else "varchar"
    raise _mixed(name, "not declared", sorted(stored), "cast it in a `query`")


def _checked(name: str, kind: str, declared: str, stored: set[str], connection: sqlite3.Connection) -> str:
    """The declared type, if the values are of it."""
    wanted = {"text"} if kind in _TEMPORAL else set(_STORED[kind])
    if kind in _TEMPORAL and stored and stored <= {"integer", "real"}:
        # seconds since 1970, Julian days, milliseconds: only the writer knows; the numbers are kept as they are
        return "double" if "real" in stored else "bigint"
    if other := stored - wanted:
        column = sql.quoted("sqlite", name)
        query = f"SELECT {column} FROM {_VIEW} WHERE typeof({column}) = ? LIMIT 1"
        value = connection.execute(query, (sorted(other)[0],)).fetchone()[0]
        raise _mixed(
            name,
            declared,
            sorted(stored),
            f"mend the rows that hold values such as {value!r:.60}, or cast it in a `query`",
        )
    return kind


def _mixed(name: str, declared: str, stored: Sequence[str], fix: str) -> MlctlError:
    return MlctlError.of(
        "data.value-does-not-fit",
        f"the column `{name}` holds values of different types",
        f"it is {declared if declared == 'not declared' else f'declared {declared}'}, and holds {' and '.join(stored)}",
        fix,
    )


def _batches(rows: sqlite3.Cursor, columns: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """The rows as Arrow. Raises MlctlError for a value that does not fit."""
    kinds = [(name, found, parquet.arrow_type(found)) for name, found in columns.items()]
    most = parquet.rows_at_once(len(columns))
    while taken := rows.fetchmany(most):
        arrays = [
            _array(name, found, kind, values)
            for (name, found, kind), values in zip(kinds, zip(*taken, strict=True), strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _array(name: str, found: str, kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    try:
        if found == "double":
            return pa.array([None if item is None else _double(item) for item in values], kind)
        if found == "boolean":
            return pa.array([None if item is None else _flag(item) for item in values], kind)
        if found in _TEMPORAL:
            return _moments(pa.array(values, pa.string()), kind)
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, OverflowError) as error:
        raise parquet.misfit(name, found, str(error)) from None


def _double(item: Any) -> float:
    number = float(item)
    if isinstance(item, int) and int(number) != item:
        raise ValueError(f"{item} has more digits than a number with a point can hold; cast it to INTEGER in a `query`")
    return number


def _flag(item: Any) -> bool:
    if item not in (0, 1):
        raise ValueError(f"{item!r} is neither 0 nor 1")
    return bool(item)


def _moments(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """ISO 8601 texts as dates or timestamps; one with a zone is taken to UTC."""
    if pa.types.is_date(kind):
        return texts.cast(kind)
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return pa.array([None if text is None else _moment(text) for text in texts.to_pylist()], kind)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text.strip())
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def _explained(error: Exception, path: Path) -> MlctlError:
    said = str(error)
    if "no such table" in said:
        return MlctlError.of("data.missing-table", "there is no such table", said, "correct `table` or `query`")
    if "no such column" in said:
        return MlctlError.of("data.missing-column", "there is no such column", said, "correct the query, or `key`")
    if "locked" in said or "readonly" in said:
        return MlctlError.of(
            "data.database-locked",
            f"`{path.name}` is being written to",
            said,
            "run `mlctl apply` again when it is done",
        )
    if "not a database" in said or "malformed" in said:
        return MlctlError.of(
            "data.unreadable", f"`{path.name}` cannot be read as SQLite", said, "restore it from a copy"
        )
    if "unable to open" in said:
        return MlctlError.of(
            "data.missing-file", f"`{path.name}` cannot be opened", said, "see that it is there, and who may read it"
        )
    return MlctlError.of(
        "data.bad-query", "SQLite refuses the query", said, "correct `table` or `query`; it only reads"
    )
