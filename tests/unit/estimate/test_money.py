"""From time and prices to dollars."""

from __future__ import annotations

from datetime import date

import pytest

from mlctl.estimate.money import beyond, cost, hourly, paid
from mlctl.estimate.options import options
from mlctl.estimate.prices import Price, PriceRow, Prices, price_of
from mlctl.types.estimate import Range

RATE = price_of([PriceRow("H100", "p", "on_demand", 2.0, date(2026, 10, 1), "a list", low=1.0, high=4.0)])


def rate() -> Price:
    assert RATE is not None
    return RATE


def test_a_cost_is_hours_times_devices_times_rate() -> None:
    found = cost(Range(3600, 7200, 10_800), hourly(8, rate()))
    assert (found.low, found.mid, found.high) == (8.0, 32.0, 96.0)
    assert found.basis == "prices of 2026-10-01"


def row(usd: float, least: int = 1, provider: str = "p") -> PriceRow:
    return PriceRow("H100", provider, "on_demand", usd, date(2026, 10, 1), "a list", min_gpus=least)


@pytest.mark.parametrize(
    ("least", "used", "rented"), [(1, 1, 1), (1, 7, 7), (8, 1, 8), (8, 8, 8), (8, 9, 16), (2, 3, 4)]
)
def test_what_is_rented_several_at_once_is_paid_for_in_whole_lots(least: int, used: int, rented: int) -> None:
    price = price_of([row(3.0, least)])
    assert price is not None
    assert paid(used, price) == rented
    assert hourly(used, price).mid == 3.0 * rented
    assert bool(beyond(rented, used, "H100")) is (rented > used)


def test_offers_count_by_which_fewest_devices_are_paid_for() -> None:
    prices = Prices(given=[row(4.0), row(3.0, 8), row(2.0, 16)])
    found = {}
    for used in (1, 8, 12, 16):
        price = prices.price("H100", "on_demand", devices=used)
        assert price is not None
        found[used] = (paid(used, price), price.usd.mid)
    assert found == {1: (1, 4.0), 8: (8, 3.5), 12: (12, 4.0), 16: (16, 3.0)}
    whole = prices.price("H100", "on_demand")
    assert whole is not None
    assert len(whole.rows) == 3  # where nobody says how many


def test_each_option_is_paid_for_as_a_plan_would_be() -> None:
    rows = [row(4.0, provider="A"), row(3.0, 8, "A"), row(2.0, 8, "B")]
    for option in options(rows, counts=(1, 4, 8, 12)):
        own = Prices(given=[item for item in rows if item.provider == option.provider])
        price = own.price("H100", "on_demand", devices=option.device.count)
        assert price is not None
        assert option.hourly == hourly(option.device.count, price)
        assert option.paid == paid(option.device.count, price)


def test_what_lasts_costs_so_much_each_hour() -> None:
    found = hourly(4, rate())
    assert (found.low, found.mid, found.high) == (4.0, 8.0, 16.0)
