"""Each test against scipy or a figure worked by hand, its null by simulation, and the decision over many."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from mlctl.stats import drift
from mlctl.stats.drift import MARGINS, Comparison, Method, Verdict, column_verdicts, decide, overall

Draw = Callable[[np.random.Generator, int], np.ndarray]
DRAWS: dict[str, Draw] = {
    "normal": lambda random, n: random.normal(size=n),
    "lognormal": lambda random, n: random.lognormal(0, 1, n),
    "counts": lambda random, n: random.poisson(1.0, n).astype(float),
    "mostly zero": lambda random, n: random.lognormal(0, 1, n) * (random.random(n) < 0.1),
}


def psi_of(reference: np.ndarray, current: np.ndarray) -> Comparison:
    borders = drift.cuts(reference)
    return drift.psi(drift.counts(reference, borders, 0), drift.counts(current, borders, 0))


def js_of(reference: np.ndarray, current: np.ndarray) -> Comparison:
    borders = drift.cuts(reference)
    return drift.jensen_shannon(drift.counts(reference, borders, 0), drift.counts(current, borders, 0))


TESTS = {"ks": drift.ks, "psi": psi_of, "wasserstein": drift.wasserstein, "jensen_shannon": js_of}


def test_distances_are_scipys() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=300), random.lognormal(size=170)
    found = drift.ks(a, b)
    assert found.statistic == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
    c = random.normal(0.2, 1, 250)
    assert drift.ks(a, c).p_value == pytest.approx(stats.ks_2samp(a, c, method="asymp").pvalue, rel=0.05)
    assert drift.ks(a, b).p_value < 1e-30  # far out Smirnov's limit is the larger of the two
    assert drift.wasserstein(a, b).statistic == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-12)
    assert drift.wasserstein(a, b).effect == pytest.approx(stats.wasserstein_distance(a, b) / a.std(ddof=1), rel=1e-12)


def test_chi_square_reference() -> None:
    table = [[300.0, 200.0, 100.0], [40.0, 70.0, 30.0]]
    expected = stats.chi2_contingency(table, correction=False)
    found = drift.chi_square(*table)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-12)
    assert found.effect == pytest.approx(0.5 - 40 / 140)  # only the first class lost share
    kohavi = drift.chi_square(
        [821_588.0, 815_482.0], [1e15, 1e15]
    )  # sample ratio mismatch 821588 : 815482 against an even split
    assert (kohavi.statistic, kohavi.p_value) == pytest.approx((22.7744, 1.82e-6), rel=1e-3)


def test_psi_by_hand() -> None:
    """Shares .5 .3 .2 to .4 .4 .2: .1 ln(.5/.4) + .1 ln(.4/.3) = .051083; half a row in ten thousands does not show."""
    found = drift.psi([50_000, 30_000, 20_000], [40_000, 40_000, 20_000])
    assert found.effect == pytest.approx(0.051083, abs=2e-5)
    assert found.p_value < 1e-100


def test_jensen_shannon_reference() -> None:
    """Against scipy, which has no p-value; eight times the divergence in nats is the stability index, to second order."""
    before, now = [50_000.0, 30_000.0, 20_000.0], [48_000.0, 31_000.0, 21_000.0]
    found = drift.jensen_shannon(before, now)
    assert found.effect == pytest.approx(jensenshannon(before, now, base=2), rel=1e-3)
    assert 8 * found.effect**2 * np.log(2) == pytest.approx(drift.psi(before, now).effect, rel=1e-3)
    assert found.p_value == pytest.approx(drift.chi_square(before, now).p_value, rel=0.05)
    assert drift.jensen_shannon([100.0, 0.0], [0.0, 100.0]).effect == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(("n", "m"), [(100, 2000), (500, 500), (5000, 100_000)])
def test_jensen_shannon_is_calibrated(n: int, m: int) -> None:
    random = np.random.default_rng(n)
    shares = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05])
    low = [
        drift.jensen_shannon(random.multinomial(m, shares).tolist(), random.multinomial(n, shares).tolist()).p_value
        < 0.05
        for _ in range(1000)
    ]
    assert 0.02 < np.mean(low) < 0.068  # 2.6 standard errors above; with few rows half a row in each class is felt


@pytest.mark.parametrize(
    ("n", "m", "point"), [(100, 100, 0.338), (500, 500, 0.0677), (1000, 1000, 0.0338), (10_000, 100_000, 0.00186)]
)
def test_psi_is_calibrated(n: int, m: int, point: float) -> None:
    """With ten classes the 95 % point of its null is (1/n + 1/m) chi2(9): published figures, and what noise does here."""
    assert stats.chi2.ppf(0.95, 9) * (1 / n + 1 / m) == pytest.approx(point, rel=6e-3)
    random = np.random.default_rng(n)
    shares = np.full(10, 0.1)
    found = [
        drift.psi(random.multinomial(m, shares).tolist(), random.multinomial(n, shares).tolist()) for _ in range(1500)
    ]
    assert 0.035 < np.mean([item.p_value < 0.05 for item in found]) < 0.065
    assert 0.03 < np.mean([item.effect > point for item in found]) < 0.065


@pytest.mark.parametrize("n", [100, 500, 3000])
@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("method", TESTS)
def test_false_alarms_of_one_test(method: str, draw: str, n: int) -> None:
    """At most 5 % of the p-values are below 5 % when nothing moved, whatever the shape. (200 runs: 9 % is 2.6 standard errors above.)"""
    random = np.random.default_rng(11)
    low = [TESTS[method](DRAWS[draw](random, 1000), DRAWS[draw](random, n)).p_value < 0.05 for _ in range(200)]
    assert np.mean(low) <= 0.09
    if draw == "normal":
        assert np.mean(low) >= 0.01  # it is not so small because the test is asleep


@pytest.mark.parametrize("method", TESTS)
def test_half_a_standard_deviation_is_found(method: str) -> None:
    random = np.random.default_rng(3)
    found = [TESTS[method](random.normal(size=1000), random.normal(0.5, 1, 600)) for _ in range(12)]
    assert all(item.p_value < 0.001 and item.effect >= MARGINS[Method(method)] for item in found)


def test_far_tails_resolve() -> None:
    """A p-value of a simulated null must be able to pass a correction for thousands of tests."""
    random = np.random.default_rng(4)
    assert drift.wasserstein(random.normal(size=2000), random.normal(1, 1, 2000)).p_value < 1e-12
    assert drift.wasserstein(random.normal(size=2000), random.normal(1, 1, 500)).p_value < 1e-12


def test_a_constant_that_changes_is_seen_and_one_that_stays_is_not() -> None:
    same, other = np.full(500, 3.0), np.full(200, 4.0)
    for test in TESTS.values():
        moved, still = test(same, other), test(same, np.full(200, 3.0))
        assert moved.p_value < 1e-6
        assert (still.p_value, still.effect) == (1.0, 0.0)
        assert np.isfinite(moved.effect)


def test_classes_come_from_the_reference_alone() -> None:
    sample = np.arange(1000.0)
    borders = drift.cuts(sample)
    assert len(borders) == 11
    assert drift.counts(sample, borders, 7) == [0, *[pytest.approx(100, abs=1)] * 10, 0, 7]
    assert drift.counts(np.array([-5.0, 0.0, 999.0, 1e9]), borders, 0) == [1, 1, *[0] * 8, 1, 1, 0]
    assert drift.cuts(np.array([0.0] * 95 + [1.0] * 5)) == [0.0, np.nextafter(1.0, 2)]  # the top decile begins at 0 too


def test_missing_values_are_a_class() -> None:
    random = np.random.default_rng(8)
    reference, current = random.normal(size=1000), random.normal(size=400)
    borders = drift.cuts(reference)
    found = drift.psi(drift.counts(reference, borders, 0), drift.counts(current, borders, 200))
    assert found.p_value < 1e-12
    assert found.effect > MARGINS[Method.PSI]


def test_new_and_rare_categories() -> None:
    assert drift.chi_square([1000.0, 0.0], [300.0, 100.0]).p_value < 1e-12
    lonely = drift.chi_square([1000.0, 0.0], [400.0, 1.0])  # one odd row is no drift
    assert lonely.p_value == 1.0


def finding(p_value: float, effect: float, rows: int = 500) -> Comparison:
    return Comparison(effect, effect, p_value, 2000, rows)


def test_an_alarm_needs_significance_size_and_rows() -> None:
    tests = [
        ("a", Method.KS, finding(1e-9, 0.04)),  # surely there, too small to matter
        ("b", Method.KS, finding(0.03, 0.3)),  # large, but one of four tests may well be that low by chance
        ("c", Method.KS, finding(1e-9, 0.05)),
        ("d", Method.KS, finding(1e-9, 0.5, rows=99)),
        ("e", Method.KS, finding(0.9, 0.01)),
    ]
    found = decide(tests, 0.05, "holm", MARGINS, 100)
    assert [item.verdict for item in found] == [Verdict.OK, Verdict.OK, Verdict.ALARM, Verdict.NO_DATA, Verdict.OK]
    assert [item.p_adjusted for item in found] == pytest.approx([4e-9, 0.06, 4e-9, None, 0.9])


def test_verdicts_of_columns_and_runs() -> None:
    tests = [
        ("a", Method.KS, finding(1.0, 0.0, rows=5)),
        ("a", Method.PSI, finding(1.0, 0.0)),
        ("b", Method.KS, finding(1.0, 0.0, rows=5)),
        ("c", Method.KS, finding(1.0, 0.0)),
        ("c", Method.PSI, finding(1e-9, 0.5)),
    ]
    columns = column_verdicts(decide(tests, 0.05, "bh", MARGINS, 100))
    assert columns == {"a": Verdict.OK, "b": Verdict.NO_DATA, "c": Verdict.ALARM}
    assert overall(columns) is Verdict.ALARM
    assert overall({"a": Verdict.OK, "b": Verdict.NO_DATA}) is Verdict.NO_DATA
    assert overall({"a": Verdict.OK}) is Verdict.OK
    assert overall({}) is Verdict.NO_DATA
