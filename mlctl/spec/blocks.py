"""One block of a file on its way to a resource, and the blocks that a section of a file holds."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.spec.places import Located
from mlctl.spec.report import Report
from mlctl.spec.scope import Scope
from mlctl.spec.source import Source
from mlctl.spec.suggest import found, shown
from mlctl.types.address import NAME, Address
from mlctl.types.value import Json

NAME_LIMIT = 100  # names become names of folders
NAME_RULE = f"a name begins with a letter and goes on with letters, digits, `_` and `-`, {NAME_LIMIT} at most"


class Written:
    """A block as it is written: its values, where they stand, and what the names in them mean."""

    __slots__ = ("place", "scope", "values")

    def __init__(self, values: Json, place: Located, scope: Scope) -> None:
        self.values = values
        self.place = place
        self.scope = scope


def blocks_of(source: Source, section: str, value: Json, report: Report) -> Iterator[tuple[Address, Json]]:
    """The blocks of one section of a file by address; names that cannot be names are reported and left out."""
    if value is None:  # a section whose resources are all commented out
        return
    if not isinstance(value, dict):
        what = "modules" if section == "modules" else "resources"
        summary, why = f"`{section}` takes a block of {what} by name", f"{found(value)} stands there"
        report.at(source, (section,), "spec.wrong-type", summary, why, f"write `{section}: {{NAME: …}}`")
        return
    for name, block in value.items():
        if is_name(name):
            yield Address(section, name), block
        else:
            what = "a module" if section == "modules" else "a resource"
            summary = f"{shown(name)} cannot be the name of {what}"
            report.at(source, (section, name), "spec.bad-name", summary, NAME_RULE, "rename it", key=True)


def is_name(text: str) -> bool:
    """Whether a text can name a project, a resource or a module."""
    return len(text) <= NAME_LIMIT and NAME.fullmatch(text) is not None
