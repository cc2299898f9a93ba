"""Estimates: what a step of a plan is foreseen to take of memory, time and money. Never one number: low, likely and high."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMULA = "formula"


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

    def __add__(self, other: Range) -> Range:
        basis = self.basis if self.basis == other.basis else FORMULA
        return Range(self.low + other.low, self.mid + other.mid, self.high + other.high, basis)

    def __mul__(self, factor: float) -> Range:
        return Range(self.low * factor, self.mid * factor, self.high * factor, self.basis)

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
