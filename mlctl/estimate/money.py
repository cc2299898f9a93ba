"""From time and prices to dollars."""

from __future__ import annotations

from mlctl.estimate.prices import Price
from mlctl.types.estimate import Range


def cost(seconds: Range, devices: int, rate: Price) -> Range:
    """Dollars for so many devices over that time."""
    hours = seconds * (devices / 3600)
    usd = hours.times(rate.usd)
    return Range(usd.low, usd.mid, usd.high, rate.usd.basis)


def hourly(devices: int, rate: Price) -> Range:
    """Dollars for so many devices each hour."""
    return rate.usd * devices
