"""Sizes against published figures, against statsmodels, and against plain enumeration."""

import itertools
import math
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.stats.sample_size import Mean, Proportion, detectable, guardrail_power, weeks


@pytest.mark.parametrize(
    ("difference", "units"),
    [(0.05, 1093.739), (-0.05, 905.37)],  # pooled z, 80 % power at 5 %: asymmetric, since the variances differ
)
def test_pooled_z_reference(difference: float, units: float) -> None:
    assert Proportion(0.2, difference).size(0.05, 0.8) == pytest.approx(units, abs=6e-3)


def test_the_famous_1030_does_not_have_the_power_it_promises() -> None:
    outcome = Proportion(0.2, 0.05)
    assert outcome.power(1030, 1030, 0.05) == pytest.approx(0.7765, abs=5e-5)
    assert outcome.power(1094, 1094, 0.05) == pytest.approx(0.801, abs=5e-4)


@pytest.mark.parametrize(("effect", "units"), [(0.2, 393.4057), (0.5, 63.7656), (0.8, 25.5246)])
def test_t_test_reference(effect: float, units: float) -> None:
    """Cohen 1988; statsmodels' TTestIndPower gives the same."""
    assert Mean(effect, 1).size(0.05, 0.8) == pytest.approx(units, abs=6e-5)


@pytest.mark.parametrize(("effect", "ratio", "units"), [(0.2, 3, 262.10973), (0.5, 3, 42.34616), (0.8, 3, 16.84571)])
def test_t_test_of_unequal_arms(effect: float, ratio: float, units: float) -> None:
    """From statsmodels 0.15: TTestIndPower().solve_power(effect, power=0.8, alpha=0.05, ratio=ratio)."""
    assert Mean(effect * 7, 7).size(0.05, 0.8, ratio) == pytest.approx(units, abs=6e-5)


@pytest.mark.parametrize(("guardrails", "inflation"), [(1, 1.339), (2, 1.526), (3, 1.656), (5, 1.834)])
def test_guardrail_inflation_reference(guardrails: int, inflation: float) -> None:
    """The sizes of arXiv 2402.11609, 80 % power at 5 %, where the variance is the same under both hypotheses."""
    z = NormalDist().inv_cdf
    wanted = (z(0.975) + z(guardrail_power(0.8, guardrails))) ** 2 / (z(0.975) + z(0.8)) ** 2
    assert wanted == pytest.approx(inflation, abs=6e-4)
    large = Mean(0.01, 1)  # so many units that the t test is a z test
    assert large.size(0.05, guardrail_power(0.8, guardrails)) / large.size(0.05, 0.8) == pytest.approx(
        inflation, abs=6e-4
    )


def enumerated(p: float, q: float, n: int, m: int, alpha: float) -> float:
    z, total = NormalDist().inv_cdf(1 - alpha / 2), 0.0
    for x, y in itertools.product(range(n + 1), range(m + 1)):
        pooled = (x + y) / (n + m)
        if (x / n - y / m) ** 2 > z * z * pooled * (1 - pooled) * (1 / n + 1 / m):
            total += math.comb(n, x) * p**x * (1 - p) ** (n - x) * math.comb(m, y) * q**y * (1 - q) ** (m - y)
    return total


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.02, 0.98),
    st.floats(0.02, 0.98),
    st.integers(2, 25),
    st.integers(2, 25),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_exact_power_is_the_enumerated_one(p: float, q: float, n: int, m: int, alpha: float) -> None:
    assert Proportion(p, q - p).power(n, m, alpha) == pytest.approx(enumerated(p, q, n, m, alpha), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 0.9), st.floats(0.02, 0.09), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([0.8, 0.9]))
def test_units_by_formula_have_nearly_the_power_asked_for(
    baseline: float, difference: float, ratio: float, power: float
) -> None:
    outcome = Proportion(baseline, difference)
    control = math.ceil(outcome.size(0.05, power, ratio))
    assert outcome.power(control, math.ceil(ratio * control), 0.05) == pytest.approx(power, abs=0.04)


def test_exact_power_of_a_large_experiment_agrees_with_the_formula() -> None:
    outcome = Proportion(0.2, 0.0005)
    units = math.ceil(outcome.size(0.05, 0.8))
    assert units > 9_000_000
    assert outcome.power(units, units, 0.05) == pytest.approx(0.8, abs=2e-4)


@settings(max_examples=30, deadline=None)
@given(
    st.one_of(
        st.builds(Proportion, st.floats(0.1, 0.8), st.floats(0.01, 0.15)),
        st.builds(Mean, st.floats(-5, -0.1), st.floats(3, 9)),
    ),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_detectable_inverts_size(outcome: Proportion | Mean, ratio: float) -> None:
    found = detectable(outcome, outcome.size(0.05, 0.8, ratio), 0.05, 0.8, ratio)
    assert found == pytest.approx(outcome.difference, rel=1e-5)


def test_nothing_is_detectable_with_next_to_nobody() -> None:
    assert detectable(Proportion(0.5, 0.1), 3, 0.05, 0.8) is None
    assert detectable(Proportion(0.5, 0.1), 0, 0.05, 0.8) is None


@pytest.mark.parametrize(
    ("units", "daily", "least", "expected"),
    [
        (2100, 300, 7, 1),
        (2101, 300, 7, 2),
        (10, 300, 7, 1),
        (10, 300, 8, 2),
        (10, 300, 14, 2),
        (12602, 300, 7, 7),
        (1, 1e9, 7, 1),
    ],
)
def test_weeks_are_whole(units: int, daily: float, least: float, expected: int) -> None:
    assert weeks(units, daily, least) == expected
