"""The `profile` program: what it is asked, and what of a dataset the programs that read it need to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mlctl.types.value import Json, digest

Format = Literal["parquet", "csv", "jsonl"]


class ProfileParams(BaseModel):
    """The files of one dataset, project-relative and in reading order, and the columns that its spec names."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    files: list[str]
    format: Format
    timestamp: str | None = None
    key: list[str] = []


class Source(BaseModel):
    """A profiled dataset as a worker program reads it. `columns` are DuckDB types in lower case, in no order."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    files: list[str]
    format: Format
    columns: dict[str, str]
    key: list[str] = []

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> Source:
        """Take it from the outputs of a `datasets` object."""
        return cls(files=outputs["files"], format=outputs["format"], columns=outputs["columns"], key=outputs["key"])


def dataset_digest(outputs: Mapping[str, Json], contents: Sequence[str]) -> str:
    """The digest of a dataset: the content of its files in reading order and how they are read, but not their names.

    `outputs` are those of the `datasets` object and `contents` the digest of each file, so that whoever reads the files
    later can tell whether they still are what was profiled.
    """
    return digest([outputs["format"], outputs["timestamp"], outputs["key"], outputs["columns"], list(contents)])
