"""The SQL with which a database is asked about a dataset, in its own dialect. Pure."""

# ruff: noqa: S608 (names are quoted; a query is the user's own, and runs read-only)

from __future__ import annotations

import re
from collections.abc import Sequence

from mlctl.types.jobs.copy import DatabaseType, ServerType

# A part of a table's name: plain, or in double quotes, in which it may hold dots.
_NAME_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')

_ROW_HASHES: dict[ServerType, str] = {
    # sums of two 64-bit hashes of each row: they see every row that is another, more, or fewer, in whatever order
    "postgres": "sum(hashtextextended(t::text, 0)::numeric)::text, sum(hashtextextended(t::text, 1)::numeric)::text",
    "bigquery": "CAST(SUM(CAST(FARM_FINGERPRINT(TO_JSON_STRING(t)) AS BIGNUMERIC)) AS STRING),"
    " CAST(BIT_XOR(FARM_FINGERPRINT(CONCAT('1', TO_JSON_STRING(t)))) AS STRING)",
    "snowflake": "HASH_AGG(*), NULL",
}
_TEXT: dict[ServerType, str] = {"postgres": "text", "bigquery": "STRING", "snowflake": "VARCHAR"}


def quoted(database: DatabaseType, name: str) -> str:
    """One name as the database writes it."""
    if database == "bigquery":
        return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
    return '"' + name.replace('"', '""') + '"'


def table(database: DatabaseType, name: str) -> str:
    """A table's name, `schema.table` or `"my.schema"."table"`, as the database writes it. Raises ValueError."""
    parts, place = [], 0
    while True:
        match = _NAME_PART.match(name, place)
        if match is None:
            raise ValueError(f"{name!r} does not name a table")
        parts.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        place = match.end()
        if place == len(name):
            return ".".join(quoted(database, part) for part in parts)
        if name[place] != ".":
            raise ValueError(f"{name!r} does not name a table")
        place += 1


def query(text: str) -> str:
    """A query as a relation. It may end in a semicolon, or in a comment."""
    return f"(\n{text.strip().rstrip(';').rstrip()}\n)"


def snapshot(database: ServerType, relation: str) -> str:
    """One row that tells what is in a relation: the number of rows, and hashes over all of them."""
    return f"SELECT count(*), {_ROW_HASHES[database]} FROM {relation} AS t"


def watermark(database: ServerType, relation: str, column: str, upto: str = "") -> str:
    """One row that tells how far a relation goes: the rows, those that have a watermark, and the highest as text."""
    name = quoted(database, column)
    return f"SELECT count(*), count({name}), CAST(max({name}) AS {_TEXT[database]}) FROM {relation} AS t{upto}"


def up_to(database: ServerType, column: str, highest: str, *, number: bool) -> str:
    """The condition that keeps the rows a plan saw."""
    value = highest if number else literal(database, highest)
    return f" WHERE {quoted(database, column)} <= {value}"


def rows(database: DatabaseType, relation: str, order: Sequence[str], where: str = "") -> str:
    """Every row in order."""
    by = ", ".join(quoted(database, name) for name in order)
    return f"SELECT * FROM {relation} AS t{where}" + (f" ORDER BY {by}" if by else "")


def literal(database: DatabaseType, text: str) -> str:
    """A text value."""
    if database == "bigquery":
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if database == "snowflake":
        text = text.replace("\\", "\\\\")
    return "'" + text.replace("'", "''") + "'"
