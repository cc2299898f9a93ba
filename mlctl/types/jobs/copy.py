"""What a dataset that is no local file is brought from: a table or query of a database, or objects of a bucket."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

ServerType = Literal["postgres", "bigquery", "snowflake"]
DatabaseType = Literal["sqlite", "duckdb", "postgres", "bigquery", "snowflake"]

SNAPSHOT_FILE = "snapshot.parquet"  # the copy of a table, in the folder of the dataset's object
DOWNLOADS = "objects"  # the folder of what was downloaded, below that of the object; keys are paths in it
PROFILE_FILE = "profile.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class DatabaseCopy(_Part):
    """A table or query, and what of it is copied. The connection may hold secrets; job files keep them sealed."""

    type: DatabaseType
    connection: dict[str, str]  # `path` of a file, project-relative; `url` of PostgreSQL; else arguments of the client
    relation: str  # a quoted table name, or a query in brackets, in the database's own SQL
    order: list[str] = []  # columns that put the rows in order
    watermark: str | None = None  # a column: only rows up to its value in `version` are read
    version: str | None = None  # what the plan saw, as `mlctl.databases.versions` writes it; None for files
    target: str | None = None  # the Parquet file to make, project-relative; None leaves the rows where they are


class S3Object(_Part):
    """One object at one time. `version_id` is there when the bucket keeps versions and the object was asked for alone."""

    key: str
    etag: str
    size: int
    version_id: str | None = None


class Download(_Part):
    """Objects to download. Each is kept once below `store`, by what it is, and linked into `target`; both project-relative."""

    bucket: str
    objects: list[S3Object]
    endpoint_url: str | None = None
    region: str | None = None
    store: str
    target: str
