"""What a plan asks of a database: the columns of a relation, and which version of it is there.

The clients of the warehouses import pandas, which a plan does without: for them this module is run as a program,
`python -m mlctl.databases.look`, with the question on its input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlctl.databases import postgres, sql, versions
from mlctl.databases.versions import Ask
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean
from mlctl.types.jobs.copy import DatabaseCopy, ServerType

_EXTRAS = {"postgres": "data", "bigquery": "bigquery", "snowflake": "snowflake"}


@dataclass(frozen=True)
class Look:
    """The columns as DuckDB types, in order, and the version as `mlctl.databases.versions` writes it."""

    columns: Mapping[str, str]
    version: str


def look(source: DatabaseCopy) -> Look:
    """Ask the database. Raises MlctlError."""
    with extra(source.type), _opened(source) as (columns, ask):
        if source.watermark is not None and source.watermark not in columns:
            raise MlctlError.of(
                "data.missing-column",
                f"there is no column `{source.watermark}`",
                "`version` names it as the watermark",
                did_you_mean(source.watermark, columns),
            )
        return Look(columns, version(source, server(source), ask, ""))


def version(source: DatabaseCopy, database: ServerType, ask: Ask, upto: str) -> str:
    """The version that is there now; with a watermark, of the rows that `upto` keeps."""
    if source.watermark is None:
        return versions.of_snapshot(database, source.relation, ask)
    return versions.of_watermark(database, source.relation, source.watermark, ask, upto)


def condition(source: DatabaseCopy, columns: Mapping[str, str]) -> str:
    """The condition that keeps the rows a plan saw; nothing for a snapshot, which is compared as a whole."""
    if source.watermark is None or source.version is None:
        return ""
    highest = versions.highest(source.version)
    if highest is None:
        return " WHERE false"
    number = columns[source.watermark].startswith(("bigint", "integer", "smallint", "double", "float", "decimal"))
    return sql.up_to(server(source), source.watermark, highest, number=number)


def refuse_order(source: DatabaseCopy, columns: Mapping[str, str]) -> None:
    """Raise MlctlError when the rows are to be put in order by a column that is not there."""
    problems = [
        Diagnostic(
            "data.missing-column",
            f"there is no column `{name}`",
            "the dataset names it as its key",
            did_you_mean(name, columns),
        )
        for name in source.order
        if name not in columns
    ]
    if problems:
        raise MlctlError(problems)


def server(source: DatabaseCopy) -> ServerType:
    """The type of a database that is no file."""
    if source.type in ("sqlite", "duckdb"):
        raise ValueError(f"{source.type} is a file")
    return source.type  # type: ignore[return-value]  # the two others are excluded above


@contextmanager
def extra(database: str) -> Iterator[None]:
    """A client that is not installed, in our own words."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MlctlError.of(
            "extra.missing",
            f"{database} needs the package `{error.name}`, which is not installed",
            "mlctl's core is light; each stage's tools come with an extra",
            f"pip install 'mlctl[{_EXTRAS[database]}]'",
        ) from None


@contextmanager
def _opened(source: DatabaseCopy) -> Iterator[tuple[Mapping[str, str], Ask]]:
    if source.type == "postgres":
        with postgres.session(source.connection) as connection:
            yield postgres.columns(connection, source.relation), lambda query: connection.execute(query).fetchone()
        return
    from mlctl.databases.warehouses import warehouse

    with warehouse(server(source), source.connection) as opened:
        yield opened.columns(sql.rows(source.type, source.relation, ())), opened.one


def main() -> None:
    """Answer one question: a DatabaseCopy as JSON in, columns and version or diagnostics out."""
    answer: dict[str, Any]
    try:
        found = look(DatabaseCopy.model_validate_json(sys.stdin.read()))
        answer = {"columns": dict(found.columns), "version": found.version}
    except MlctlError as error:
        answer = {"problems": [[item.code, item.summary, item.why, item.fix] for item in error.diagnostics]}
    print(json.dumps(answer))


def answered(text: str) -> Look:
    """What the program above printed. Raises MlctlError with what went wrong in it."""
    answer = json.loads(text)
    if "problems" in answer:
        raise MlctlError([Diagnostic(*item) for item in answer["problems"]])
    return Look(answer["columns"], answer["version"])


if __name__ == "__main__":
    main()
