"""Figures of costs in words: money, times and devices as all tables of `mlctl cost` show them."""

from __future__ import annotations

from collections.abc import Callable

from mlctl.estimate.devices import Device
from mlctl.types.estimate import Estimate, Range
from mlctl.types.spoken import spoken_bytes, spoken_dollars, spoken_seconds

UNKNOWN = "unknown"
_SAME = 0.005  # a difference below it is none
_TIMES = 3.0  # from here on a factor says more than a percentage


def money(found: Range | None) -> str:
    """`$2.10 ($1.10 to $4.30)`."""
    return _spread(found, spoken_dollars)


def span(found: Range | None) -> str:
    """`2.1 h (1.2 to 3.4 h)`."""
    return _spread(found, spoken_seconds)


def size(found: Range | None) -> str:
    """`12 GiB (9.1 to 17 GiB)`."""
    return _spread(found, spoken_bytes)


def share(part: float) -> str:
    """`74 %`, and of less than a tenth with a digit more."""
    return f"{part:.1%}" if 0 < part < 0.0995 else f"{part:.0%}"


def devices(device: Device) -> str:
    """`4 x A100-80GB`; a machine without accelerators as such."""
    if device.host:
        return f"cpu, {device.count} core{'' if device.count == 1 else 's'}"
    return f"{device.count} x {device.name}"


def estimated_devices(estimate: Estimate) -> str:
    """The devices of an estimate: of processors, the machines."""
    if estimate.device == "cpu":
        return "cpu" if estimate.devices == 1 else f"{estimate.devices} machines"
    return f"{estimate.devices} x {estimate.device}"


def _spread(found: Range | None, spoken: Callable[[float], str]) -> str:
    """The likely figure with both ends, the unit once where all have the same."""
    if found is None:
        return UNKNOWN
    low, mid, high = spoken(found.low), spoken(found.mid), spoken(found.high)
    if low == high:
        return mid
    first, _, unit = low.partition(" ")
    return f"{mid} ({first} to {high})" if unit and high.endswith(f" {unit}") else f"{mid} ({low} to {high})"


def difference(was: Range | None, now: Range | None) -> str:
    """How much the likely figure changes: `-42 %`, `x 3.5`, `none`; nothing where one is not known."""
    if was is None or now is None or was.mid <= 0:
        return ""
    factor = now.mid / was.mid
    if abs(factor - 1) < _SAME:
        return "none" if (was.low, was.high) == (now.low, now.high) else "none likely"
    return f"x {factor:.2g}" if factor >= _TIMES else f"{factor - 1:+.0%}"
