"""From time and prices to dollars: the one place where hours are multiplied by what they cost."""

from __future__ import annotations

from mlctl.estimate.prices import Price
from mlctl.types.estimate import Range

HOUR = 3600.0  # seconds


def cost(seconds: Range, hourly: Range) -> Range:
    """Dollars for what costs so much an hour, over that time. The basis is that of the price."""
    usd = (seconds * (1 / HOUR)).times(hourly)
    return Range(usd.low, usd.mid, usd.high, hourly.basis)


def hourly(devices: int, rate: Price) -> Range:
    """Dollars for so many devices each hour."""
    return rate.usd * devices
