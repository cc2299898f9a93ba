"""The `profile` program: what it is asked, and what of a dataset the programs that read it need to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mlctl.types.jobs.copy import DatabaseCopy, Download, ServerType
from mlctl.types.jobs.partitions import values_of
from mlctl.types.value import Json, digest

Format = Literal["parquet", "csv", "jsonl"]


class ProfileParams(BaseModel):
    """The files of one dataset, project-relative and in reading order, and the columns that its spec names.

    With `database` the file is a copy that is made first, unless the rows stay where they are; with `download` the files are
    brought first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    files: list[str]
    format: Format
    timestamp: str | None = None
    key: list[str] = []
    partitions: dict[str, str] = {}
    database: DatabaseCopy | None = None
    download: Download | None = None


class Source(BaseModel):
    """A profiled dataset as a worker program reads it. `columns` are DuckDB types in lower case, in no order."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    files: list[str]
    format: Format
    columns: dict[str, str]
    key: list[str] = []
    timestamp: str | None = None
    partitions: dict[str, str] = {}  # columns that stand in the names of folders (`year=2024/`), with their types

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> Source:
        """Take it from the outputs of a `datasets` object."""
        return cls.model_validate({name: outputs[name] for name in cls.model_fields if outputs.get(name) is not None})


class Remote(BaseModel):
    """A dataset whose rows stay in a database (`copy: false`). The connection may hold secrets; job files keep them sealed."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    type: ServerType
    connection: dict[str, str]
    relation: str  # a quoted table name, or a query in brackets, in the database's own SQL
    columns: dict[str, str]
    key: list[str] = []
    timestamp: str | None = None


def dataset_digest(outputs: Mapping[str, Json], contents: Sequence[str]) -> str:
    """The digest of a dataset: the content of its files in reading order and how they are read, but not their names.

    `outputs` are those of the `datasets` object and `contents` the digest of each file, so that whoever reads the files
    later can tell whether they still are what was profiled. Of names count the values that stand in them as partitions. A
    copied table counts by its rows, since a file of the same rows may have other bytes.
    """
    listed: list[Any] = list(contents)
    copied, partitions = outputs.get("copied"), outputs.get("partitions")
    if isinstance(copied, Mapping) and listed == [copied.get("file")]:
        listed = [copied.get("rows")]
    if isinstance(partitions, Mapping) and partitions:
        files: Any = outputs["files"]
        values = [values_of(str(file)) for file in files]
        listed = [
            [item, [found[name] for name in sorted(partitions)]] for item, found in zip(listed, values, strict=True)
        ]
    return digest([outputs["format"], outputs["timestamp"], outputs["key"], outputs["columns"], listed])
