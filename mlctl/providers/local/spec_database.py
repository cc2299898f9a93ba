"""The `database` block of a dataset: which database, and which rows of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from mlctl.databases import sql
from mlctl.provider import Block


class Watermark(Block):
    """A column that only grows: rows are added with higher values, or get one when they change, and none is removed."""

    watermark: Annotated[str, Field(min_length=1)]


Version = Literal["snapshot"] | Watermark


def _is_table(name: str) -> str:
    sql.table("postgres", name)
    return name


class _Rows(Block):
    """Which rows: a table or view, or a query that only reads."""

    table: Annotated[str, AfterValidator(_is_table)] | None = None  # `orders`, `shop.orders`, `"my.schema"."orders"`
    query: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one(cls, given: Any) -> Any:
        if isinstance(given, dict) and (given.get("table") is None) == (given.get("query") is None):
            raise ValueError("state either `table` or `query`")
        return given

    @property
    def connection(self) -> dict[str, str]:
        """What a client needs to connect, as texts."""
        known = self.model_dump(exclude={"type", "table", "query", "version"}, exclude_none=True)
        return {name: str(value) for name, value in known.items()}


class SqliteFile(_Rows):
    """A SQLite file below the project folder. Its version is its content."""

    type: Literal["sqlite"]
    path: Annotated[str, Field(min_length=1)]


class DuckdbFile(_Rows):
    """A DuckDB file below the project folder. Its version is its content."""

    type: Literal["duckdb"]
    path: Annotated[str, Field(min_length=1)]


class _Server(_Rows):
    version: Version = "snapshot"  # how a plan tells whether the rows are others: a hash of all of them, or a watermark


class Postgres(_Server):
    """A PostgreSQL database by its URL, with whatever libpq takes in one: `?sslmode=verify-full&sslrootcert=...`."""

    type: Literal["postgres"]
    url: Annotated[str, Field(min_length=1)]


class Bigquery(_Server):
    """A BigQuery project. Without `credentials_file` the application default credentials are used."""

    type: Literal["bigquery"]
    project: Annotated[str, Field(min_length=1)]
    location: str | None = None
    credentials_file: str | None = None


class Snowflake(_Server):
    """A Snowflake account. Names are written as they are stored there, which is in capitals unless they were quoted."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["snowflake"]
    account: Annotated[str, Field(min_length=1)]
    user: Annotated[str, Field(min_length=1)]
    password: str | None = None
    private_key_file: str | None = None
    private_key_file_pwd: str | None = None
    authenticator: str | None = None
    token: str | None = None
    role: str | None = None
    warehouse: str | None = None
    database: str | None = None
    schema_: Annotated[str | None, Field(alias="schema")] = None


Database = Annotated[SqliteFile | DuckdbFile | Postgres | Bigquery | Snowflake, Field(discriminator="type")]
File = SqliteFile | DuckdbFile
Server = Postgres | Bigquery | Snowflake
