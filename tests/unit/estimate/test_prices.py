"""Prices: which rows hold, what a price is made of, and how old it may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlctl.estimate.devices import NAMED
from mlctl.estimate.prices import (
    GIVEN,
    STALE_DAYS,
    TIERS,
    PriceRow,
    Prices,
    gpu_name,
    price_of,
    rows_digest,
    with_rates,
)
from mlctl.types.estimate import Estimate

DAY = date(2026, 10, 1)


def row(usd: float, **more: Any) -> PriceRow:
    return PriceRow(
        **{"gpu": "H100", "provider": "p", "tier": "on_demand", "usd": usd, "as_of": DAY, "source": "s", **more}
    )


def table(*rows: PriceRow, **more: Any) -> Prices:
    """The built-in table with one list more."""
    return Prices([lambda: rows], **more)


def test_every_price_of_ours_has_a_date_a_source_and_a_device_that_is_known() -> None:
    rows = Prices().rows
    assert len(rows) > 30
    assert {item.gpu for item in rows} <= set(NAMED)
    assert {item.tier for item in rows} <= set(TIERS)
    assert all(item.source and isinstance(item.as_of, date) and item.as_of <= date.today() for item in rows)


def test_our_own_list_is_one_that_a_project_may_have_too(tmp_path: Path) -> None:
    from mlctl.spec import price_files

    rows = [{**item.to_json(), "as_of": item.as_of} for item in Prices().rows]
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump({"rows": rows}, allow_unicode=True))
    assert price_files.read(tmp_path / "prices.yaml") == Prices().rows


@pytest.mark.parametrize(
    ("gpu", "tier", "provider", "expected"),
    [
        ("H100", "on_demand", None, (2.58, 3.64, 6.88)),
        ("H100", "on_demand", "AWS", (6.88, 6.88, 6.88)),
        ("H100", "reserved_1y", None, (2.65, 2.65, 2.65)),
        ("H100", "spot", None, (1.20, 2.40, 6.57)),
        ("A100-80GB", "on_demand", None, (1.39, 2.29, 3.43)),
        ("A100-80GB", "spot", None, (0.71, 1.42, 2.13)),
        ("A100", "on_demand", None, (1.00, 2.365, 3.40)),
        ("H200", "on_demand", None, (3.45, 4.95, 4.98)),
        ("B200", "on_demand", None, (5.98, 6.335, 6.69)),
        ("MI300X", "on_demand", None, (1.50, 1.99, 6.00)),
    ],
)
def test_the_table_gives_the_prices_of_its_sources(
    gpu: str, tier: Any, provider: str | None, expected: tuple[float, ...]
) -> None:
    found = Prices().price(gpu, tier, provider)
    assert found is not None
    assert (found.usd.low, found.usd.mid, found.usd.high) == pytest.approx(expected)


def test_a_price_is_the_median_between_the_extremes() -> None:
    found = table(row(3.0), row(4.0), row(9.0), row(1.0, gpu="L4"), row(1.0, tier="reserved_1y")).price(
        "H100", "on_demand"
    )
    assert found is not None
    assert (found.usd.low, found.usd.mid, found.usd.high) == (3.0, 4.0, 9.0)
    assert found.usd.basis == "prices of 2026-10-01"


def test_a_median_of_many_offers_speaks_for_single_ones() -> None:
    index, dear = row(3.0, low=2.0, high=4.0, confidence="index"), row(9.0)
    found = price_of([dear, index, row(3.5, provider="within")])
    assert found is not None
    assert (found.usd.low, found.usd.mid, found.usd.high) == (2.0, 3.0, 9.0)  # what is dearer may be what one gets
    assert found.rows == (dear, index)


def test_what_was_not_looked_up_says_so_in_the_basis() -> None:
    every, some = price_of([row(2.0, confidence="remembered")]), price_of([row(2.0, confidence="remembered"), row(3.0)])
    assert every is not None
    assert some is not None
    assert every.usd.basis == "prices of 2026-10-01, not checked"
    assert some.usd.basis == "prices of 2026-10-01, some not checked"


def test_a_later_list_replaces_the_rows_of_a_device_and_tier_and_no_others() -> None:
    prices = Prices([lambda: (row(1.0), row(2.0)), lambda: (row(5.0),)])
    found, other = prices.price("H100", "on_demand"), prices.price("H100", "reserved_1y")
    assert found is not None
    assert other is not None
    assert [item.usd for item in found.rows] == [5.0]
    assert other.usd.mid == 2.65


def test_what_was_given_wins_over_all_lists_and_is_named_as_that() -> None:
    found = table(row(1.0), given=[row(7.0, source=GIVEN)]).price("H100", "on_demand")
    assert found is not None
    assert (found.usd.mid, found.usd.basis) == (7.0, "the price given")


def test_lists_are_not_read_before_a_price_is_asked_for() -> None:
    def unread() -> tuple[PriceRow, ...]:
        raise AssertionError("it was read")

    prices = Prices([unread])
    assert prices.watched().used == {}
    with pytest.raises(AssertionError, match="it was read"):
        prices.price("H100", "spot")


def test_a_provider_and_a_region_narrow_the_rows() -> None:
    prices = table(
        row(1.0, provider="a", region="eu"), row(2.0, provider="b", region="eu"), row(4.0, provider="b", region="us")
    )
    found = prices.price("H100", "on_demand", "b", "us")
    assert found is not None
    assert found.usd.mid == 4.0
    assert prices.price("H100", "on_demand", "c") is None


@pytest.mark.parametrize(
    ("place", "usd"),
    [
        (None, 2.0), ("b", 3.0), ("B/us", 4.0), ("b/us/us-1a", 4.0), ("b/asia", 3.0), ("a", 1.0), ("c", 2.0), ("", 2.0),
    ],
)  # fmt: skip
def test_a_place_has_the_price_of_its_own_rows_where_there_are_any(place: str | None, usd: float) -> None:
    prices = table(
        row(1.0, provider="A", region="eu"), row(2.0, provider="b", region="eu"), row(4.0, provider="b", region="us")
    )
    found = prices.price_at("H100", "on_demand", place)
    assert found is not None
    assert found.usd.mid == usd


def test_what_has_no_row_has_no_price() -> None:
    assert Prices().price("T4", "on_demand") is None


def test_the_oldest_row_says_how_old_a_price_is() -> None:
    found = price_of([row(3.0), row(4.0, as_of=date(2026, 1, 1))])
    assert found is not None
    assert found.age(date(2026, 1, 31)) == 30


def test_rows_that_are_too_old_count_only_where_there_are_no_others() -> None:
    old = row(1.0, as_of=DAY - timedelta(days=STALE_DAYS + 1))
    both, alone = (
        table(old, row(3.0), today=DAY).price("H100", "on_demand"),
        table(old, today=DAY).price("H100", "on_demand"),
    )
    assert both is not None
    assert alone is not None
    assert (both.usd.mid, alone.usd.mid) == (3.0, 1.0)


@pytest.mark.parametrize(("days", "allow", "refused"), [(180, False, False), (181, False, True), (181, True, False)])
def test_a_price_of_more_than_180_days_ago_is_refused_unless_it_is_allowed(
    days: int, allow: bool, refused: bool
) -> None:
    assert Prices(today=DAY, allow_stale=allow).refused(DAY - timedelta(days=days)) is refused


def test_without_a_day_nothing_is_old() -> None:
    assert Prices().age(date(1999, 1, 1)) == 0


def test_an_estimate_remembers_the_prices_that_it_asked_for_and_warns_of_old_ones() -> None:
    prices = table(row(3.0), row(1.0, gpu="L4", as_of=DAY - timedelta(days=46)), today=DAY)
    prices.price("H100", "on_demand")
    watched = prices.watched()
    watched.price("L4", "on_demand")
    watched.price("T4", "on_demand")
    found = with_rates(Estimate("L4", 1), watched)
    assert [(item.gpu, item.tier, item.usd.mid, item.as_of) for item in found.rates] == [
        ("L4", "on_demand", 1.0, "2026-08-16")
    ]
    assert found.warnings == ("the price of L4 (on_demand) is 46 days old: s, 2026-08-16",)


def test_spot_prices_are_taken_to_move_by_half() -> None:
    found = price_of([row(2.0, tier="spot")])
    assert found is not None
    assert (found.usd.low, found.usd.high) == (1.0, 3.0)


def test_a_digest_tells_whether_rows_are_the_same_in_whatever_order() -> None:
    rows = [row(1.0), row(2.0, region="eu"), row(3.0, gpu="L4")]
    assert rows_digest(rows) == rows_digest(rows[::-1])
    assert rows_digest(rows) != rows_digest([*rows[:2], replace(rows[2], usd=3.01)])


@pytest.mark.parametrize(
    ("text", "name"),
    [("h100", "H100"), ("A100-SXM4-80GB", "A100-80GB"), ("cpu", "cpu"), ("H1000", None), ("H100:8", None)],
)
def test_a_device_has_one_name_in_price_lists(text: str, name: str | None) -> None:
    assert gpu_name(text) == name


@pytest.mark.parametrize(
    "wrong",
    [
        {"usd": 1.0, "low": 2.0},
        {"usd": -1.0},
        {"usd": float("inf")},
        {"usd": 1e308},
        {"usd": 2.0, "high": 1e7},
        {"usd": 2.0, "high": 1.0},
    ],
)
def test_a_range_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="low <= usd <= high"):
        PriceRow(gpu="H100", provider="p", tier="spot", source="s", as_of=DAY, **wrong)  # type: ignore[arg-type]
