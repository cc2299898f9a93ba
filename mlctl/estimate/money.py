"""From time and prices to dollars: the one place where hours are multiplied by what they cost."""

from __future__ import annotations

from mlctl.estimate.prices import Price, lots
from mlctl.types.estimate import Range

HOUR = 3600.0  # seconds


def cost(seconds: Range, hourly: Range) -> Range:
    """Dollars for what costs so much an hour, over that time. The basis is that of the price."""
    usd = (seconds * (1 / HOUR)).times(hourly)
    return Range(usd.low, usd.mid, usd.high, hourly.basis)


def paid(devices: int, rate: Price) -> int:
    """How many are paid for where so many are used: of what is rented several at once, whole lots. The one place that says so."""
    return min((lots(devices, row.min_gpus) for row in rate.rows), default=devices)


def hourly(devices: int, rate: Price) -> Range:
    """Dollars an hour where so many devices are used, for all that are paid for."""
    return rate.usd * paid(devices, rate)


def beyond(rented: int, used: int, device: str) -> str:
    """A word where more is paid for than used; nothing else."""
    if rented <= used:
        return ""
    return f"{rented} {device} are paid for, and {used} {'is' if used == 1 else 'are'} used"
