"""Bounds for a planned end: the published values, any distances, and what they promise by simulation."""

import math
import random

import pytest

from mlctl.stats.group_sequential import Spending, bounds, crossing, equal_looks, inflation


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        ("obrien_fleming", [4.8769, 3.3570, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4102, 2.3966, 2.3860]),
    ],
)
def test_five_looks_are_those_of_ldbounds(spending: Spending, published: list[float]) -> None:
    """Alpha of 5 % is spent as 2.5 % on each side; in one go it would be 4.38, 3.10, 2.55, 2.25, 2.06."""
    assert bounds(equal_looks(5), 0.025, spending) == pytest.approx(published, abs=1.5e-4)


def test_alpha_spent_in_one_go_is_something_else() -> None:
    in_one_go = [4.3826, 3.0997, 2.5534, 2.2538, 2.0635]
    assert bounds(equal_looks(5), 0.025, "obrien_fleming") != pytest.approx(in_one_go, abs=0.01)


def test_a_single_look_at_the_end_is_the_plain_test() -> None:
    assert bounds([1.0], 0.025, "obrien_fleming") == pytest.approx([1.959964], abs=1e-6)


def test_what_comes_after_the_planned_end_has_no_alpha_left() -> None:
    values = bounds([0.5, 1.04, 1.3], 0.025, "obrien_fleming")
    assert values[1] < 2.1
    assert values[2] == math.inf


def test_an_end_short_of_the_plan_spends_the_rest() -> None:
    open_end, ended = (bounds([0.4, 0.8], 0.025, "obrien_fleming", ended=ended) for ended in (False, True))
    assert open_end[0] == ended[0]
    assert ended[1] < open_end[1]
    assert crossing([0.4, 0.8], ended, 0.0) == pytest.approx(0.025, abs=1e-5)


@pytest.mark.parametrize("fractions", [[0.3, 0.3], [0.5, 0.4], [0.0, 1.0]])
def test_looks_that_see_no_more_are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match="more than the one before"):
        bounds(fractions, 0.025, "pocock")


def test_a_look_at_next_to_nothing_is_never_crossed() -> None:
    values = bounds([0.0005, 0.5, 1.0], 0.025, "obrien_fleming")
    assert values[0] == math.inf
    assert values[1:] == pytest.approx(bounds([0.5, 1.0], 0.025, "obrien_fleming"))


@pytest.mark.parametrize("fractions", [(0.1, 0.15, 0.6, 1.0), (0.5, 1.0), equal_looks(14)])
@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_all_looks_together_spend_alpha(fractions: tuple[float, ...], spending: Spending) -> None:
    assert crossing(fractions, bounds(fractions, 0.025, spending), 0.0) == pytest.approx(0.025, abs=2e-5)


@pytest.mark.parametrize(
    ("critical", "published"),
    [((2.178, 2.178), 1.110), ((2.797, 1.977), 1.008)],
)
def test_power_of_published_bounds(critical: tuple[float, float], published: float) -> None:
    """Jennison and Turnbull 2000, tables 2.1 to 2.4: two looks of Pocock's and of O'Brien and Fleming's test, and by how many
    times their largest size exceeds a fixed one for 80 % of power."""
    drift = (1.959964 + 0.841621) * math.sqrt(published)
    assert crossing(equal_looks(2), critical, drift) == pytest.approx(0.8, abs=3e-4)


def test_inflated_units_have_the_power_by_simulation() -> None:
    fractions, source = equal_looks(4), random.Random(3)
    values = bounds(fractions, 0.025, "pocock")
    drift = (1.959964 + 0.841621) * math.sqrt(inflation(fractions, 0.025, 0.8, "pocock"))
    found = 0
    for _ in range(4000):
        total, before = 0.0, 0.0
        for fraction, value in zip(fractions, values, strict=True):
            total += drift * (fraction - before) + math.sqrt(fraction - before) * source.gauss(0, 1)
            before = fraction
            if total / math.sqrt(fraction) >= value:
                found += 1
                break
    assert found / 4000 == pytest.approx(0.8, abs=0.02)  # three standard errors
