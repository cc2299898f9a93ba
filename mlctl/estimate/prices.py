"""What devices cost by the hour: rows of several price lists, of which a later one wins. What has no row has no price."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple, get_args

from mlctl.estimate.devices import NAMED, named
from mlctl.types.estimate import Estimate, Range, Rate

Tier = Literal["on_demand", "spot", "reserved_1y", "reserved_3y", "owned"]
TIERS: tuple[Tier, ...] = get_args(Tier)
# `listed` is one provider's list price; `market` and `index` are medians of many offers, and give the middle of the tier when no provider
# is asked for; `remembered` was not looked up, and estimates that rest on such a row say that it is not checked.
Confidence = Literal["listed", "market", "index", "remembered"]
# US dollars of one device with its share of the host. Only rows with a date and a source; where only the month is known, its first
# day. `low` and `high` are the range of what `usd` is the middle of. JSON, since that is read ten times as fast as YAML.
BUILT_IN = os.path.join(os.path.dirname(__file__), "prices.json")
GIVEN = "--price"  # the source of a price from the command line
OLD_DAYS = 45  # a price older than this is said to be old
STALE_DAYS = 180  # and one older than this is no ground to spend money on
MACHINE = "cpu"  # a whole machine without an accelerator
DEAREST = 1_000_000  # dollars an hour: what is dearer is a mistake
_SUMMARIES = ("index", "market")
_SPOT_BAND = 0.5  # how far spot prices are taken to move


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One price of one device for an hour, with its share of the host. Raises ValueError for a range that is none."""

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
    confidence: Confidence = "listed"

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.usd <= self.most <= DEAREST:
            raise ValueError(f"low <= usd <= high <= {DEAREST:,} does not hold")

    @property
    def least(self) -> float:
        """The lower end of what it costs."""
        return self.usd if self.low is None else self.low

    @property
    def most(self) -> float:
        """The upper end of what it costs."""
        return self.usd if self.high is None else self.high

    def to_json(self) -> dict[str, Any]:
        """The form of a price list; what has its default is left out."""
        found = {**asdict(self), "as_of": self.as_of.isoformat()}
        return {name: value for name, value in found.items() if name not in _DEFAULTS or value != _DEFAULTS[name]}


_DEFAULTS = {"low": None, "high": None, "region": "", "min_gpus": 1, "confidence": "listed"}
PriceList = Callable[[], Sequence[PriceRow]]
# Device, tier, provider, region, and how many devices: 0 where their number has no part in the price.
Asked = tuple[str, str, str, str, int]


class Price(NamedTuple):
    """Dollars for one device and hour, and where they come from: the oldest row counts."""

    usd: Range
    as_of: date
    rows: tuple[PriceRow, ...]

    def age(self, today: date) -> int:
        """In days."""
        return (today - self.as_of).days


def gpu_name(text: str) -> str | None:
    """What a device is called in price lists; None for one that is not known."""
    if text.lower() == MACHINE:
        return MACHINE
    found = None if ":" in text else named(text)
    return None if found is None else found.name


def gpu_names() -> tuple[str, ...]:
    """The devices that can have a price."""
    return (*NAMED, MACHINE)


class Pricing(NamedTuple):
    """What a command is told of prices: `rows` that win over all lists, and whether prices may be used whatever their age."""

    rows: tuple[PriceRow, ...] = ()
    allow_stale: bool = False


class _Table:
    """The rows that hold, read when a price is first asked for: of one device and tier, those of the last list that has any."""

    def __init__(self, lists: Sequence[PriceList], given: Sequence[PriceRow]) -> None:
        self._lists = lists
        self._given = given
        self.found: dict[Asked, tuple[Price | None, Asked]] = {}

    @cached_property
    def rows(self) -> Mapping[tuple[str, str], tuple[PriceRow, ...]]:
        found: dict[tuple[str, str], tuple[PriceRow, ...]] = {}
        for layer in (_built_in(), *(read() for read in self._lists), self._given):
            fresh: dict[tuple[str, str], list[PriceRow]] = {}
            for row in layer:
                fresh.setdefault((row.gpu, row.tier), []).append(row)
            found |= {key: tuple(rows) for key, rows in fresh.items()}
        return found


class Prices:
    """The price lists that count for a command: the package's, then `lists` (the user's and the project's), then what was
    `given` on the command line, each of which wins over all before it.

    `today` is the day that prices are judged by; without one, none is ever old. `used` are the prices that were asked for.
    """

    def __init__(
        self,
        lists: Sequence[PriceList] = (),
        given: Sequence[PriceRow] = (),
        *,
        today: date | None = None,
        allow_stale: bool = False,
    ) -> None:
        self.given = tuple(given)
        self.today = today
        self.allow_stale = allow_stale
        self.used: dict[Asked, Price] = {}
        self._table = _Table(lists, self.given)

    @property
    def rows(self) -> tuple[PriceRow, ...]:
        """The rows that hold."""
        return tuple(row for rows in self._table.rows.values() for row in rows)

    def price(
        self, gpu: str, tier: Tier, provider: str | None = None, region: str | None = None, *, devices: int = 0
    ) -> Price | None:
        """The price of one device for an hour, of all rows or where so many are used; None where nothing is known."""
        asked = (gpu, tier, provider or "", region or "", devices)
        if asked not in self._table.found:
            rows = [
                row for row in self._table.rows.get((gpu, tier), ())
                if provider in (None, row.provider) and region in (None, row.region)
            ]  # fmt: skip
            # what is too old counts only where nothing else is known
            recent = [row for row in rows if self.age(row.as_of) <= STALE_DAYS]
            fitting = fewest(recent or rows, devices) if devices else recent or rows
            every = len(fitting) == len(recent or rows)  # then the number of devices has no part in it
            self._table.found[asked] = (price_of(fitting), (*asked[:4], 0 if every else devices))
        found, noted = self._table.found[asked]
        if found is not None:
            self.used[noted] = found
        return found

    def price_at(self, gpu: str, tier: Tier, place: str | None, *, devices: int = 0) -> Price | None:
        """The price at a place such as `aws` or `aws/us-east-1`, by the rows of just that; by all where no row is of it."""
        cloud, region = (*(place or "").lower().split("/"), "")[:2]
        rows = [row for row in self._table.rows.get((gpu, tier), ()) if cloud and row.provider.lower() == cloud]
        if not rows:
            return self.price(gpu, tier, devices=devices)
        here = next((row.region for row in rows if region and row.region.lower() == region), None)
        return self.price(gpu, tier, rows[0].provider, here, devices=devices)

    def watched(self) -> Prices:
        """The same prices, with a list of its own of those that are asked for from now on."""
        other = copy(self)
        other.used = {}
        return other

    def age(self, as_of: date) -> int:
        """How old a price of that day is, in days; 0 where nobody said what day it is."""
        return 0 if self.today is None else max(0, (self.today - as_of).days)

    def refused(self, as_of: date) -> bool:
        """Whether a price of that day is too old to spend money on, and nobody said that it may be used all the same."""
        return not self.allow_stale and self.age(as_of) > STALE_DAYS


def lots(devices: int, least: int) -> int:
    """Devices that are paid for where so many are used: of what is rented `least` at once, whole lots."""
    return -(-devices // least) * least


def fewest(rows: Sequence[PriceRow], devices: int) -> list[PriceRow]:
    """Of alike rows those by which fewest devices have to be paid for."""
    if not rows:
        return []
    least = min(lots(devices, row.min_gpus) for row in rows)
    return [row for row in rows if lots(devices, row.min_gpus) == least]


def price_of(rows: Iterable[PriceRow]) -> Price | None:
    """The median of rows that are alike, between the least and the greatest of them; None of none.

    Where some are medians of many offers already, they give the middle, and single ones only what lies beyond their range.
    """
    given = tuple(rows)
    middle = tuple(row for row in given if row.confidence in _SUMMARIES) or given
    if not middle:
        return None
    usd = sorted(row.usd for row in middle)
    mid = (usd[(len(usd) - 1) // 2] + usd[len(usd) // 2]) / 2
    low, high = min(row.least for row in middle), max(row.most for row in middle)
    found = tuple(row for row in given if row in middle or row.least < low or row.most > high)
    low, high = min(row.least for row in found), max(row.most for row in found)
    if any(row.tier == "spot" for row in found):
        low, high = min(low, mid * (1 - _SPOT_BAND)), max(high, mid * (1 + _SPOT_BAND))
    oldest = min(row.as_of for row in found)
    return Price(Range(low, mid, high, _basis(found, oldest)), oldest, found)


def _basis(rows: Sequence[PriceRow], oldest: date) -> str:
    if all(row.source == GIVEN for row in rows):
        return "the price given"
    remembered = sum(row.confidence == "remembered" for row in rows)
    doubt = "" if not remembered else ", not checked" if remembered == len(rows) else ", some not checked"
    return f"prices of {oldest.isoformat()}{doubt}"


def rows_digest(rows: Iterable[PriceRow]) -> str:
    """What a set of rows is known by, in whatever order they stand."""
    from mlctl.types.value import digest

    return digest(sorted((row.to_json() for row in rows), key=lambda item: sorted(map(str, item.items()))))


@cache
def _digest(rows: tuple[PriceRow, ...]) -> str:
    """The same prices are asked for by many lines of a plan."""
    return rows_digest(rows)


def with_rates(estimate: Estimate, prices: Prices) -> Estimate:
    """An estimate with the prices that it was made with, and a word on those that are old."""
    rates, warnings = [], []
    for (gpu, tier, provider, region, devices), price in sorted(prices.used.items()):
        oldest = min(price.rows, key=lambda row: row.as_of)
        source = oldest.source
        day, rows = price.as_of.isoformat(), _digest(price.rows)
        rates.append(Rate(gpu, tier, price.usd, day, source, rows, provider, region, devices))
        if (age := prices.age(price.as_of)) > OLD_DAYS:
            warnings.append(f"the price of {gpu} ({tier}) is {age} days old: {source}, {price.as_of.isoformat()}")
    return replace(estimate, rates=tuple(rates), warnings=(*estimate.warnings, *warnings))


@cache
def _built_in() -> tuple[PriceRow, ...]:
    import json

    with open(BUILT_IN, encoding="utf-8") as file:
        listed = json.load(file)["rows"]
    return tuple(PriceRow(**{**item, "as_of": date.fromisoformat(item["as_of"])}) for item in listed)
