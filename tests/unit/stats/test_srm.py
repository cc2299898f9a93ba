"""Sample ratio mismatch: the known example, and no more false alarms than promised however often one looks."""

import random

import pytest

from mlctl.stats.srm import blame, chi_square, chi_square_tail, least_p_value, sequential_p_value

HALVES = {"control": 50.0, "treatment": 50.0}


def test_kohavis_example() -> None:
    """821,588 against 815,482 users: Kohavi, Tang and Xu 2020, chapter 3."""
    counts = {"control": 821_588, "treatment": 815_482}
    statistic, p_value = chi_square(counts, HALVES)
    assert statistic == pytest.approx(22.7744, abs=1e-4)
    assert p_value == pytest.approx(1.82e-6, rel=2e-3)
    assert sequential_p_value(counts, HALVES) < 0.01


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 10])
@pytest.mark.parametrize("statistic", [0.3, 4.0, 30.0])
def test_the_tail_is_scipys(freedom: int, statistic: float) -> None:
    special = pytest.importorskip("scipy.special")
    assert chi_square_tail(statistic, freedom) == pytest.approx(special.chdtrc(freedom, statistic), rel=1e-12)


def test_the_users_of_tea_tastings_readme() -> None:
    """2,023 and 1,977: its binomial test with the correction for continuity has p 0.476767; chi-square has none."""
    assert chi_square({"control": 2023, "treatment": 1977}, HALVES)[1] == pytest.approx(0.476767, abs=0.011)


def test_daily_looks_keep_alpha_where_chi_square_does_not() -> None:
    source, runs, days, each = random.Random(7), 400, 28, 500
    sequential = naive = 0
    for _ in range(runs):
        counts, looks = {"control": 0, "treatment": 0}, []
        for _ in range(days):
            treated = source.getrandbits(each).bit_count()  # of so many fair coins
            counts = {"control": counts["control"] + each - treated, "treatment": counts["treatment"] + treated}
            looks.append(counts)
        sequential += least_p_value(looks, HALVES) < 0.05
        naive += any(chi_square(look, HALVES)[1] < 0.05 for look in looks)
    assert sequential / runs <= 0.05
    assert naive / runs > 0.15


def test_a_split_that_is_off_is_found() -> None:
    source, found = random.Random(9), 0
    for _ in range(50):
        counts, looks = {"control": 0, "treatment": 0}, []
        for _ in range(28):
            treated = sum(source.random() < 0.51 for _ in range(2000))
            counts = {"control": counts["control"] + 2000 - treated, "treatment": counts["treatment"] + treated}
            looks.append(counts)
        found += least_p_value(looks, HALVES) < 0.01
    assert found >= 40


def test_three_arms_of_other_shares() -> None:
    shares = {"control": 8.0, "a": 1.0, "b": 1.0}
    assert sequential_p_value({"control": 8000, "a": 1010, "b": 990}, shares) == 1.0
    assert sequential_p_value({"control": 8000, "a": 1300, "b": 700}, shares) < 1e-9


def test_units_in_an_arm_that_nobody_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match="does not have: c"):
        sequential_p_value({"control": 1, "c": 3}, HALVES)
    with pytest.raises(ValueError, match="no units"):
        chi_square({}, HALVES)


def test_the_segment_that_loses_units_is_named_first() -> None:
    segments = {
        "safari": {"control": 5000, "treatment": 4400},
        "chrome": {"control": 9000, "treatment": 9050},
        "none": {"control": 0, "treatment": 0},
    }
    ranked = blame(segments, HALVES)
    assert [name for name, _ in ranked] == ["safari", "chrome"]
    assert ranked[0][1] < 1e-6 < ranked[1][1]
