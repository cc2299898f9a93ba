from datetime import date

import pytest

from mlctl.estimate.devices import NAMED
from mlctl.estimate.money import PriceRow, built_in, cost, price, rows_of
from mlctl.types.estimate import Range

DAY = date(2026, 10, 1)


def row(usd: float, **more: object) -> PriceRow:
    return PriceRow(
        **{"gpu": "H100", "provider": "p", "tier": "on_demand", "usd": usd, "as_of": DAY, "source": "s", **more}
    )  # type: ignore[arg-type]


def test_every_price_of_ours_has_a_date_a_source_and_a_device_that_is_known() -> None:
    rows = built_in()
    assert len(rows) > 10
    assert {item.gpu for item in rows} <= set(NAMED)
    assert all(item.source and isinstance(item.as_of, date) for item in rows)


def test_a_price_is_the_median_between_the_extremes() -> None:
    found = price("H100", "on_demand", [row(3.0), row(4.0), row(9.0), row(1.0, gpu="L4"), row(1.0, tier="reserved_1y")])
    assert found is not None
    assert (found.usd.low, found.usd.mid, found.usd.high) == (3.0, 4.0, 9.0)
    assert found.usd.basis == "prices of 2026-10-01"


def test_the_oldest_row_says_how_old_a_price_is() -> None:
    found = price("H100", "on_demand", [row(3.0), row(4.0, as_of=date(2026, 1, 1))])
    assert found is not None
    assert found.age(date(2026, 1, 31)) == 30


def test_spot_prices_are_taken_to_move_by_half() -> None:
    found = price("H100", "spot", [row(2.0, tier="spot")])
    assert found is not None
    assert (found.usd.low, found.usd.high) == (1.0, 3.0)


def test_what_has_no_row_has_no_price() -> None:
    assert price("T4", "on_demand", built_in()) is None


def test_a_cost_is_hours_times_devices_times_rate() -> None:
    rate = price("H100", "on_demand", [row(2.0), row(2.0)])
    assert rate is not None
    found = cost(Range(3600, 7200, 10_800), 8, rate)
    assert (found.low, found.mid, found.high) == (16.0, 32.0, 48.0)
    assert found.basis == rate.usd.basis


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "`rows`"),
        ({"rows": [{"gpu": "H100"}]}, "row 1"),
        ({"rows": [{**_, "as_of": "2026"} for _ in [dict(gpu="H100", provider="p", tier="spot", usd=1.0, source="s")]]}, "row 1: a price has `as_of`"),
        ({"rows": [dict(gpu="H100", provider="p", tier="spot", usd=1.0, source="s", as_of=DAY, low=2.0)]}, "row 1: low"),
        ({"rows": [dict(gpu="H100", provider="p", tier="spot", usd=-1.0, source="s", as_of=DAY)]}, "row 1: low"),
    ],
)  # fmt: skip
def test_a_list_of_prices_that_is_none_is_refused(document: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rows_of(document)
