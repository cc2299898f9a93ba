"""A DuckDB file to Parquet. The file is attached read-only, and a query sees it and nothing else of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.databases import sql
from mlctl.databases.look import refuse_order
from mlctl.databases.postgres import named_once
from mlctl.runtime.profile.copy import parquet
from mlctl.runtime.profile.database import database, literal
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import DatabaseCopy

_SOURCE = "source"


def copy(source: DatabaseCopy, target: Path, report: Report) -> int:
    """Copy the rows in order. Raises MlctlError."""
    import duckdb

    path = Path(source.connection["path"])
    beside = parquet.part_of(target)
    with database(report.folder) as connection:
        try:
            connection.execute(f"ATTACH {literal(str(path))} AS {_SOURCE} (READ_ONLY)")
            connection.execute(f"USE {_SOURCE}")
            connection.execute(f"SET allowed_directories = [{literal(str(target.parent.absolute()))}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            refuse_order(source, _columns(connection, sql.rows("duckdb", source.relation, ())))
            query = sql.rows("duckdb", source.relation, source.order)
            report.progress("copying rows")
            part = literal(str(beside.absolute()))
            rows = connection.execute(f"COPY ({query}) TO {part} (FORMAT parquet, COMPRESSION zstd)").fetchone()[0]
        except duckdb.Error as error:
            raise _explained(type(error).__name__, str(error), path) from error
    parquet.finish(beside, target)
    return int(rows)


def _columns(connection: Any, query: str) -> Mapping[str, str]:
    found = connection.execute(f"DESCRIBE {query}").fetchall()
    return named_once([(row[0], row[1].lower()) for row in found])


def _explained(kind: str, said: str, path: Path) -> MlctlError:
    text = " ".join(said.split())[:400]
    if "Could not set lock" in said or "Conflicting lock" in said:
        return MlctlError.of(
            "data.database-locked", f"`{path.name}` is open for writing elsewhere", text,
            "DuckDB lets others read only when nobody writes: close the other program, then run `mlctl apply` again",
        )  # fmt: skip
    if "version" in said and ("storage" in said or "newer" in said or "older" in said):
        return MlctlError.of(
            "data.database-version", f"`{path.name}` was written by another version of DuckDB", text,
            "write it with the version that mlctl has, or export it: `COPY t TO 't.parquet'`",
        )  # fmt: skip
    if "not a valid DuckDB" in said:
        return MlctlError.of("data.unreadable", f"`{path.name}` is no DuckDB file", text, "correct `path`, or `type`")
    if kind == "CatalogException":
        return MlctlError.of("data.missing-table", "there is no such table", text, "correct `table` or `query`")
    if kind in (
        "BinderException",
        "ParserException",
        "PermissionException",
        "ConversionException",
        "InvalidInputException",
    ):
        return MlctlError.of(
            "data.bad-query",
            "DuckDB refuses the query",
            text,
            "correct `table`, `query` or `key`; it only reads its own file",
        )
    return MlctlError.of(
        "data.unreadable", f"`{path.name}` cannot be read", text, "see that it is whole; then run `mlctl apply` again"
    )
