"""Where the SQL of a data check runs. One checker writes it in DuckDB's dialect; an executor runs it over the datasets' own names.

In every statement the checked dataset is a view of its own name, and so is each dataset that a rule refers to. The DuckDB
executor is closed once its views are made: no statement, and so no query that a person wrote, reads another file, writes
one it was not told of, or loosens a limit.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mlctl.runtime.profile.database import database, literal, quote, shorten
from mlctl.runtime.profile.source import describe, relation
from mlctl.types.jobs.checks import ChecksParams, DuckdbEngine
from mlctl.types.jobs.profile import Source

# The number of a row in file order, from 1. No column is named so, and if one is, the error says it.
ROW = '"mlctl row"'
_END = re.compile(r";(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*\Z", re.DOTALL)  # of a statement, and comments behind it
BATCH_ROWS = 100_000
ROW_GROUP = 20_480  # of parquet that is written; a small one, since it is held in memory for each thread


class Refused(Exception):
    """The engine will not run a statement, or broke off in it, for what the statement says; the text is the engine's own."""


class Executor(Protocol):
    """An engine that runs the checker's SQL. Its methods raise `Refused`, and MlctlError when the engine or the data is not there."""

    @property
    def columns(self) -> Mapping[str, str]:
        """Of the checked dataset, in order: DuckDB types in lower case."""
        ...

    @property
    def references(self) -> Mapping[str, Mapping[str, str]]:
        """The same of the other datasets, by name."""
        ...

    def one(self, sql: str) -> dict[str, Any]:
        """The only row of a query, by column name."""
        ...

    def many(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query that has few, by column name."""
        ...

    def write(self, sql: str, path: Path) -> int:
        """Write the rows of a query as parquet, and say how many they are."""
        ...

    def own_query(self, query: str, datasets: Collection[str]) -> str:
        """A query that a person wrote, as one SELECT that reads nothing but these datasets, ready to stand in brackets."""
        ...


class Rowwise(Executor, Protocol):
    """An engine whose rows can also be looked at one after the other, and pointed at by their number in file order."""

    def batches(self, sql: str) -> Iterator[Mapping[str, Any]]:
        """The rows of a query in portions, as numpy arrays by column name."""
        ...

    def rows(self, name: str, numbers: Iterator[Sequence[int]]) -> str:
        """Keep numbers of rows (from 1) under a name, and give the condition that those rows meet."""
        ...


class DuckdbExecutor:
    """DuckDB within a memory limit, over the files of the datasets. `connection` and `table` are for what reads whole columns."""

    def __init__(
        self, connection: Any, table: str, columns: Mapping[str, str], references: Mapping[str, Mapping[str, str]]
    ) -> None:
        self.connection = connection
        self.table = table  # the view of the checked dataset, quoted
        self.columns = columns
        self.references = references

    def one(self, sql: str) -> dict[str, Any]:
        """The only row of a query, by column name."""
        [row] = self.many(sql)
        return row

    def many(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query that has few, by column name."""
        result = self._run(sql)
        names = [item[0] for item in result.description]
        with _refusing():
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def write(self, sql: str, path: Path) -> int:
        """Write the rows of a query as parquet, and say how many they are. Only to a path it was opened for."""
        done = self._run(
            f"COPY ({sql}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
        )
        return int(done.fetchone()[0])

    def own_query(self, query: str, datasets: Collection[str]) -> str:
        """A query that a person wrote, as one SELECT that reads nothing but these datasets, ready to stand in brackets."""
        parsed = json.loads(self._run(f"SELECT json_serialize_sql({literal(query)}) AS tree").fetchone()[0])
        if parsed["error"]:
            raise Refused(str(parsed["error_message"]))
        if len(parsed["statements"]) != 1:
            raise Refused(f"it is {len(parsed['statements'])} statements, and a rule has one")
        refuse_other_tables(parsed["statements"][0], datasets)
        return f"\n{_END.sub('', query)}\n"  # the line ends keep a comment in it from going on behind it

    def batches(self, sql: str) -> Iterator[Mapping[str, Any]]:
        """The rows of a query in portions, as numpy arrays by column name."""
        # not to_numpy at once, which would hold every row; a cursor, so that the connection is free for other statements
        with self.connection.cursor() as cursor:
            for batch in cursor.sql(sql).to_arrow_reader(BATCH_ROWS):
                names = batch.schema.names
                yield {name: batch.column(i).to_numpy(zero_copy_only=False) for i, name in enumerate(names)}

    def rows(self, name: str, numbers: Iterator[Sequence[int]]) -> str:
        """Keep numbers of rows (from 1) under a name, and give the condition that those rows meet."""
        kept = quote(f"mlctl rows {name}")
        self._run(f"CREATE OR REPLACE TEMP TABLE {kept} (position BIGINT)")
        for portion in numbers:
            for start in range(0, len(portion), BATCH_ROWS):
                found = [int(number) for number in portion[start : start + BATCH_ROWS]]
                self.connection.execute(f"INSERT INTO {kept} SELECT unnest(?::BIGINT[])", [found])
        return f"{ROW} IN (SELECT position FROM {kept})"

    def _run(self, sql: str) -> Any:
        with _refusing():
            return self.connection.execute(sql)


@contextmanager
def open_duckdb(asked: ChecksParams, folder: Path, writes: Sequence[Path] = ()) -> Iterator[DuckdbExecutor]:
    """An executor over the datasets' files that spills below `folder`. It reads nothing else, and writes only `writes`."""
    engine = asked.engine if isinstance(asked.engine, DuckdbEngine) else DuckdbEngine()
    source = asked.source
    if not isinstance(source, Source):
        raise TypeError(f"{asked.dataset} is no dataset of files")
    sources = {asked.dataset: source}
    for name, other in asked.references.items():
        if not isinstance(other, Source):
            raise TypeError(f"{name} is no dataset of files")
        sources.setdefault(name, other)
    with database(folder) as connection:
        connection.execute(f"SET memory_limit = {literal(engine.memory_limit)}")
        if engine.threads is not None:
            connection.execute(f"SET threads = {engine.threads}")
        found = {}
        for name, item in sources.items():
            connection.execute(f"CREATE VIEW {quote(name)} AS SELECT * FROM {relation(item)}")
            found[name] = describe(connection, quote(name))
        _close(connection, [*(file for item in sources.values() for file in item.files), *map(str, writes)])
        others = {name: found[name] for name in asked.references}
        try:
            yield DuckdbExecutor(connection, quote(asked.dataset), found[asked.dataset], others)
        except Refused as error:  # nobody expected it: a mistake of ours, or data that cannot be read after all
            if error.__cause__ is not None:
                raise error.__cause__ from None
            raise


def refuse_other_tables(tree: Any, datasets: Collection[str]) -> None:
    """Raise Refused when a parsed query names a table that is neither one of the datasets nor its own (`WITH name AS …`)."""
    own: set[str] = set()
    tables: list[tuple[str, str]] = []
    _collect(tree, own, tables)
    allowed = {name.lower() for name in (*datasets, *own)}
    for kind, name in tables:
        if kind == "SHOW_REF":
            raise Refused("it describes tables; a rule's query returns offending rows")
        if kind == "TABLE_FUNCTION" and name not in ("generate_series", "range", "unnest"):
            raise Refused(f"it reads from `{name}()`; a rule's query reads only its datasets")
        if kind == "BASE_TABLE" and name.lower() not in allowed:
            raise Refused(f"it reads `{name}`, which is none of its datasets ({', '.join(sorted(datasets))})")


def _collect(node: Any, own: set[str], tables: list[tuple[str, str]]) -> None:
    """What DuckDB's tree of a query names: its own tables, and those it reads."""
    if isinstance(node, list):
        for item in node:
            _collect(item, own, tables)
    if not isinstance(node, dict):
        return
    own |= {str(item["key"]) for item in (node.get("cte_map") or {}).get("map") or ()}
    kind = node.get("type")
    if kind == "BASE_TABLE":
        whole = [node.get(part) for part in ("catalog_name", "schema_name", "table_name")]
        tables.append((kind, ".".join(str(part) for part in whole if part)))
    elif kind == "TABLE_FUNCTION":
        tables.append((kind, str(node["function"]["function_name"]).lower()))
    elif kind == "SHOW_REF":
        tables.append((kind, ""))
    for item in node.values():
        _collect(item, own, tables)


def _close(connection: Any, paths: Sequence[str]) -> None:
    """From here on the connection reads and writes these paths only, and no statement can change that."""
    # else a variable of this program would be a table by its name
    connection.execute("SET python_enable_replacements = false")
    connection.execute(f"SET allowed_paths = [{', '.join(literal(path) for path in paths)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


@contextmanager
def _refusing() -> Iterator[None]:
    """DuckDB's errors about a statement as `Refused`; those about memory, disk and files stay as they are."""
    import duckdb

    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        raise Refused(shorten(str(error))) from error
