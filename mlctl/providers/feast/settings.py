"""The project block `feature_store`: what declares features, where history is read from, and where the latest values are served from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mlctl.provider import Block
from mlctl.types.jobs.stores import redis_problem, sql_problem
from mlctl.types.secret import HIDDEN
from mlctl.types.units import Duration


def _checked(problem: Callable[[str], str | None]) -> AfterValidator:
    def check(url: str) -> str:
        unknown = "${" in url or url == HIDDEN  # what is put in later, or not set here, cannot be looked at
        why = None if unknown else problem(url)
        if why is not None:
            raise ValueError(why)
        return url

    return AfterValidator(check)


class FileRegistry(Block):
    """A file in the environment's own folder."""

    type: Literal["file"] = "file"


class SqlRegistry(Block):
    """A database that several machines see: PostgreSQL, or an SQLite file."""

    type: Literal["sql"]
    url: Annotated[str, _checked(sql_problem)]


class Duckdb(Block):
    """Snapshots in parquet files in the environment's own folder."""

    type: Literal["duckdb"] = "duckdb"


class Bigquery(Block):
    """Precomputed tables in BigQuery; credentials come from the environment, as for every Google client."""

    type: Literal["bigquery"]
    project: str
    dataset: Annotated[str, Field(description="Where Feast keeps the tables of a join for a while")]
    location: str | None = None


class Snowflake(Block):
    """Precomputed tables in Snowflake."""

    type: Literal["snowflake"]
    account: str
    user: str
    password: str | None = None
    database: str
    warehouse: str
    role: str | None = None


class Sqlite(Block):
    """A file in the environment's own folder."""

    type: Literal["sqlite"] = "sqlite"


class Redis(Block):
    """A Redis server, 5 or later. Its keys begin as Feast's do and end with the project and the environment."""

    type: Literal["redis"]
    url: Annotated[
        str, _checked(redis_problem), Field(description="`redis://user:password@host:6379/0`, or `rediss://`")
    ]
    key_ttl: Annotated[
        Duration | None,
        Field(ge=1, description="When Redis drops a key that nothing was written to, and all its views with it"),
    ] = None


class Dynamodb(Block):
    """DynamoDB, a table for each view; credentials come from the environment, as for every AWS client."""

    type: Literal["dynamodb"]
    region: str
    endpoint_url: Annotated[str | None, Field(pattern=r"^https?://")] = None


class FeatureStore(Block):
    """The feature store of a project. What is a file is kept in the environment's own folder."""

    registry: Annotated[FileRegistry | SqlRegistry, Field(discriminator="type")] = FileRegistry()
    offline: Annotated[Duckdb | Bigquery | Snowflake, Field(discriminator="type")] = Duckdb()
    online: Annotated[Sqlite | Redis | Dynamodb, Field(discriminator="type")] = Sqlite()

    @property
    def shared(self) -> bool:
        """Whether other projects and environments may use the same servers, so that names have to tell them apart."""
        return self.registry.type != "file" or self.online.type != "sqlite"
