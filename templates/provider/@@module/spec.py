"""The fields of a `@@section` block."""

from __future__ import annotations

from typing import Annotated

from mlctl.provider import Reference, Spec
from pydantic import Field


class EntrySpec(Spec):
    """One entry. `description`, `owner`, `tags` and the other fields of every block come with `Spec`."""

    entry: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]  # its name in the catalogue
    title: Annotated[str, Field(min_length=1)]
    dataset: Annotated[str, Reference("datasets")] | None = None  # an edge of the graph: the dataset is made first
    link: str = ""
    labels: tuple[str, ...] = ()
