"""PostgreSQL, read-only: one transaction that sees the database at one moment, and its errors in our own words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlctl.databases.sql import quoted
from mlctl.types.diagnostic import MlctlError

_CONNECT_SECONDS = "10"  # libpq would wait for ever

# Values become text in one way whatever the server, the database or the user is set to, and rows come in one order.
_SESSION = (
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'iso_8601'",
    "SET extra_float_digits = 1",
    "SET bytea_output = 'hex'",
    "SET synchronize_seqscans = off",
)

# The types whose values keep their kind; all others come as their text.
_TYPES = {
    16: "boolean", 17: "blob", 20: "bigint", 21: "smallint", 23: "integer", 26: "bigint", 700: "float", 701: "double", 1082: "date",
    1083: "time", 1114: "timestamp", 1184: "timestamp with time zone",
}  # fmt: skip
_NUMERIC = 1700
_TEXTS = (25, 1042, 1043)
_NO_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba.conf entry|role .* (does not exist|is not permitted)"
)
_NO_DATABASE = re.compile(r"database .* does not exist")
_MOST_DIGITS = 38


@contextmanager
def session(connection: Mapping[str, str]) -> Iterator[Any]:
    """A psycopg connection in a read-only transaction of one snapshot. Raises MlctlError, also for errors inside."""
    import psycopg

    try:
        arguments = psycopg.conninfo.conninfo_to_dict(connection["url"])
    except psycopg.Error:  # its message would repeat a part of the URL, which may be the password
        raise MlctlError.of(
            "data.bad-url",
            "the `url` of the database cannot be read",
            "it is no connection string of PostgreSQL",
            "write it as `postgresql://user@host:5432/database?sslmode=verify-full`; special characters as %40 and the like",
        ) from None
    try:
        wanted = psycopg.conninfo.make_conninfo(
            "", **{"connect_timeout": _CONNECT_SECONDS, "application_name": "mlctl", **arguments}
        )
        with psycopg.connect(wanted) as made:
            made.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            made.read_only = True
            for statement in _SESSION:
                made.execute(statement)
            yield made
    except psycopg.Error as error:
        raise explain(error, str(arguments.get("host", "localhost"))) from error


def columns(connection: Any, relation: str) -> dict[str, str]:
    """The columns of a relation in order, as DuckDB types in lower case. Raises MlctlError for names that are no columns."""
    found = [(item.name, _duckdb_type(item)) for item in _described(connection, relation)]
    return named_once(found)


def plain(connection: Any, relation: str) -> str:
    """The relation with every column being of the type that `columns` says: others are cast, such as JSON to text."""
    parts = [_cast(item) for item in _described(connection, relation)]
    return relation if not any("::" in part for part in parts) else f"(SELECT {', '.join(parts)} FROM {relation} AS t)"  # noqa: S608 (names are quoted)


def _described(connection: Any, relation: str) -> Any:
    """The columns as the server describes them. This is the first that it hears of a relation, and the one place that refuses
    what is more than one statement, of which another could end the transaction that keeps the rest from writing: PostgreSQL
    takes several in its simple protocol only, and answers in binary only in the other.
    """
    query = f"SELECT * FROM {relation} AS t LIMIT 0"  # noqa: S608 (a quoted name, or the user's query)
    return connection.execute(query, binary=True).description or ()


def _cast(column: Any) -> str:
    name = quoted("postgres", column.name)
    if column.type_code == _NUMERIC:
        return f"{name}::float8 AS {name}" if _duckdb_type(column) == "double" else name
    return name if column.type_code in (*_TYPES, *_TEXTS) else f"{name}::text AS {name}"


def named_once(found: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The columns by name. Raises MlctlError for none, and for two of one name."""
    names = [name.lower() for name, _ in found]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None or not found:
        raise MlctlError.of(
            "data.bad-columns",
            f"two columns are named `{twice}`" if found else "there is no column",
            "a column is known by its name, and case does not tell names apart",
            "give each a name of its own: `query: SELECT a.id AS a_id, b.id AS b_id ...`",
        )
    return dict(found)


def _duckdb_type(column: Any) -> str:
    if column.type_code == _NUMERIC:
        # without a precision a number may have any digits before and after the point; a double holds the first 15
        digits, scale = column.precision, column.scale
        fits = digits is not None and digits <= _MOST_DIGITS and 0 <= scale <= digits
        return f"decimal({digits},{scale})" if fits else "double"
    return _TYPES.get(column.type_code, "varchar")


def explain(error: Any, host: str) -> MlctlError:
    """What an error of psycopg means for the person whose dataset it is."""
    said = " ".join(str(error).split())[:400]
    state = error.sqlstate or ""
    if state.startswith("28") or _NO_LOGIN.search(said):  # a connection that fails gives no state
        return MlctlError.of(
            "data.database-login",
            f"the database at {host} does not let us in",
            said,
            "correct the user or the password in `url`; see that the variable or environment value it comes from is set",
        )
    if state == "3D000" or _NO_DATABASE.search(said):
        return MlctlError.of("data.missing-database", f"there is no such database at {host}", said, "correct `url`")
    if not state or state.startswith(("08", "57P")):
        return MlctlError.of(
            "data.database-unreachable",
            f"the database at {host} cannot be reached",
            said,
            "start it, correct `url`, or open the way to it; then run the command again. What was copied before is still there",
        )
    if state in ("42P01", "3F000"):
        return MlctlError.of("data.missing-table", "there is no such table", said, "correct `table` or `query`")
    if state == "42703":
        return MlctlError.of("data.missing-column", "there is no such column", said, "correct it, or the query")
    if state == "42501":
        return MlctlError.of("data.database-denied", "the user may not read it", said, "GRANT SELECT on it to the user")
    if state == "25006":
        return MlctlError.of("data.query-writes", "the query writes", said, "a dataset's `query` only reads")
    if state.startswith(("42", "22")):
        return MlctlError.of(
            "data.bad-query", "the database refuses the query", said, "correct `table`, `query` or `version`"
        )
    return MlctlError.of("data.database-failed", f"the database at {host} failed", said, "run `mlctl apply` again")
