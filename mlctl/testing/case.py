"""What a test of a kind has to bring: a block that can really be applied, and an edit of each of its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mlctl.types.state import Record


class Then(StrEnum):
    """What has to come of an edit."""

    ANOTHER_OBJECT = "another object"  # the identity changes: a build runs again, anything else is replaced
    UPDATE = "an update"  # the same object, changed in place
    METADATA = "a change of the record"  # nothing runs
    NOTHING = "nothing"  # another way to write the same


@dataclass(frozen=True, slots=True)
class Edit:
    """A field that a person may change. `path` is dotted from the block; `value` REMOVED takes the field out.

    `shows` is the path that the plan names, when it is another; `inputs` replaces those of the case for this edit;
    `applied` False leaves an update at what the plan says of it, for a tool that takes long.
    """

    path: str
    value: Any
    then: Then
    shows: str = ""
    inputs: Mapping[str, Record] | None = None
    applied: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """A block of the kind that can really be applied, with the records of what it refers to.

    Every field of the spec needs an edit, so that none can be without effect. `count` counts the objects that the tool
    holds, whoever made them: with it, "made once" is seen and not inferred from the id. `found`, for a kind that is
    `Importable`, makes by hand in the tool what the block asks for, without a mark of ours, and gives its id.
    """

    address: str
    values: Mapping[str, Any]
    edits: Sequence[Edit]
    inputs: Mapping[str, Record] = field(default_factory=dict)
    count: Callable[[], int] | None = None
    found: Callable[[], str] | None = None
    only_in_state: bool = False  # there is nothing outside the state, so `read` cannot find it gone
    same_when_made_anew: bool = True  # removed and made again, it gives the same digest
