"""Sizes against published figures, against statsmodels, and against plain enumeration."""

import itertools
import math
import random
from statistics import NormalDist, correlation, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.stats.sample_size import (
    Mean,
    Proportion,
    detectable,
    explained_std,
    guardrail_power,
    noninferiority_size,
    ratio_std,
    weeks,
)


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
@given(st.floats(0.1, 0.8), st.floats(0.02, 0.09), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([0.8, 0.9]))
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


def test_evan_millers_1030() -> None:
    """His calculator takes twice the variance of the baseline under the null hypothesis; both of his cases, by the letter."""
    z = NormalDist().inv_cdf

    def his(p: float, difference: float) -> float:
        q = p + difference
        return (
            z(0.975) * math.sqrt(2 * p * (1 - p)) + z(0.8) * math.sqrt(p * (1 - p) + q * (1 - q))
        ) ** 2 / difference**2

    assert his(0.2, 0.05) == pytest.approx(1030.219, abs=1e-3)
    assert his(0.2, -0.05) == pytest.approx(973.43, abs=0.01)
    assert Proportion(0.2, 0.05).size(0.05, 0.8) > his(0.2, 0.05)  # which is why its power is 77.7 %


def test_other_formulas_of_the_same_case() -> None:
    """Unpooled, by Cohen's h (as statsmodels' NormalIndPower has it), and Fleiss with continuity correction, by the letter."""
    ours, z = Proportion(0.2, 0.05).size(0.05, 0.8), NormalDist().inv_cdf
    wanted = (z(0.975) + z(0.8)) ** 2
    unpooled = wanted * (0.2 * 0.8 + 0.25 * 0.75) / 0.05**2
    cohen = 2 * wanted / (2 * math.asin(math.sqrt(0.25)) - 2 * math.asin(math.sqrt(0.2))) ** 2
    corrected = ours / 4 * (1 + math.sqrt(1 + 4 / (ours * 0.05))) ** 2  # Fleiss (3.15)
    assert (unpooled, cohen, corrected) == pytest.approx((1090.99, 1091.90, 1133.39), abs=0.01)
    assert ours == pytest.approx(cohen, rel=0.003)


def test_one_tail_takes_fewer_units_and_has_the_power() -> None:
    outcome = Proportion(0.2, 0.05)
    one = math.ceil(outcome.size(0.05, 0.8, tails=1))
    assert one == math.ceil(outcome.size(0.1, 0.8))
    assert outcome.power(one, one, 0.05, tails=1) == pytest.approx(0.8, abs=0.005)
    less = Proportion(0.2, -0.05)
    assert less.power(905, 905, 0.05, tails=1) == pytest.approx(less.power(905, 905, 0.1), abs=1e-5)
    mean = Mean(0.5, 1)
    assert mean.size(0.05, 0.8, tails=1) == pytest.approx(50.1508, abs=1e-4)  # TTestIndPower, alternative `larger`
    assert mean.power(51, 51, 0.05, tails=1) == pytest.approx(0.8059, abs=1e-3)
    assert detectable(outcome, one, 0.05, 0.8, tails=1) == pytest.approx(0.05, rel=1e-2)


def test_the_spread_of_a_ratio_is_that_of_its_influence() -> None:
    generator = random.Random(3)
    rows = []
    for _ in range(20_000):
        sessions = 1 + generator.randrange(5)
        rows.append((0.4 * sessions + generator.gauss(0, 1), sessions))
    y, d = zip(*rows, strict=True)
    mean_y, mean_d = sum(y) / len(y), sum(d) / len(d)
    ratio, std_y, std_d = mean_y / mean_d, stdev(y), stdev(d)
    influence = [(a - ratio * b) / mean_d for a, b in rows]
    assert ratio_std(ratio, std_y, mean_d, std_d, correlation(y, d)) == pytest.approx(stdev(influence), rel=1e-9)
    assert ratio_std(0.4, 1.0, 1.0, 0.0, 0.0) == 1.0  # one session each: a mean


def test_what_a_covariate_leaves() -> None:
    assert explained_std(2.0, 0.75) == 1.0


@pytest.mark.parametrize(
    ("std", "margin", "power", "units"),
    [(1.0, 0.5, 0.9, 84.06), (10.0, 1.0, 0.8, 1569.8), (math.sqrt(0.09), 0.02, 0.9, 4728.3)],
)
def test_noninferiority_reference(std: float, margin: float, power: float, units: float) -> None:
    """Julious 2004, (28) without the term for Student's t: 2 (z + z)^2 std^2 / margin^2."""
    assert noninferiority_size(std, margin, 0.025, power) == pytest.approx(units, rel=1e-3)
