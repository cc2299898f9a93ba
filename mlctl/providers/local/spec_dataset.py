"""The `datasets` block."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from mlctl.provider import Block, Metadata, Spec
from mlctl.providers.local.spec_database import Database, DuckdbFile, SqliteFile
from mlctl.types.jobs.profile import Format

S3_SCHEME = "s3://"


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a column is named twice")
    return names


class S3(Block):
    """Where the bucket is, when it is not Amazon's own or not in the region that boto3 is set to."""

    endpoint_url: str | None = None
    region: str | None = None


class DatasetSpec(Spec):
    """A table: in files of one format, or in a database.

    Files are one file, a glob, or a folder, below the project folder or in a bucket (`s3://bucket/prefix/`); folders named
    `column=value` are columns. Rows of a database are copied into a Parquet file of mlctl's own when they are others than
    before; with `copy: false` they stay where they are, and only what works in that database can use them.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    path: Annotated[str, Field(min_length=1)] | None = None
    database: Database | None = None
    copy_: Annotated[bool, Field(alias="copy")] = True
    s3: Annotated[S3 | None, Metadata] = None
    format: Format | None = None  # else from the names of the files
    timestamp: str | None = None  # the column that says when a row became known
    key: Annotated[tuple[str, ...], AfterValidator(_distinct)] = ()  # the columns that tell rows apart

    @model_validator(mode="after")
    def _fits(self) -> DatasetSpec:
        if (self.path is None) == (self.database is None):
            raise ValueError("state either `path` or `database`")
        in_bucket = self.path is not None and self.path.startswith(S3_SCHEME)
        for field, value, useful in (
            ("s3", self.s3, in_bucket),
            ("format", self.format, self.path is not None),
        ):
            if value is not None and not useful:
                raise ValueError(
                    f"`{field}` has no effect here: it is about files{' in a bucket' if field == 's3' else ''}"
                )
        if not self.copy_ and (self.database is None or isinstance(self.database, SqliteFile | DuckdbFile)):
            raise ValueError(
                "`copy: false` is for postgres, bigquery and snowflake: other sources are files that programs read"
            )
        return self
