"""The tails that are computed without scipy are scipy's."""

import pytest
from scipy.special import chdtrc, kolmogorov
from scipy.stats import kstwo

from mlctl.stats.tails import chi_square_tail, kolmogorov_tail


@pytest.mark.parametrize("freedom", [1, 2, 5, 9, 11, 40, 300])
@pytest.mark.parametrize("statistic", [0.0, 1e-6, 0.3, 3.0, 9.5, 31.0, 280.0, 1200.0])
def test_chi_square(statistic: float, freedom: int) -> None:
    assert chi_square_tail(statistic, freedom) == pytest.approx(chdtrc(freedom, statistic), rel=1e-9, abs=1e-14)


def test_chi_square_far_out() -> None:
    assert chi_square_tail(5000.0, 9) == chdtrc(9, 5000.0) == 0.0
    assert chi_square_tail(float("inf"), 9) == 0.0
    assert 0 < chi_square_tail(1300.0, 9) < 1e-250


@pytest.mark.parametrize("z", [0.2, 0.5, 0.9, 1.17, 1.19, 1.36, 2.0, 5.0])
def test_the_limit_of_kolmogorov(z: float) -> None:
    rows = 1e12  # where the correction for few rows is nothing
    assert kolmogorov_tail(z / rows**0.5, rows) == pytest.approx(kolmogorov(z), rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("rows", [50, 300, 5000])
@pytest.mark.parametrize("p", [0.5, 0.1, 0.05, 0.01, 0.001])
def test_the_correction_for_few_rows(rows: int, p: float) -> None:
    assert kolmogorov_tail(kstwo.isf(p, rows), rows) == pytest.approx(p, rel=0.03)


def test_no_gap_is_no_surprise() -> None:
    assert kolmogorov_tail(0.0, 100) == 1.0
    assert kolmogorov_tail(1e-9, 100) == 1.0
