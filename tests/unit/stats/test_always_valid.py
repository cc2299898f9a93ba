"""Asymptotic confidence sequences: the published figures, and that they hold at all moments at once."""

import math
import random

import pytest

from mlctl.stats.always_valid import critical, critical_one_sided, p_value, rho


def test_published_figures() -> None:
    """GrowthBook's tuning for 5,000 units, by Waudby-Smith et al., equation 161 of version 7."""
    assert rho(5000, 0.05) == pytest.approx(0.03984007, abs=1e-8)
    assert critical(5000, 0.05, 5000) == pytest.approx(3.03521, abs=1e-5)


def test_it_is_narrowest_near_where_it_is_tuned() -> None:
    errors = {units: critical(units, 0.05, 5000) / math.sqrt(units) for units in (100, 1000, 5000, 50_000)}
    other = {units: critical(units, 0.05, 100) / math.sqrt(units) for units in errors}
    assert errors[5000] < other[5000]
    assert errors[100] > other[100]


@pytest.mark.parametrize(("z", "alpha"), [(3.03521, 0.05), (critical(800, 0.05, 5000), 0.05)])
def test_the_p_value_is_alpha_at_the_critical_value(z: float, alpha: float) -> None:
    units = 5000 if z == 3.03521 else 800
    assert p_value(z, units, alpha, 5000) == pytest.approx(alpha, rel=1e-4)
    assert p_value(0, units, alpha, 5000) == 1.0


def test_looking_after_every_step_keeps_alpha_on_each_side() -> None:
    source, runs, wrong, above = random.Random(11), 800, 0, 0
    edges = [(critical(n, 0.1, 300), critical_one_sided(n, 0.05, 300)) for n in range(1, 1001)]
    for _ in range(runs):
        total, two, one = 0.0, False, False
        for number, (both, side) in enumerate(edges, 1):
            total += source.gauss(0, 1)
            if number >= 20:
                z = total / math.sqrt(number)
                two, one = two or abs(z) > both, one or z > side
        wrong, above = wrong + two, above + one
    assert 0.01 < wrong / runs < 0.1
    assert 0.005 < above / runs < 0.05
