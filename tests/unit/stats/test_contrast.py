"""Figures of two samples against exact ones, and against published ones."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.stats.contrast import (
    Line,
    Sample,
    at_most,
    beyond,
    excess,
    gap_radius,
    information,
    largest_gap,
    mean_above_zero,
)
from mlctl.stats.sequential import tail

MARGIN = (Line(1.0, 0.005),)


def test_non_inferiority_is_the_score_test_of_farrington_and_manning_for_large_samples() -> None:
    """10,000 a side, 1,000 and 985 hits, margin 0.005: z = 0.82763 (statsmodels, method `score`); the half hit takes 0.012."""
    assert excess(Sample(10_000, 1000), Sample(10_000, 985), MARGIN) == pytest.approx(-0.82763, abs=0.015)


@pytest.mark.parametrize(("number", "rate", "hits"), [(100, 0.01, 5), (500, 0.01, 13), (1000, 0.002, 7), (50, 0.5, 36)])
def test_the_tail_beyond_a_limit_is_that_of_the_binomial(number: int, rate: float, hits: int) -> None:
    exact = 1 - sum(math.comb(number, k) * rate**k * (1 - rate) ** (number - k) for k in range(hits))
    found = tail(excess(Sample(number, hits), None, at_most(rate)))
    assert 0.95 * exact < found < 1.5 * exact  # never too sure of it


@pytest.mark.parametrize(("candidate", "baseline"), [(100, 900), (500, 500), (900, 100)])
def test_the_tail_of_rare_hits_is_that_of_their_split_among_the_sides(candidate: int, baseline: int) -> None:
    """Given all hits, each is the candidate's with the candidate's share of the requests: the exact conditional test."""
    share, total = candidate / (candidate + baseline), 12
    hits = min(math.ceil(share * total + 2.3 * math.sqrt(total * share * (1 - share))), total)
    exact = sum(math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(hits, total + 1))
    found = tail(excess(Sample(candidate, hits), Sample(baseline, total - hits), (Line(1.0, 0.0),)))
    assert 0.5 * exact < found < 1.5 * exact  # the exact one is known to be too careful


@given(st.integers(1, 300), st.integers(0, 300), st.integers(0, 300), st.integers(1, 300), st.floats(0, 0.5))
def test_more_hits_are_never_better(number: int, hits: int, base_hits: int, base: int, margin: float) -> None:
    hits, base_hits = min(hits, number - 1), min(base_hits, base)
    bound = (Line(1.0, margin), Line(2.0, 0.0))
    fewer = excess(Sample(number, hits), Sample(base, base_hits), bound)
    more = excess(Sample(number, hits + 1), Sample(base, base_hits), bound)
    assert math.isfinite(fewer)
    assert math.isfinite(more)
    # where the bound comes to 1, a rate of 1 is at the edge of what it allows, and the likelihood ratio bends a little
    bends = 0.05 * abs(more) if hits + 1 == number else 1e-6
    assert fewer <= more + bends


def test_a_bound_of_several_lines_is_the_largest_of_them() -> None:
    harm = (Line(1.0, 0.008), Line(2.0, 0.0))
    assert beyond(harm, 0.001) == pytest.approx(0.009)
    assert beyond(harm, 0.05) == pytest.approx(0.1)


def test_nothing_may_be_forbidden() -> None:
    assert excess(Sample(1000, 5), None, at_most(0.0)) > 6
    assert excess(Sample(1000, 0), None, at_most(0.0)) == 0
    assert excess(Sample(1000, 1000), Sample(1000, 1000), (Line(1.0, 0.1),)) == 0


def test_two_sides_tell_as_much_as_the_smaller_one_allows() -> None:
    assert information(1000, None) == 1000
    assert information(1000, 1000) == 500
    assert information(100, 10**9) == pytest.approx(100)


@pytest.mark.parametrize(("freedom", "t"), [(3, 5.841), (4, 4.604), (10, 3.169), (30, 2.750)])
def test_students_t_as_a_normal_score(freedom: int, t: float) -> None:
    """The 99.5 % points of the tables."""
    number = freedom + 1
    squares = number * freedom / t**2  # of a mean of 1
    assert mean_above_zero(number, 1.0, squares) == pytest.approx(NormalDist().inv_cdf(0.995), abs=0.035)
    assert mean_above_zero(number, -1.0, squares) == -mean_above_zero(number, 1.0, squares)


def test_the_distance_of_two_histograms_and_its_band() -> None:
    assert largest_gap([10, 0, 0], [0, 0, 5]) == pytest.approx(1.0)
    assert largest_gap([1, 1, 2], [2, 2, 4]) == pytest.approx(0.0)
    assert gap_radius(1000, 0.05) == pytest.approx(1.3581 / math.sqrt(1000), abs=1e-4)  # Smirnov's 5 % point
