"""Estimates: what a step of a plan is foreseen to take of memory, time and money. Never one number: low, likely and high."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

FORMULA = "formula"
MONTH_HOURS = 730  # what lasts costs that many hours a month


@dataclass(frozen=True, slots=True)
class Range:
    """A figure that is not known exactly: `low` and `high` are hardly ever passed. `basis` says where it comes from:
    `formula`, or `calibrated from N runs`."""

    low: float
    mid: float
    high: float
    basis: str = FORMULA

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.mid <= self.high < float("inf"):
            raise ValueError(f"{self.low} <= {self.mid} <= {self.high} does not hold")

    @classmethod
    def exactly(cls, value: float) -> Range:
        """A figure that is known."""
        return cls(value, value, value)

    @classmethod
    def total(cls, parts: Iterable[Range]) -> Range:
        """The sum of all of them at once; of none, nothing."""
        found = tuple(parts)
        bases = {item.basis for item in found}
        low, mid, high = (
            sum(item.low for item in found),
            sum(item.mid for item in found),
            sum(item.high for item in found),
        )
        return cls(low, mid, high, bases.pop() if len(bases) == 1 else FORMULA)

    def __add__(self, other: Range) -> Range:
        basis = self.basis if self.basis == other.basis else FORMULA
        return Range(self.low + other.low, self.mid + other.mid, self.high + other.high, basis)

    def __mul__(self, factor: float) -> Range:
        return Range(self.low * factor, self.mid * factor, self.high * factor, self.basis)

    def more(self, amount: float) -> Range:
        """With an amount that is known beside it."""
        return Range(self.low + amount, self.mid + amount, self.high + amount, self.basis)

    def times(self, other: Range) -> Range:
        """The product of two figures that have nothing to do with each other."""
        return Range(self.low * other.low, self.mid * other.mid, self.high * other.high, self.basis)

    def to_json(self) -> dict[str, Any]:
        """The stored form, with six digits of each number."""
        low, mid, high = (float(f"{value:.6g}") for value in (self.low, self.mid, self.high))
        return {"low": low, "mid": mid, "high": high, "basis": self.basis}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Range:
        """Read the stored form. Raises KeyError, TypeError or ValueError when it is not one."""
        return cls(float(stored["low"]), float(stored["mid"]), float(stored["high"]), str(stored["basis"]))


NOTHING = Range(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one device for an hour that an estimate was made with: a later plan can tell what has changed since."""

    gpu: str
    tier: str
    usd: Range
    as_of: str  # the day of the oldest row
    source: str  # of that row
    digest: str  # of all rows that it was made of
    provider: str = ""  # where only the rows of one counted
    region: str = ""
    devices: int = 0  # where only rows counted by which so many can be rented

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        found = {"gpu": self.gpu, "tier": self.tier, "usd": self.usd.to_json(), "as_of": self.as_of}
        found |= {"source": self.source, "digest": self.digest}
        return {
            **found,
            **({"provider": self.provider} if self.provider else {}),
            **({"region": self.region} if self.region else {}),
            **({"devices": self.devices} if self.devices else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Rate:
        """Read the stored form. Raises KeyError, TypeError or ValueError when it is not one."""
        names = ("gpu", "tier", "as_of", "source", "digest")
        more = {name: str(stored.get(name, "")) for name in ("provider", "region")}
        found = {name: str(stored[name]) for name in names}
        return cls(usd=Range.from_json(stored["usd"]), **found, **more, devices=int(stored.get("devices", 0)))


@dataclass(frozen=True, slots=True)
class Repriced:
    """The price of one device for an hour that is not what it was."""

    gpu: str
    tier: str
    was: Range
    now: Range

    @property
    def words(self) -> str:
        """`H100 on_demand $3.64 -> $4.10 per hour`; the ranges too where the likely price is the same."""
        from mlctl.types.spoken import spoken_dollars

        was, now = spoken_dollars(self.was.mid), spoken_dollars(self.now.mid)
        if was == now:
            was, now = (f"{spoken_dollars(item.low)} to {spoken_dollars(item.high)}" for item in (self.was, self.now))
        return f"{self.gpu} {self.tier} {was} -> {now} per hour"

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"gpu": self.gpu, "tier": self.tier, "was": self.was.to_json(), "now": self.now.to_json()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Repriced:
        """Read the stored form. Raises KeyError, TypeError or ValueError when it is not one."""
        was, now = (Range.from_json(stored[name]) for name in ("was", "now"))
        return cls(str(stored["gpu"]), str(stored["tier"]), was, now)


@dataclass(frozen=True, slots=True)
class Limit:
    """When the project's budget ends a run. `carried`: whoever runs it ends it, also when nobody is there to watch."""

    seconds: float
    by: str  # the field of the budget
    carried: bool

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"seconds": round(self.seconds, 3), "field": self.by, "carried": self.carried}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Limit:
        """Read the stored form. Raises KeyError, TypeError or ValueError when it is not one."""
        return cls(float(stored["seconds"]), str(stored["field"]), bool(stored["carried"]))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one step would take. What cannot be foreseen is None, and `notes` say why."""

    device: str  # as people know it: `cpu`, `H100`
    devices: int  # how many of them it keeps busy
    capacity: float | None = None  # bytes that one device has
    memory: Range | None = (
        None  # bytes at the peak, on the device that holds most; of a CPU, all of its processes together
    )
    parts: Mapping[str, float] = field(default_factory=dict)  # what the likely memory is made of, in bytes
    seconds: Range | None = None
    usd: Range | None = None
    hourly: Range | None = None  # dollars an hour for all of the devices, while they are at work
    lasting: bool = False  # a service: it costs by the hour until it is removed
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()  # the prices it was made with
    tier: str | None = None  # at which devices are paid; with one and without `hourly`, their price is not known
    limit: Limit | None = None  # by the budget
    taken: float = 0.0  # seconds for which earlier lives of it had their devices, when it is gone on with

    @property
    def whole(self) -> Estimate:
        """With what earlier lives took: from the beginning of the first to the end."""
        if not self.taken:
            return self
        hourly = 0.0 if self.hourly is None else self.hourly.mid
        return replace(
            self,
            seconds=None if self.seconds is None else self.seconds.more(self.taken),
            usd=None if self.usd is None else self.usd.more(hourly * self.taken / 3600),
            taken=0.0,
        )

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "device": self.device,
            "devices": self.devices,
            "capacity": self.capacity,
            "memory": None if self.memory is None else self.memory.to_json(),
            "parts": {name: round(value) for name, value in self.parts.items()},
            "seconds": None if self.seconds is None else self.seconds.to_json(),
            "usd": None if self.usd is None else self.usd.to_json(),
            "hourly": None if self.hourly is None else self.hourly.to_json(),
            "lasting": self.lasting,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            **({"rates": [rate.to_json() for rate in self.rates]} if self.rates else {}),
            **({"tier": self.tier} if self.tier is not None else {}),
            **({"limit": self.limit.to_json()} if self.limit is not None else {}),
            **({"taken": round(self.taken, 1)} if self.taken else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Estimate:
        """Read the stored form. Raises KeyError, TypeError or ValueError when it is not one."""
        capacity = stored["capacity"]
        ranges = {
            name: None if stored.get(name) is None else Range.from_json(stored[name])
            for name in ("memory", "seconds", "usd", "hourly")
        }
        return cls(
            device=str(stored["device"]),
            devices=int(stored["devices"]),
            capacity=None if capacity is None else float(capacity),
            lasting=bool(stored.get("lasting", False)),
            parts={str(name): float(value) for name, value in stored["parts"].items()},
            notes=tuple(map(str, stored["notes"])),
            warnings=tuple(map(str, stored["warnings"])),
            rates=tuple(Rate.from_json(item) for item in stored.get("rates", ())),
            tier=None if stored.get("tier") is None else str(stored["tier"]),
            limit=None if stored.get("limit") is None else Limit.from_json(stored["limit"]),
            taken=float(stored.get("taken", 0.0)),
            **ranges,
        )


def total(estimates: list[Estimate]) -> Estimate | None:
    """Time and money of several steps together, as if one came after another; None where there is nothing to add up.

    What is unknown of one is unknown of the sum's upper end, so that such a sum is given only where all parts are known.
    """
    if not estimates:
        return None
    seconds = [item.seconds for item in estimates if not item.lasting]
    usd = [item.usd for item in estimates if not item.lasting]
    return Estimate(
        device=", ".join(dict.fromkeys(item.device for item in estimates)),
        devices=max(item.devices for item in estimates),
        seconds=_sum(seconds),
        usd=_sum(usd),
        hourly=_sum([item.hourly for item in estimates if item.lasting]),
    )


def _sum(ranges: list[Range | None]) -> Range | None:
    known = [item for item in ranges if item is not None]
    if not known or len(known) < len(ranges):
        return None
    first, *rest = known
    for item in rest:
        first = first + item
    return first
