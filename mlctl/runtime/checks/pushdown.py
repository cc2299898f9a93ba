"""The checker's SQL inside the database that holds the rows: PostgreSQL, BigQuery or Snowflake, through their DB-API.

All statements of a check see the same rows in PostgreSQL (one read-only transaction that repeats its reads); the warehouses
see those of the moment of each statement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from mlctl.databases import look, postgres
from mlctl.databases.warehouses import warehouse
from mlctl.runtime.checks.dialect import readable, translate_over
from mlctl.runtime.checks.dialect_fixes import Dialect, Untranslatable
from mlctl.runtime.checks.executor import Refused
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.checks import ChecksParams
from mlctl.types.jobs.profile import Remote

_BATCH_ROWS = 20_000


class PushdownExecutor:
    """SQL over relations of one database, by a connection of Python's DB-API."""

    def __init__(self, connection: Any, asked: ChecksParams) -> None:
        remotes = {asked.dataset: asked.source, **asked.references}
        found = {name: item for name, item in remotes.items() if isinstance(item, Remote)}
        if len(found) < len(remotes):
            raise TypeError(f"{sorted(remotes.keys() - found.keys())} are not in the database")
        self.connection = connection
        self.dialect: Dialect = found[asked.dataset].type
        self.columns: Mapping[str, str] = found[asked.dataset].columns
        self.references: Mapping[str, Mapping[str, str]] = {name: found[name].columns for name in asked.references}
        self._relations = {name: item.relation for name, item in found.items()}
        self._tables = {name: list(item.columns) for name, item in found.items()}

    def one(self, sql: str) -> dict[str, Any]:
        """The only row of a query, by column name."""
        [row] = self.many(sql)
        return row

    def many(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query that has few, by column name."""
        with self._cursor(sql) as (cursor, names):
            return [dict(zip(names, map(_number, row), strict=True)) for row in cursor.fetchall()]

    def write(self, sql: str, path: Path) -> int:
        """Write the rows of a query as parquet, and say how many they are."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = 0
        with self._cursor(sql, streamed=True) as (cursor, names):
            schema = pa.schema([(name, self._arrow(name)) for name in names])
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                while portion := cursor.fetchmany(_BATCH_ROWS):
                    columns = zip(*portion, strict=True)
                    arrays = [pa.array(list(item), field.type) for item, field in zip(columns, schema, strict=True)]
                    writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
                    rows += len(portion)
        return rows

    def own_query(self, query: str, datasets: Collection[str]) -> str:
        """A query that a person wrote, as one SELECT that reads nothing but these datasets, ready to stand in brackets."""
        try:
            return readable(query, {name: self._tables.get(name, []) for name in datasets})
        except Untranslatable as error:
            raise Refused(str(error)) from None

    @contextmanager
    def _cursor(self, sql: str, *, streamed: bool = False) -> Iterator[tuple[Any, list[str]]]:
        """A cursor that has run a statement, and the names of its columns."""
        try:
            text = translate_over(sql, self.dialect, self._tables, self._relations)
        except Untranslatable as error:
            raise Refused(str(error)) from None
        with _explained(self.dialect), _undone(self.connection, self.dialect):
            # PostgreSQL hands a whole result over unless the cursor has a name
            named = {"name": "mlctl"} if streamed and self.dialect == "postgres" else {}
            cursor = self.connection.cursor(**named)
            try:
                cursor.execute(text)
                if cursor.description is None:
                    cursor.fetchmany(0)
                yield cursor, [item[0] for item in cursor.description]
            finally:
                cursor.close()

    def _arrow(self, name: str) -> Any:
        """The type of a column in parquet: as it was found, and text for what the checker adds."""
        import pyarrow as pa

        from mlctl.runtime.profile.copy.parquet import arrow_type

        return arrow_type(self.columns[name]) if name in self.columns else pa.string()


@contextmanager
def open_pushdown(asked: ChecksParams) -> Iterator[PushdownExecutor]:
    """An executor over the database that holds the dataset, which closes its connection."""
    if not isinstance(asked.source, Remote):
        raise TypeError(f"the rows of {asked.dataset} are not in a database")
    database = asked.source.type
    with look.extra(database):  # noqa: S610 (no Django here)
        if database == "postgres":
            with postgres.session(asked.source.connection) as session:
                yield PushdownExecutor(session, asked)
        else:
            with warehouse(database, asked.source.connection) as opened:
                yield PushdownExecutor(opened.dbapi(), asked)


@contextmanager
def _undone(connection: Any, dialect: Dialect) -> Iterator[None]:
    """After a statement that failed PostgreSQL takes no other in the same transaction, but for one that goes back."""
    if dialect != "postgres":
        yield
        return
    with connection.transaction():
        yield


@contextmanager
def _explained(dialect: Dialect) -> Iterator[None]:
    """The database's errors: about a statement as `Refused`, about the connection as MlctlError."""
    gone, errors = _errors(dialect)
    try:
        yield
    except gone as error:
        raise MlctlError.of(
            "data.database-gone",
            f"the {dialect} database broke off",
            _said(error),
            "see that it is up, and run `mlctl apply` again",
        ) from None
    except errors as error:
        raise Refused(_said(error)) from None


def _errors(dialect: Dialect) -> tuple[type[Exception], type[Exception]]:
    """The error for a connection that is gone, and the one for everything else."""
    if dialect == "postgres":
        import psycopg

        return psycopg.OperationalError, psycopg.Error
    if dialect == "bigquery":
        from google.cloud.bigquery import dbapi

        return dbapi.OperationalError, dbapi.Error
    from snowflake.connector import errors

    return errors.OperationalError, errors.Error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:600]


def _number(item: Any) -> Any:
    """Sums and averages of exact numbers come as decimals."""
    if not isinstance(item, Decimal):
        return item
    return int(item) if item.is_finite() and item == item.to_integral_value() else float(item)
