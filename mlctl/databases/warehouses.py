"""BigQuery and Snowflake through their own clients: one row of a query, its columns, and all rows as Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol

from mlctl.databases.postgres import named_once
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import ServerType

_SNOWFLAKE_ARGUMENTS = (
    "account", "user", "password", "private_key_file", "private_key_file_pwd", "authenticator", "token", "role", "warehouse",
    "database", "schema",
)  # fmt: skip
_SNOWFLAKE_SESSION = {
    "TIMEZONE": "UTC",
    "TIMESTAMP_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF9TZH:TZM",
    "TIMESTAMP_NTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF9",
    "TIMESTAMP_TZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF9TZH:TZM",
    "TIMESTAMP_LTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF9TZH:TZM",
}
_BIGQUERY_TYPES = {
    "INTEGER": "bigint", "INT64": "bigint", "FLOAT": "double", "FLOAT64": "double", "NUMERIC": "decimal(38,9)", "BOOLEAN": "boolean",
    "BOOL": "boolean", "BYTES": "blob", "DATE": "date", "TIME": "time", "DATETIME": "timestamp", "TIMESTAMP": "timestamp with time zone",
}  # fmt: skip
# by the codes of the client: its `FIELD_TYPES` in this order
_SNOWFLAKE_TYPES = {
    1: "double", 3: "date", 4: "timestamp", 6: "timestamp with time zone", 7: "timestamp with time zone", 8: "timestamp",
    11: "blob", 12: "time", 13: "boolean",
}  # fmt: skip
_FIXED = 0
_BIGINT_DIGITS = 18


class Warehouse(Protocol):
    """What is asked of either."""

    def one(self, query: str) -> Sequence[Any]:
        """The only row of a query."""
        ...

    def columns(self, query: str) -> dict[str, str]:
        """The columns of a query in order, as DuckDB types in lower case."""
        ...

    def batches(self, query: str) -> Iterator[Any]:
        """All rows of a query in order, as Arrow record batches."""
        ...

    def dbapi(self) -> Any:
        """The connection as Python's DB-API has it, for checks that run inside of the database."""
        ...


@contextmanager
def warehouse(database: ServerType, connection: Mapping[str, str]) -> Iterator[Warehouse]:
    """An open connection. Raises MlctlError, also for errors inside."""
    opened: Callable[[Mapping[str, str]], Any] = _BigQuery if database == "bigquery" else _Snowflake
    try:
        with closing(opened(connection)) as made:
            yield made
    except (MlctlError, ModuleNotFoundError):
        raise
    except Exception as error:  # each client has families of errors of its own, and of the libraries below it
        raise MlctlError.of(
            "data.database-failed",
            f"{database} refused or could not be reached",
            f"{type(error).__name__}: {' '.join(str(error).split())[:400]}",
            "see the names and credentials under `database`, and the rights of the user; then run the command again",
        ) from error


class _BigQuery:
    def __init__(self, connection: Mapping[str, str]) -> None:
        from google.cloud import bigquery

        given = {name: connection[name] for name in ("project", "location") if name in connection}
        file = connection.get("credentials_file")
        make = bigquery.Client if file is None else bigquery.Client.from_service_account_json
        self._client = make(**given) if file is None else make(file, **given)
        self._dry = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)

    def one(self, query: str) -> Sequence[Any]:
        self._looked_at(query)
        return list(next(iter(self._client.query_and_wait(query))).values())

    def columns(self, query: str) -> dict[str, str]:
        schema = self._looked_at(query).schema
        return named_once([(item.name, bigquery_type(item.field_type, item.mode)) for item in schema])

    def batches(self, query: str) -> Iterator[Any]:
        self._looked_at(query)
        yield from self._client.query_and_wait(query).to_arrow_iterable()

    def _looked_at(self, query: str) -> Any:
        """What BigQuery would make of a query, which costs nothing. Raises MlctlError for what is more than a question: BigQuery
        runs scripts too, and a dataset's query could close the brackets that it is put in."""
        found = self._client.query(query, job_config=self._dry)
        if found.statement_type != "SELECT":
            raise MlctlError.of(
                "data.bad-query",
                "a dataset's `query` is one SELECT",
                f"BigQuery reads it as {str(found.statement_type).replace('_', ' ')}",
                "write one SELECT, without a semicolon inside",
            )
        return found

    def dbapi(self) -> Any:
        from google.cloud.bigquery import dbapi

        return dbapi.connect(client=self._client, prefer_bqstorage_client=False)

    def close(self) -> None:
        self._client.close()


class _Snowflake:
    def __init__(self, connection: Mapping[str, str]) -> None:
        import snowflake.connector

        given = {name: connection[name] for name in _SNOWFLAKE_ARGUMENTS if name in connection}
        self._connection = snowflake.connector.connect(
            **given, application="mlctl", login_timeout=30, session_parameters=_SNOWFLAKE_SESSION
        )

    def one(self, query: str) -> Sequence[Any]:
        with closing(self._connection.cursor()) as cursor:
            return list(cursor.execute(query).fetchone())

    def columns(self, query: str) -> dict[str, str]:
        with closing(self._connection.cursor()) as cursor:
            found = cursor.describe(query)
        return named_once([(item.name, snowflake_type(item.type_code, item.precision, item.scale)) for item in found])

    def batches(self, query: str) -> Iterator[Any]:
        with closing(self._connection.cursor()) as cursor:
            for table in cursor.execute(query).fetch_arrow_batches():
                yield from table.to_batches()

    def dbapi(self) -> Any:
        return self._connection

    def close(self) -> None:
        self._connection.close()


def bigquery_type(name: str, mode: str) -> str:
    """The DuckDB type of a BigQuery column; what has no plain one is text."""
    return "varchar" if mode == "REPEATED" else _BIGQUERY_TYPES.get(name, "varchar")


def snowflake_type(code: int, precision: int | None, scale: int | None) -> str:
    """The DuckDB type of a Snowflake column, by the code that its client gives."""
    if code == _FIXED:
        digits = precision or 38
        return "bigint" if not scale and digits <= _BIGINT_DIGITS else f"decimal({digits},{scale or 0})"
    return _SNOWFLAKE_TYPES.get(code, "varchar")
