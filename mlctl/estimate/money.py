"""What devices cost by the hour. Every dollar comes from a row with a date and a source; what has no row has no price."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mlctl.types.estimate import Range

Tier = Literal["on_demand", "spot", "reserved_1y", "reserved_3y", "owned"]
OLD_DAYS = 45  # a price older than this is said to be old
_PRICES = Path(__file__).with_name("prices.yaml")
_SPOT_BAND = 0.5  # how far spot prices are taken to move


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One price of one GPU for an hour."""

    gpu: str
    provider: str
    tier: Tier
    usd: float
    as_of: date
    source: str
    low: float | None = None
    high: float | None = None


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


@cache
def built_in() -> tuple[PriceRow, ...]:
    """The rows that come with mlctl."""
    import yaml

    return rows_of(yaml.safe_load(_PRICES.read_text()))


def price(gpu: str, tier: Tier, rows: Iterable[PriceRow]) -> Price | None:
    """The median of the rows for a GPU and tier, between the least and the greatest of them; None where there is none."""
    found = [row for row in rows if (row.gpu, row.tier) == (gpu, tier)]
    if not found:
        return None
    mid = statistics.median(row.usd for row in found)
    low, high = min(row.low or row.usd for row in found), max(row.high or row.usd for row in found)
    if tier == "spot":
        low, high = min(low, mid * (1 - _SPOT_BAND)), max(high, mid * (1 + _SPOT_BAND))
    oldest = min(row.as_of for row in found)
    return Price(Range(low, mid, high, f"prices of {oldest.isoformat()}"), oldest, tuple(found))


def cost(seconds: Range, devices: int, rate: Price) -> Range:
    """Dollars for so many devices over that time."""
    hours = seconds * (devices / 3600)
    usd = hours.times(rate.usd)
    return Range(usd.low, usd.mid, usd.high, rate.usd.basis)
