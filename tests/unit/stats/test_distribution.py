"""Distances over frozen bins against published figures, scipy, and what they must be at their ends."""

import math

import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon as scipys

from mlctl.stats.distribution import chi_square, comparable_rows, jensen_shannon, ks, psi
from mlctl.types.jobs.contract import CategoricalBins, NumericBins


def numbers(*counts: int, nulls: int = 0) -> NumericBins:
    return NumericBins(edges=[float(edge) for edge in range(len(counts) - 1)], counts=list(counts), nulls=nulls)


def texts(*counts: int, other: int = 0, nulls: int = 0) -> CategoricalBins:
    return CategoricalBins(values=[f"v{i}" for i in range(len(counts))], counts=list(counts), other=other, nulls=nulls)


def test_chi_square_and_cramers_v_of_agrestis_table() -> None:
    """Agresti 2007, table 2.5, party by gender: X2 = 30.07 with 2 degrees of freedom; V is sqrt(30.07 / 2757)."""
    women, men = texts(762, 327, 468), texts(484, 239, 477)
    found = chi_square(women, men)
    assert found.distance == pytest.approx(math.sqrt(30.07 / 2757), rel=1e-4)
    assert found.p_value == pytest.approx(stats.chi2.sf(30.07, 2), rel=1e-2)


def test_jensen_shannon_is_what_scipy_publishes() -> None:
    """The examples of scipy's own documentation, and the distance of an even coin from a certain one by hand."""
    assert jensen_shannon(texts(1, 0, 0), texts(0, 1, 0)).distance == 1.0
    assert jensen_shannon(texts(1, 0), texts(1, 1)).distance == pytest.approx(0.4645014040 / math.sqrt(math.log(2)), rel=1e-9)  # fmt: skip
    a, b = numbers(5, 40, 30, 25, nulls=7), numbers(9, 10, 60, 1, nulls=0)
    assert jensen_shannon(a, b).distance == pytest.approx(scipys([5, 40, 30, 25, 7], [9, 10, 60, 1, 0], 2), rel=1e-12)
    assert jensen_shannon(a, b).p_value is None


def test_smirnovs_critical_values() -> None:
    """Smirnov 1948: sqrt(nm / (n + m)) D is above 1.3581 in 5 % and above 1.6276 in 1 % of samples that do not differ."""
    half = 1_000_000  # so that nm / (n + m) is 500,000
    for critical, level in ((1.3581, 0.05), (1.6276, 0.01)):
        moved = round(critical / math.sqrt(half / 2) * half)
        found = ks(numbers(half // 2, half // 2), numbers(half // 2 - moved, half // 2 + moved))
        assert found.distance == pytest.approx(moved / half, rel=1e-12)
        assert found.p_value == pytest.approx(level, rel=2e-3)


def test_ks_at_the_edges_is_that_of_the_values_when_each_value_has_a_bin() -> None:
    a, b = [0] * 30 + [1] * 50 + [2] * 20, [0] * 10 + [1] * 60 + [2] * 70
    found = ks(numbers(30, 50, 20, nulls=9), numbers(10, 60, 70, nulls=1))
    expected = stats.ks_2samp(a, b, method="asymp")
    assert found.distance == pytest.approx(expected.statistic, rel=1e-12)
    limit = stats.kstwobign.sf(math.sqrt(100 * 140 / 240) * expected.statistic)
    assert found.p_value == pytest.approx(limit, rel=1e-9)
    assert limit > expected.pvalue  # scipy corrects for few rows; without that no alarm is raised too early


def test_psi_by_hand() -> None:
    """Shares .5 .3 .2 to .4 .4 .2: .1 ln(.5/.4) + .1 ln(.4/.3) = .051083; half a row in ten thousands does not show."""
    found = psi(numbers(50_000, 30_000, 20_000), numbers(40_000, 40_000, 20_000))
    assert found.distance == pytest.approx(0.051083, abs=2e-5)
    assert found.p_value is not None
    assert found.p_value < 1e-100


@pytest.mark.parametrize("method", [psi, chi_square, jensen_shannon, ks])
def test_nothing_lies_between_a_column_and_itself(method) -> None:  # type: ignore[no-untyped-def]
    for a in (numbers(0, 10, 20, 0, nulls=3), numbers(0, 500, 0)):
        found = method(a, a)
        assert found.distance == 0.0
        assert found.p_value in (None, 1.0)


def test_missing_values_and_the_rest_are_classes_of_their_own() -> None:
    for method in (psi, chi_square, jensen_shannon):
        assert method(numbers(0, 1000), numbers(0, 500, nulls=500)).distance > 0.3
        assert method(texts(900, other=100), texts(500, other=500)).distance > 0.3
    assert ks(numbers(0, 1000), numbers(0, 500, nulls=500)).distance == 0.0  # only values have an order


def test_no_data_is_no_small_distance() -> None:
    full, empty, null = numbers(0, 10), numbers(0, 0), numbers(0, 0, nulls=10)
    for method in (psi, chi_square, jensen_shannon, ks):
        for pair in ((full, empty), (empty, full), (empty, empty)):
            with pytest.raises(ValueError, match="no rows"):
                method(*pair)
    with pytest.raises(ValueError, match="no values"):
        ks(full, null)
    assert (comparable_rows(null), comparable_rows(null, values_only=True)) == (10, 0)
    assert comparable_rows(texts(1, other=2, nulls=4)) == 7


def test_other_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="different bins"):
        psi(numbers(1, 2), numbers(1, 2, 3))
    with pytest.raises(ValueError, match="different bins"):
        chi_square(texts(1), numbers(1, 2))
    with pytest.raises(ValueError, match="order"):
        ks(texts(1), texts(1))
