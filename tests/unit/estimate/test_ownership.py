"""Rent, reserve or buy: the figures of a worked example to the cent, and what must hold whatever is assumed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.estimate import ownership as own
from mlctl.estimate.ownership import Owned

CAPEX = 37_500.0  # of an H100 with its part of a server of 8 at $300,000
ON_DEMAND, RESERVED = 3.50, 2.65


@pytest.mark.parametrize(
    ("gpus", "full", "most", "some"), [(3, 2.60, 3.71, 6.50), (8, 2.17, 3.10, 5.43), (16, 1.81, 2.59, 4.54), (64, 1.57, 2.25, 3.93)]
)  # fmt: skip
def test_an_owned_hour_costs_what_the_worked_example_says_to_the_cent(
    gpus: int, full: float, most: float, some: float
) -> None:
    owned = Owned(gpus, CAPEX)
    assert [f"{owned.hourly(use):.2f}" for use in (1.0, 0.7, 0.4)] == [f"{cost:.2f}" for cost in (full, most, some)]


@pytest.mark.parametrize(
    ("gpus", "on_demand", "reserved"), [(3, 74, 98), (8, 62, 82), (16, 52, 68), (64, 45, 59)]
)  # in per cent
def test_break_even_is_where_the_worked_example_has_it(gpus: int, on_demand: int, reserved: int) -> None:
    owned = Owned(gpus, CAPEX)
    assert round(100 * own.break_even(owned, ON_DEMAND)) == on_demand
    assert round(100 * own.break_even(owned, RESERVED)) == reserved


def test_eight_are_paid_back_after_25_months_at_full_use_and_45_at_70_per_cent() -> None:
    owned = Owned(8, CAPEX)
    months = [own.payback_months(owned, ON_DEMAND, use) for use in (1.0, 0.7)]
    assert [None if value is None else round(value) for value in months] == [25, 45]


def test_what_is_not_paid_back_before_it_is_replaced_never_is() -> None:
    owned = Owned(8, CAPEX)
    assert own.payback_months(owned, ON_DEMAND, 0.6) is None  # it would take 59 months, and 48 are left
    assert own.payback_months(replace(owned, years=8), ON_DEMAND, 0.6) is not None
    assert own.payback_months(owned, 1.0, 0.5) is None


def test_staff_decides_for_a_few_and_the_hardware_for_many() -> None:
    assert [own.deciding(Owned(gpus, CAPEX)) for gpus in (1, 3, 5, 8, 64)] == ["staff", "staff", "staff", "hardware", "hardware"]  # fmt: skip
    assert own.deciding(Owned(8, 5_000.0, fte=0, usd_per_kwh=1.0)) == "power"


def test_sensitivity_is_what_a_tenth_more_of_one_input_does() -> None:
    owned = Owned(8, CAPEX)
    found = {item.name: item for item in own.sensitivity(owned, ON_DEMAND)}
    dearer = replace(owned, capex=CAPEX * 1.1)
    assert found["capex"].break_even == pytest.approx(own.break_even(dearer, ON_DEMAND))
    assert found["rent"].moved < 0 < found["capex"].moved
    moved = [abs(item.moved) for item in own.sensitivity(owned, ON_DEMAND)]
    assert moved == sorted(moved, reverse=True)


def test_over_its_life_owning_comes_to_what_its_hours_cost() -> None:
    owned = Owned(8, CAPEX)
    points = own.over_months(owned, ON_DEMAND, 0.7, 48)
    assert points[-1].own == pytest.approx(owned.hourly() * own.HOURS * 4 * 8)
    assert points[-1].rent == pytest.approx(ON_DEMAND * 0.7 * own.HOURS * 4 * 8)
    assert points[0].own == pytest.approx(owned.price * 8)


def test_beyond_its_life_it_is_sold_and_bought_again() -> None:
    owned = Owned(1, CAPEX, years=2)
    points = own.over_months(owned, ON_DEMAND, 1.0, 48)
    renewed = points[24].own - points[23].own
    assert renewed == pytest.approx(owned.price * (1 - owned.residual) + owned.running * own.MONTH)
    assert points[48].own == pytest.approx(owned.hourly() * own.HOURS * 4)


@pytest.mark.parametrize(
    "wrong", [{"gpus": 0}, {"capex": 0.0}, {"years": 0.0}, {"residual": 1.0}, {"pue": 0.9}, {"network": -0.1}, {"fte": -1.0}]
)  # fmt: skip
def test_figures_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"(there is|what is left|nothing of this)"):
        Owned(**{"gpus": 8, "capex": CAPEX, **wrong})  # type: ignore[arg-type]


@given(
    st.integers(1, 5000), st.floats(1000, 1e5), st.floats(0, 0.9), st.floats(0.5, 10), st.floats(0.1, 50), st.floats(0.05, 1.0)
)  # fmt: skip
def test_from_the_break_even_on_owning_never_costs_more(
    gpus: int, capex: float, residual: float, years: float, rent: float, use: float
) -> None:
    owned = Owned(gpus, capex, residual=residual, years=years)
    assert (owned.hourly(use) <= rent) == (use >= own.break_even(owned, rent)) or use == pytest.approx(
        own.break_even(owned, rent)
    )


@given(st.integers(1, 10_000))
def test_more_devices_never_take_fewer_people(gpus: int) -> None:
    assert own.staff(gpus) <= own.staff(gpus + 1)
    assert own.staff(gpus + 1) / (gpus + 1) <= own.staff(gpus) / gpus + 1e-12
