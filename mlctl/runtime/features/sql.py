"""What the feature programs need of DuckDB beyond `mlctl.runtime.profile.database`: keys, errors of range, and parquet files."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from mlctl.runtime.profile.database import literal, quote, shorten
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Key

KEY_TYPES = {"int64": "BIGINT", "string": "VARCHAR"}


@contextmanager
def fitting() -> Iterator[None]:
    """Inside a database: a value that is too large for its type is the data's fault, and no fault of a file."""
    try:
        yield
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise MlctlError.of(
            "features.out-of-range",
            "a value does not fit the type it should have",
            shorten(str(error)),
            "give the feature `dtype: float64`, or add a data check that keeps such values out",
        ) from error


def key_names(keys: Sequence[Key]) -> list[str]:
    """The key columns as SQL writes them."""
    return [quote(key.name) for key in keys]


def key_values(keys: Sequence[Key], table: str = "") -> list[str]:
    """The key columns of a table, cast to the types of the entity."""
    prefix = f"{table}." if table else ""
    return [f"CAST({prefix}{quote(key.name)} AS {KEY_TYPES[key.type]})" for key in keys]


def only_row(connection: Any, query: str) -> tuple[Any, ...]:
    """The only row of a query, fetched to its end: DuckDB refuses other work on a connection with a result left open."""
    (row,) = connection.execute(query).fetchall()
    return tuple(row)


def columns_of(connection: Any, table: str) -> dict[str, str]:
    """The columns of a table or table function, name to DuckDB type in lower case."""
    return {row[0]: row[1].lower() for row in connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()}


def copy_parquet(connection: Any, query: str, path: Path) -> None:
    """Write the rows of a query as parquet, whole and on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def write_parquet(connection: Any, query: str, path: Path) -> None:
    """Write the rows of a query beside the file and swap them in: a reader sees the old rows or the new ones."""
    beside = path.with_name(f".{path.name}.new")
    copy_parquet(connection, query, beside)
    os.replace(beside, path)
