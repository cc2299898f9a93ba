"""Where each column comes from: from datasets through features to models, as the objects in the state tell it themselves.

An object tells it in its output `lineage`: `{column: {"from": [[address, column], ...], "how": text}}`. Whatever kind it
is of, it is drawn; what it names as its origin is drawn as well, and need not tell anything itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlctl.engine.ledger import Ledger
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.state import Record


class Column(NamedTuple):
    """A column of what an address made: of a dataset, of a feature view, or what a model gives."""

    address: Address
    name: str

    def __str__(self) -> str:
        return f"{self.address}:{self.name}"

    @property
    def section(self) -> str:
        """The section of its address."""
        return self.address.section


Arrow = tuple[Column, Column]


@dataclass(frozen=True)
class Lineage:
    """Columns in order, each with how it is made (empty for one that is read as it is), and what each is made from."""

    columns: Mapping[Column, str]
    arrows: tuple[Arrow, ...]

    def around(self, text: str) -> Lineage:
        """Only `ADDRESS` or `ADDRESS:COLUMN` with all that it comes from and all that is made from it. Raises MlctlError."""
        chosen = {column for column in self.columns if text in (str(column), str(column.address))}
        if not chosen:
            known = {str(item) for column in self.columns for item in (column, column.address)}
            raise MlctlError.of(
                "graph.no-column",
                f"no column of `{text}` is known",
                "only what was made, and says where its columns come from, is known",
                did_you_mean(text, known) or "see them all with `mlctl graph --features --format json`",
            )
        kept = (
            chosen | _reach(chosen, self.arrows) | _reach(chosen, ((target, source) for source, target in self.arrows))
        )
        return Lineage(
            {column: how for column, how in self.columns.items() if column in kept},
            tuple(arrow for arrow in self.arrows if kept.issuperset(arrow)),
        )

    def to_json(self) -> dict[str, Any]:
        """Columns and arrows for other programs."""
        return {
            "columns": [
                {"address": str(column.address), "column": column.name, "how": how}
                for column, how in self.columns.items()
            ],
            "arrows": [[str(source), str(target)] for source, target in self.arrows],
        }


def gather(ledger: Ledger) -> Lineage:
    """The lineage of all that was made to the end."""
    columns: dict[Column, str] = {}
    arrows: set[Arrow] = set()
    for address in ledger.addresses():
        record = ledger.made(address)
        for name, sources, how in _told(record):
            target = Column(address, name)
            columns[target] = how
            for source in sources:
                columns.setdefault(source, "")
                arrows.add((source, target))
    return Lineage(dict(sorted(columns.items())), tuple(sorted(arrows)))


def _told(record: Record | None) -> Iterator[tuple[str, list[Column], str]]:
    """What a record says: each column with where it comes from, and how. What is not of that shape tells nothing."""
    lineage = record.outputs.get("lineage") if record is not None else None
    for name, item in lineage.items() if isinstance(lineage, Mapping) else ():
        if isinstance(item, Mapping):
            yield str(name), list(_sources(item.get("from"))), str(item.get("how") or "")


def _sources(listed: Any) -> Iterator[Column]:
    for pair in listed if isinstance(listed, list) else ():
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair):
            try:
                yield Column(Address.parse(pair[0]), pair[1])
            except ValueError:
                continue


def _reach(begin: Iterable[Column], arrows: Iterable[Arrow]) -> set[Column]:
    """All that can be got to along the arrows."""
    following: dict[Column, list[Column]] = {}
    for source, target in arrows:
        following.setdefault(source, []).append(target)
    found: set[Column] = set()
    waiting = list(begin)
    while waiting:
        for column in following.get(waiting.pop(), ()):
            if column not in found:
                found.add(column)
                waiting.append(column)
    return found
