"""Rent, reserve or buy: what an hour of an own accelerator costs, from how much use it pays, and which term decides.

An hour of one device is what it loses of its price while it is in use, with its share of power, maintenance and people; all of it
is paid whether the device works or not, so that an hour of work costs that over the utilisation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

HOURS = 8760.0  # of a year
MONTH = HOURS / 12
_ALONE = 0.05  # of a person for each device, until
_SOME = 0.25  # a quarter of one looks after all of them, and from there on
_MANY = 0.005  # one person after two hundred
_STEP = 0.10  # by how much a term is changed to see what hangs on it
TERMS = ("hardware", "power", "maintenance", "staff")


def staff(gpus: int) -> float:
    """People that so many devices take: half a day a week for the first ones, and one for 200 in a large cluster."""
    return max(min(_ALONE * gpus, _SOME), _MANY * gpus)


@dataclass(frozen=True, slots=True)
class Owned:
    """Devices that are bought. Money is in dollars, shares are parts of 1. Raises ValueError for what cannot be."""

    gpus: int
    capex: float  # of one device, with its part of a server
    network: float = 0.15  # switches and cables, on top of `capex`
    residual: float = 0.15  # what it is sold for after `years`
    years: float = 4.0  # until it is replaced
    kw: float = 1.275  # one device with its part of the server, at work
    pue: float = 1.3  # power of the whole room for each that a server takes
    usd_per_kwh: float = 0.10
    maintenance: float = 0.05  # of what was paid, a year
    fte: float | None = None  # people; by the number of devices where it is not given
    salary: float = 200_000.0  # of one person, a year

    def __post_init__(self) -> None:
        if self.gpus < 1 or self.capex <= 0 or self.years <= 0:
            raise ValueError("there is at least one device, which costs something and is used for some time")
        if not 0 <= self.residual < 1:
            raise ValueError("what is left of the price is a share of it, below 1")
        if min(self.network, self.kw, self.usd_per_kwh, self.maintenance, self.salary, self.people) < 0 or self.pue < 1:
            raise ValueError("nothing of this is below 0, and a room takes at least what its servers take")

    @property
    def people(self) -> float:
        """Who looks after all of the devices."""
        return staff(self.gpus) if self.fte is None else self.fte

    @property
    def price(self) -> float:
        """What one device costs to buy, with its network."""
        return self.capex * (1 + self.network)

    def terms(self) -> dict[str, float]:
        """Dollars of one device for each hour of the year, by what they are for."""
        return {
            "hardware": self.price * (1 - self.residual) / (HOURS * self.years),
            "power": self.kw * self.pue * self.usd_per_kwh,
            "maintenance": self.price * self.maintenance / HOURS,
            "staff": self.people * self.salary / (self.gpus * HOURS),
        }

    @property
    def running(self) -> float:
        """Dollars of one device for each hour of the year, without what it lost of its price."""
        return sum(value for name, value in self.terms().items() if name != "hardware")

    def hourly(self, utilisation: float = 1.0) -> float:
        """Dollars for an hour of work."""
        return sum(self.terms().values()) / utilisation


def break_even(owned: Owned, rent: float) -> float:
    """The utilisation from which owning costs less than renting by the hour; above 1 it never does."""
    return owned.hourly() / rent


def payback_months(owned: Owned, rent: float, utilisation: float) -> float | None:
    """Months until what is not paid for rent has paid for the devices; None where it never does, or not before they are replaced."""
    saved = (rent * utilisation - owned.running) * MONTH
    if saved <= 0:
        return None
    months = owned.price / saved
    return months if months <= owned.years * 12 else None


@dataclass(frozen=True, slots=True)
class Change:
    """What the break-even would be if one input were a tenth higher."""

    name: str
    break_even: float
    moved: float  # by how much, as a part of 1


def sensitivity(owned: Owned, rent: float) -> list[Change]:
    """Each input a tenth higher, what moves the break-even most first. The rent is among them."""
    before = break_even(owned, rent)
    found = []
    names = ("capex", "network", "residual", "years", "kw", "pue", "usd_per_kwh", "maintenance", "fte", "salary")
    for name in names:
        value = owned.people if name == "fte" else getattr(owned, name)
        more = min(value * (1 + _STEP), 0.999) if name == "residual" else value * (1 + _STEP)
        changed: dict[str, Any] = {name: more}
        after = break_even(replace(owned, **changed), rent)
        found.append(Change(name, after, after - before))
    after = break_even(owned, rent * (1 + _STEP))
    found.append(Change("rent", after, after - before))
    return sorted(found, key=lambda item: -abs(item.moved))


def deciding(owned: Owned) -> str:
    """The term of owning that decides: the one that, a tenth higher, moves what an hour costs most."""
    terms = owned.terms()
    return max(TERMS, key=lambda name: terms[name])


@dataclass(frozen=True, slots=True)
class Point:
    """What was paid until a month, in dollars for all devices together."""

    month: int
    own: float
    rent: float


def over_months(owned: Owned, rent: float, utilisation: float, months: int) -> list[Point]:
    """What owning and renting have cost by the end of each month. Devices are bought again when they are replaced, and what they
    are sold for counts then."""
    life = owned.years * 12
    found = []
    for month in range(months + 1):
        lives, rest = divmod(month, life)
        at_work = 0 if month == months and lives and not rest else 1  # who looks no further buys no more
        paid = (lives + at_work) * owned.price - lives * owned.price * owned.residual + month * MONTH * owned.running
        found.append(Point(month, paid * owned.gpus, month * MONTH * rent * utilisation * owned.gpus))
    return found
