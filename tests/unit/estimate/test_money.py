"""From time and prices to dollars."""

from __future__ import annotations

from datetime import date

from mlctl.estimate.money import cost, hourly
from mlctl.estimate.prices import Price, PriceRow, price_of
from mlctl.types.estimate import Range

RATE = price_of([PriceRow("H100", "p", "on_demand", 2.0, date(2026, 10, 1), "a list", low=1.0, high=4.0)])


def rate() -> Price:
    assert RATE is not None
    return RATE


def test_a_cost_is_hours_times_devices_times_rate() -> None:
    found = cost(Range(3600, 7200, 10_800), hourly(8, rate()))
    assert (found.low, found.mid, found.high) == (8.0, 32.0, 96.0)
    assert found.basis == "prices of 2026-10-01"


def test_what_lasts_costs_so_much_each_hour() -> None:
    found = hourly(4, rate())
    assert (found.low, found.mid, found.high) == (4.0, 8.0, 16.0)
