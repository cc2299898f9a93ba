"""Subgroups: Cochran's Q against another package, and no story out of noise."""

import random

import pytest

from mlctl.stats.multiple import benjamini_hochberg, holm
from mlctl.stats.sequential import tail
from mlctl.stats.subgroups import adjusted, heterogeneity


def test_published_adjustments() -> None:
    """statsmodels' multipletests of the same five."""
    p_values = [0.01, 0.04, 0.03, 0.005, 0.5]
    assert holm(p_values) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert benjamini_hochberg(p_values) == pytest.approx([0.025, 0.05, 0.05, 0.025, 0.5])
    assert adjusted(p_values) == benjamini_hochberg(p_values)


def test_cochrans_q() -> None:
    """Against the sum by hand: weights 1/e^2, and scipy's tail."""
    effects, errors = [0.12, 0.05, 0.30, -0.02], [0.05, 0.04, 0.10, 0.06]
    found = heterogeneity(effects, errors)
    assert found is not None
    weights = [1 / error**2 for error in errors]
    mean = sum(w * e for w, e in zip(weights, effects, strict=True)) / sum(weights)
    q = sum(w * (e - mean) ** 2 for w, e in zip(weights, effects, strict=True))
    special = pytest.importorskip("scipy.special")
    assert (found.q, found.freedom) == (pytest.approx(q), 3)
    assert found.p_value == pytest.approx(special.chdtrc(3, q), rel=1e-9)
    assert found.share == pytest.approx(1 - 3 / q)


def test_one_subgroup_says_nothing_about_differences() -> None:
    assert heterogeneity([0.1], [0.02]) is None
    assert heterogeneity([0.1, 0.2], [0.02, 0.0]) is None


def test_without_an_effect_eight_subgroups_tell_no_story() -> None:
    source, runs = random.Random(2), 1500
    any_one = corrected = differ = 0
    for _ in range(runs):
        z = [source.gauss(0, 1) for _ in range(8)]
        p_values = [2 * tail(abs(one)) for one in z]
        any_one += min(p_values) < 0.05
        corrected += min(adjusted(p_values)) < 0.05
        found = heterogeneity(z, [1.0] * 8)
        differ += found is not None and found.p_value < 0.05
    assert any_one / runs == pytest.approx(0.337, abs=0.04)
    assert corrected / runs == pytest.approx(0.05, abs=0.018)
    assert differ / runs == pytest.approx(0.05, abs=0.018)
