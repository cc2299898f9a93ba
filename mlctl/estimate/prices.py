"""What devices cost by the hour: rows of several price lists, of which a later one wins. What has no row has no price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from mlctl.types.estimate import Range

Tier = Literal["on_demand", "spot", "reserved_1y", "reserved_3y", "owned"]
TIERS: tuple[Tier, ...] = get_args(Tier)
BUILT_IN = Path(__file__).with_name("prices.yaml")
_SPOT_BAND = 0.5  # how far spot prices are taken to move


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One price of one device for an hour, with its share of the host."""

    gpu: str
    provider: str
    tier: Tier
    usd: float
    as_of: date
    source: str
    low: float | None = None
    high: float | None = None
    region: str = ""
    min_gpus: int = 1  # what is rented at least, at once


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for one device and hour, and where they come from: the oldest row counts."""

    usd: Range
    as_of: date
    rows: tuple[PriceRow, ...]

    def age(self, today: date) -> int:
        """In days."""
        return (today - self.as_of).days


def rows_of(document: Any) -> tuple[PriceRow, ...]:
    """The rows of a price list. Raises ValueError for what is none, naming the row."""
    listed = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("a price list has `rows`")
    found = []
    for number, item in enumerate(listed, 1):
        try:
            row = PriceRow(**item)
        except TypeError as error:
            raise ValueError(f"row {number}: {error}") from None
        if not isinstance(row.as_of, date) or not row.source:
            raise ValueError(f"row {number}: a price has `as_of`, a date, and a `source`")
        if not 0 < (row.low or row.usd) <= row.usd <= (row.high or row.usd):
            raise ValueError(f"row {number}: low <= usd <= high does not hold")
        found.append(row)
    return tuple(found)


@dataclass(frozen=True)
class Prices:
    """The price lists that count for a command, read when a price is first asked for."""

    files: tuple[Path, ...] = ()  # the user's and the project's, in this order
    given: tuple[PriceRow, ...] = field(default=())  # on the command line: they win over all files

    @cached_property
    def rows(self) -> tuple[PriceRow, ...]:
        """The rows that hold: of one device and tier, those of the last list that has any."""
        found: dict[tuple[str, str], list[PriceRow]] = {}
        for layer in (*(_read(path) for path in (BUILT_IN, *self.files)), self.given):
            fresh: dict[tuple[str, str], list[PriceRow]] = {}
            for row in layer:
                fresh.setdefault((row.gpu, row.tier), []).append(row)
            found |= fresh
        return tuple(row for rows in found.values() for row in rows)

    def price(self, gpu: str, tier: Tier, provider: str | None = None, region: str | None = None) -> Price | None:
        """The price of one device for an hour; None where nothing is known."""
        return price_of(
            row for row in self.rows
            if (row.gpu, row.tier) == (gpu, tier) and provider in (None, row.provider) and region in (None, row.region)
        )  # fmt: skip


def price_of(rows: Iterable[PriceRow]) -> Price | None:
    """The median of rows that are alike, between the least and the greatest of them; None of none."""
    found = list(rows)
    if not found:
        return None
    from statistics import median  # takes longer to import than all prices to read

    mid = median(row.usd for row in found)
    low, high = min(row.low or row.usd for row in found), max(row.high or row.usd for row in found)
    if any(row.tier == "spot" for row in found):
        low, high = min(low, mid * (1 - _SPOT_BAND)), max(high, mid * (1 + _SPOT_BAND))
    oldest = min(row.as_of for row in found)
    return Price(Range(low, mid, high, f"prices of {oldest.isoformat()}"), oldest, tuple(found))


def _read(path: Path) -> tuple[PriceRow, ...]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return rows_of(yaml.load(path.read_text(), loader))  # noqa: S506  a safe loader either way
