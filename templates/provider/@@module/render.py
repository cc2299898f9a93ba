"""From a block to what the catalogue keeps of it. Pure, so that a test needs no tool."""

from __future__ import annotations

from dataclasses import dataclass

from mlctl.provider import Desired

from @@module.spec import EntrySpec


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the catalogue. `mark` says whose it is; empty for one that a person made."""

    name: str
    title: str
    link: str
    labels: tuple[str, ...]
    rows: int | None
    mark: str = ""


def render(desired: Desired, mark: str) -> Entry:
    """The row of a block; the number of rows is an output of the dataset it names."""
    spec: EntrySpec = desired.spec
    rows = desired.input("datasets", spec.dataset).outputs.get("rows") if spec.dataset is not None else None
    return Entry(spec.entry, spec.title, spec.link, spec.labels, rows, mark)
