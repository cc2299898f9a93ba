"""What an online store has to be able to do, whichever it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Key, Marks

CHUNK_KEYS = 1000  # how many keys are written in one go: a few milliseconds in which others wait


@dataclass(frozen=True, slots=True)
class Table:
    """One view in the online store: what it is called there, by what it is looked up, and its features in order."""

    view: str
    keys: tuple[Key, ...]
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """All features of one key at one event time (microseconds since 1970 UTC)."""

    key: bytes
    moment: int
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What the store has for a key, by the features that were asked for; MISSING for one that is not of this event time."""

    moment: int
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Stamp:
    """Written beside the rows of a shared store: whose they are, and whether they are all there.

    `features` are all that any row may still hold. `served` stays true once a first fill has ended: from then on each key
    has a whole row, an old one or a new one.
    """

    lineage: str
    object: str
    keys: list[dict[str, str]]  # the columns that rows are found by, each with its type
    features: list[str]
    fill: str = ""  # what was filled last, to the end: compared with the record by `plan`
    rows: int = 0
    filling: bool = True
    served: bool = False

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str | bytes | None) -> Stamp | None:
        """What `text` gave; None for nothing, and for what is none of ours."""
        if text is None:
            return None
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None


class Backend(Protocol):
    """An online store of one project and environment. Safe to use from several threads.

    Every method raises MlctlError: `features.store-down` when the server does not answer (whether what was written last
    is there is then unknown, and writing it again is right), `features.store-gone` when it answers and has no such table.
    """

    @property
    def where(self) -> str:
        """What people call it, without credentials."""
        ...

    def read(self, tables: Sequence[Table], keys: Sequence[Sequence[bytes]]) -> list[list[Held | None]]:
        """For each table the rows of its keys, each whole and of one moment in time."""
        ...

    def write(self, table: Table, rows: Sequence[Row]) -> int:
        """Put rows in, each key at once, unless what is there is newer or the same. Gives how many were put in."""
        ...

    def held_keys(self, table: Table) -> Iterator[tuple[bytes, int]]:
        """Every key that has a row, by the name that `names` gives it, with its event time, in any order; some maybe twice."""
        ...

    def names(self, keys: Sequence[bytes]) -> list[bytes]:
        """What `held_keys` calls these keys."""
        ...

    def delete(self, table: Table, keys: Sequence[tuple[bytes, int]]) -> int:
        """Remove the rows of names that `held_keys` gave, if they still have that event time. Gives how many were removed."""
        ...

    def forget(self, table: Table, features: Sequence[str]) -> None:
        """Remove features that the view has no more from all rows."""
        ...

    def make(self, table: Table) -> None:
        """Have room for a view; nothing happens when there is."""
        ...

    def drop(self, table: Table) -> None:
        """Remove the rows of a view, and nothing of any other. Gone already is success."""
        ...

    def stamp(self, view: str) -> Stamp | None:
        """The stamp; None when the view was never filled by us."""
        ...

    def size(self, table: Table, keys: int) -> int:
        """What tells the state of the store later, by a count that is cheap to make again: the keys, or the rows of a table."""
        ...

    def put_stamp(self, view: str, stamp: Stamp) -> None:
        """Keep a stamp."""
        ...

    def close(self) -> None:
        """Let connections go."""
        ...


def wins(new: Row, held: Held | None) -> bool:
    """Whether a row is to replace what is there: it is newer, or says something else of the same moment."""
    return held is None or new.moment > held.moment or (new.moment == held.moment and new.values != held.values)


def latest(rows: Iterable[Row]) -> list[Row]:
    """One row for each key: the newest, and of the same moment the last."""
    chosen: dict[bytes, Row] = {}
    for row in rows:
        other = chosen.get(row.key)
        if other is None or row.moment >= other.moment:
            chosen[row.key] = row
    return list(chosen.values())


def store_down(where: str, error: object) -> MlctlError:
    """The server of an online store does not answer."""
    return MlctlError.of(
        "features.store-down",
        f"the online store {where} does not answer",
        str(error)[:300],
        "start it, or correct `feature_store.online`; then run the command again: each key has its old row or its new one",
    )


def store_gone(where: str, why: str) -> MlctlError:
    """The online store has no such view."""
    return MlctlError.of(
        "features.store-gone",
        f"the online store {where} cannot be read",
        why,
        "run `mlctl apply`: the plan finds what is missing and makes it again",
    )


def not_ours(where: str, view: str, stamp: Stamp, marks: Marks) -> MlctlError:
    """Another project, or another state of this one, fills a view of this name."""
    from mlctl.types.ownership import not_ours as refused

    title = f"the view `{view}` in the online store {where}"
    tags = {"mlctl.lineage": stamp.lineage, "mlctl.object": stamp.object}
    return refused(title, tags, marks.address, view, "give the project or the environment another name")
