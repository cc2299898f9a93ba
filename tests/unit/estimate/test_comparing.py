"""Comparisons: the cheapest first, what nothing beats is marked, and each that will not do has its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from mlctl.estimate.comparing import compare, unbeaten
from mlctl.estimate.devices import NAMED
from mlctl.estimate.options import options
from mlctl.estimate.prices import PriceRow
from mlctl.estimate.sizing import Constraint, Wish, size
from tests.unit.estimate.fleet import GIB, Scripted

DAY = date(2026, 11, 1)
ROWS = [
    PriceRow("L4", "A", "on_demand", 0.7, DAY, "list"),
    PriceRow("A100-80GB", "A", "on_demand", 2.0, DAY, "list"),
    PriceRow("A100-80GB", "B", "spot", 1.2, DAY, "list"),
    PriceRow("H100", "B", "on_demand", 3.5, DAY, "list"),
    PriceRow("H100", "B", "reserved_1y", 2.6, DAY, "list"),
]
OFFERED = list(options(ROWS, counts=(1, 2)))


def test_the_cheapest_comes_first_and_what_does_not_fit_comes_apart_with_its_reason() -> None:
    found = compare(Scripted(memory=40 * GIB), OFFERED)
    costs = [row.judged.usd.mid for row in found.rows if row.judged.usd is not None]
    assert costs == sorted(costs)
    assert len(costs) == len(found.rows) == 6
    assert {(item.option.device.name, item.lost) for item in found.others} == {("L4", Constraint.MEMORY)}
    assert all("GiB" in item.why for item in found.others)


def test_a_deadline_leaves_out_what_may_come_too_late() -> None:
    free = compare(Scripted(), OFFERED)
    slowest = max(row.judged.elapsed.high for row in free.rows if row.judged.elapsed is not None)
    found = compare(Scripted(), OFFERED, Wish(deadline=slowest / 2))
    assert any(item.lost is Constraint.DEADLINE for item in found.others)
    assert all(row.judged.elapsed is not None and row.judged.elapsed.high <= slowest / 2 for row in found.rows)


def test_spot_counts_what_is_done_twice_and_waits_for_devices() -> None:
    found = compare(Scripted(), OFFERED)
    spot = next(row.judged for row in found.rows if row.option.tier == "spot" and row.option.device.count == 1)
    assert spot.usd is not None
    assert spot.elapsed is not None
    assert spot.outlook.seconds is not None
    assert spot.useful < 1
    assert spot.usd.mid > spot.outlook.seconds.mid / 3600 * 1.2
    assert spot.elapsed.mid > spot.outlook.seconds.mid / spot.useful


def test_what_the_project_has_now_is_marked() -> None:
    marked = [row.option for row in compare(Scripted(), OFFERED).rows if row.here]
    assert [(item.device.name, item.device.count, item.tier) for item in marked] == [("A100-80GB", 1, "on_demand")]


def test_what_a_driver_calls_by_another_name_is_marked_as_what_it_is() -> None:
    driven = replace(NAMED["A100-80GB"], name="NVIDIA A100-SXM4-80GB", memory=80.0 * GIB)
    owned = list(options([PriceRow("A100-80GB", "us", "owned", 1.0, DAY, "bill")], counts=(1,)))
    here = Scripted(device=driven, tier=None)
    assert [row.here for row in compare(here, owned).rows] == [True]
    today = replace(owned[0], device=driven)
    assert size(here, owned, today=today).there


def test_without_a_time_all_is_ordered_by_the_hour_and_nothing_is_called_best() -> None:
    found = compare(Scripted(timed=False), OFFERED)
    hourly = [row.option.hourly.mid for row in found.rows]
    assert found.by_hour
    assert hourly == sorted(hourly)
    assert not any(row.best for row in found.rows)


def test_a_service_is_ordered_by_the_hour_and_never_put_on_spot() -> None:
    found = compare(Scripted(lasting=True), OFFERED)
    assert found.by_hour
    assert all(row.option.tier != "spot" for row in found.rows)
    assert {item.lost for item in found.others if item.option.tier == "spot"} == {Constraint.INTERRUPTIONS}


def test_the_order_does_not_hang_on_that_of_the_price_list() -> None:
    one, other = compare(Scripted(), OFFERED), compare(Scripted(), list(reversed(OFFERED)))
    assert [row.option for row in one.rows] == [row.option for row in other.rows]


@given(st.lists(st.tuples(st.floats(0.1, 1e6), st.one_of(st.none(), st.floats(0.1, 1e6))), max_size=30))
def test_what_is_marked_is_faster_than_all_that_cost_less(points: list[tuple[float, float | None]]) -> None:
    marked = unbeaten(points)
    for (money, time), best in zip(points, marked, strict=True):
        if best:
            assert time is not None
            assert all(other is None or less >= money or other > time for less, other in points if less < money)
        elif time is not None:  # something that costs no more is about as fast
            assert any(
                other is not None and less <= money and time >= other * 0.98 and fine
                for (less, other), fine in zip(points, marked, strict=True)
            )
