"""Fences and their rounding; what is found with them in real data is in the rule book."""

import pytest

from mlctl.runtime.checks.outliers import Fences, around_mean, around_quartiles, ordinary


def test_fences_lie_so_many_deviations_from_the_mean() -> None:
    assert around_mean(10.0, 2.0, 3.0) == Fences(4.0, 16.0)


@pytest.mark.parametrize(("mean", "deviation"), [(None, None), (5.0, 0.0), (5.0, None), (5.0, float("inf"))])
def test_without_spread_there_are_no_fences(mean: float | None, deviation: float | None) -> None:
    fences = around_mean(mean, deviation, 3.0)
    assert fences.outside("id", "bigint") == "FALSE"
    assert fences.outside("x", "double") == 'abs(CASE WHEN NOT isnan("x") THEN "x" END) > 1e+150'


def test_what_another_order_of_addition_moves_does_not_move_a_fence() -> None:
    assert around_mean(1_700_000_000.000000001, 0.25, 3.0) == around_mean(1_700_000_000.0, 0.25 + 1e-13, 3.0)
    assert around_mean(1_700_000_000.5, 0.25, 3.0).low == 1_699_999_999.75  # and what they do not move, counts


def test_tukeys_fences() -> None:
    assert around_quartiles(13.0, 31.0, 1.5) == Fences(-14.0, 58.0)
    assert around_quartiles(7.0, 7.0, 1.5) == Fences(7.0, 7.0)  # more than half of the values are the same
    assert around_quartiles(None, None, 1.5) == Fences(None, None)


def test_values_whose_squares_no_double_holds_take_no_part() -> None:
    assert ordinary("x", "double") == 'CASE WHEN abs("x") <= 1e+150 THEN "x" END'
    assert ordinary("x", "float") == 'CASE WHEN abs("x") <= 1e+150 THEN CAST("x" AS DOUBLE) END'
    assert ordinary("n", "bigint") == 'CAST("n" AS DOUBLE)'
