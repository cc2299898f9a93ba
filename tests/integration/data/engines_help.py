"""The rule book's tables in a PostgreSQL server, and its rules run on any engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.integration.data import rule_book
from tests.integration.servers import Postgres

_TYPES = {"double": "double precision", "float": "real", "varchar": "text", "timestamp with time zone": "timestamptz"}


def to_postgres(server: Postgres, tables: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    """Make tables of DuckDB queries, by name; gives the columns of each."""
    import duckdb
    import psycopg

    found = {}
    with duckdb.connect() as source, psycopg.connect(server.url) as target:
        source.execute("SET TimeZone = 'UTC'")
        for name, query in tables.items():
            columns = {row[0]: row[1].lower() for row in source.execute(f"DESCRIBE {query}").fetchall()}
            quoted = {column: '"' + column.replace('"', '""') + '"' for column in columns}
            parts = ", ".join(f"{quoted[column]} {_TYPES.get(kind, kind)}" for column, kind in columns.items())
            target.execute(f'CREATE TABLE "{name}" ({parts})')  # type: ignore[arg-type]
            with target.cursor().copy(f'COPY "{name}" FROM STDIN') as rows:  # type: ignore[arg-type]
                for row in source.execute(query).fetchall():
                    rows.write_row(row)
            found[name] = columns
    return found


def remotes(server: Postgres) -> dict[str, dict[str, Any]]:
    """The rule book's datasets as `copy: false` has them."""
    columns = to_postgres(server, {rule_book.DATASET: rule_book.ORDERS, "users": rule_book.USERS})
    keys = {rule_book.DATASET: ["id"], "users": ["user_id"]}
    return {
        name: {
            "type": "postgres", "connection": {"url": server.url}, "relation": f'"{name}"', "columns": found, "key": keys[name],
            "timestamp": "at" if name == rule_book.DATASET else None,
        }
        for name, found in columns.items()
    }  # fmt: skip
