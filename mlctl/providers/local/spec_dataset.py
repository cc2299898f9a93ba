"""The `datasets` block."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from mlctl.provider import Spec
from mlctl.types.jobs.profile import Format


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a column is named twice")
    return names


class DatasetSpec(Spec):
    """A table in files of one format below the project folder: one file, a glob, or a folder of files."""

    path: Annotated[str, Field(min_length=1)]
    format: Format | None = None  # else from the names of the files
    timestamp: str | None = None  # the column that says when a row became known
    key: Annotated[tuple[str, ...], AfterValidator(_distinct)] = ()  # the columns that tell rows apart
