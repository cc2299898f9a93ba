"""What two arms differ by, against published figures and other packages, and that sums add up."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.stats.arm_metrics import Estimate, Kind, Moments, as_normal, between, contrast, estimate, explained, wilson
from mlctl.stats.sequential import tail

Z95 = 1.959963984540054


def test_the_vector_of_gbstats() -> None:
    """The frequentist test of GrowthBook's package (packages/stats/tests), with 3,407 and 3,461 units."""
    found = contrast("mean", Moments(3407, 1396.87, 52377.9767), Moments(3461, 2422.7, 134698.29))
    assert found.difference == pytest.approx(0.29)
    assert found.interval(Z95) == pytest.approx((0.04538, 0.53462), abs=1e-4)  # theirs are of Student's t
    assert found.p_value == pytest.approx(0.0201584, abs=1e-7)
    assert found.relative == pytest.approx(0.70732, abs=1e-5)
    assert found.relative_error == pytest.approx(0.37879, abs=1e-5)
    assert 2 * tail(0.70732 / 0.37879) == pytest.approx(0.06191, abs=1e-4)


def test_the_users_of_tea_tastings_readme() -> None:
    """Its `make_users_data(rng=42)`, as sums: orders for each session +8.77 %, p 0.0762376; revenue for each user p 0.1230699."""
    orders = contrast(
        "ratio", Moments(2023, 1073, 2073, 4038, 10098, 2648), Moments(1977, 1133, 2121, 3920, 9698, 2730)
    )
    assert orders.relative == pytest.approx(0.0877033)
    assert orders.p_value == pytest.approx(0.0762376, abs=1e-7)
    revenue = contrast("mean", Moments(2023, 10602.6, 243736.4268), Moments(1977, 11328.43, 278029.8889))
    assert revenue.p_value == pytest.approx(0.1230699, abs=1e-7)


@pytest.mark.parametrize(
    ("kind", "difference", "p_value", "low", "high"),
    [
        ("mean", 0.3308932824831119, 5.355e-12, 0.2375001, 0.4242864),
        ("ratio", 0.10038995359386826, 8.294e-25, 0.0815624, 0.1192175),
    ],
)
def test_a_covariate_as_in_tea_tasting(kind: Kind, difference: float, p_value: float, low: float, high: float) -> None:
    """tea-tasting 1.14 of the same rows: Mean("y", "x") and RatioOfMeans("y", "d", "x", "one"); its intervals are of Student's t."""
    generator = random.Random(5)
    control, treatment = sample(generator, 800), sample(generator, 800, 0.1)
    found = contrast(kind, Moments.of(*control), Moments.of(*treatment), cuped=True)
    assert found.difference == pytest.approx(difference, rel=1e-9)
    assert found.p_value == pytest.approx(p_value, rel=1e-3)
    assert found.interval(1.9614) == pytest.approx((low, high), rel=1e-4)  # t of 1,598 degrees of freedom


def test_two_proportions() -> None:
    """250 of 1,000 against 200 of 1,000: statsmodels' proportions_ztest, and confint_proportions_2indep with `newcomb`."""
    found = contrast("proportion", Moments(1000, 200, 200), Moments(1000, 250, 250))
    assert found.z == pytest.approx(2.6773984, abs=1e-6)
    assert found.p_value == pytest.approx(0.0074196, abs=1e-6)
    assert found.interval(Z95) == pytest.approx((0.013396, 0.086451), abs=1e-6)


def test_an_improvement_of_something_negative_is_up() -> None:
    """From -10 to -5: gbstats 0.8.0 gave -0.5."""
    found = between(Estimate(-10, 1, 100), Estimate(-5, 1, 100))
    assert found.relative == 0.5
    assert between(Estimate(0, 1, 100), Estimate(5, 1, 100)).relative is None


@pytest.mark.parametrize("control", [Estimate(5e-324, 0.0, 2), Estimate(1e-300, 1e50, 2), Estimate(1e-160, 1.0, 2)])
def test_a_control_of_next_to_nothing_has_no_relative_difference(control: Estimate) -> None:
    found = between(control, Estimate(1.0, 1.0, 2))
    assert found.relative is None or math.isfinite(found.relative)
    assert found.relative_error is None
    assert found.relative_interval(1.96) is None


@pytest.mark.parametrize(
    ("values", "below"), [([7.6e-10, 0.0], [5.3e-161, 0.0]), ([1e90, 0.0], [1e-90, 1e-90]), ([1e80, -1e80], [1.0, 1.0])]
)
def test_an_arm_beyond_what_can_be_computed_is_refused_in_words(values: list[float], below: list[float]) -> None:
    with pytest.raises(ValueError, match="an arm has"):
        estimate("ratio", Moments.of(values, below))


@pytest.mark.parametrize(("t", "freedom"), [(0.3, 3), (1.0, 3), (2.1, 5), (-2.5, 12), (3.5, 40), (1.96, 5000)])
def test_students_t_as_a_normal_z(t: float, freedom: float) -> None:
    special = pytest.importorskip("scipy.special")
    assert as_normal(t, freedom) == pytest.approx(special.ndtri(special.stdtr(freedom, t)), abs=0.012)


def sample(generator: random.Random, units: int, lift: float = 0.0) -> tuple[list[float], list[float], list[float]]:
    """Orders, sessions and orders from before the experiment, that hang together."""
    rows = []
    for _ in range(units):
        keen = generator.gauss(0, 1)
        sessions = 1 + generator.randrange(5)
        rows.append(
            (max(0, round(sessions * (0.5 + lift) + keen)), sessions, max(0, round(2 + keen + generator.gauss(0, 0.5))))
        )
    return [float(row[0]) for row in rows], [float(row[1]) for row in rows], [float(row[2]) for row in rows]


@pytest.mark.parametrize("kind", ["proportion", "mean", "ratio"])
def test_sums_of_parts_are_the_sums_of_the_whole(kind: Kind) -> None:
    orders, sessions, before = sample(random.Random(1), 400)
    whole = Moments.of(orders, sessions, before)
    parts = [Moments.of(orders[a:b], sessions[a:b], before[a:b]) for a, b in pairwise((0, 100, 150, 400))]
    together = parts[0] + parts[1] + parts[2]
    assert estimate(kind, together) == estimate(kind, whole)
    assert Moments.from_json(whole.to_json()) == whole


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="nan is not a value"):
        Moments.of([1.0, math.nan])
    with pytest.raises(ValueError, match="inf is not a value"):
        Moments.of([1.0], [math.inf])


def test_an_arm_without_units_or_a_ratio_without_a_denominator_is_refused() -> None:
    full = Moments.of([1.0, 0.0, 1.0], [1.0, 2.0, 1.0])
    with pytest.raises(ValueError, match="0 units"):
        contrast("mean", full, Moments())
    with pytest.raises(ValueError, match="nothing to divide by"):
        contrast("ratio", full, Moments.of([1.0, 0.0]))


def test_nothing_is_told_where_nothing_varies() -> None:
    assert contrast("mean", Moments.of([1.0, 1.0]), Moments.of([2.0, 2.0])).z == 0.0
    assert contrast("proportion", Moments(50), Moments(50)).z == 0.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_a_ratio_of_counts_of_one_is_a_mean(seed: int) -> None:
    generator = random.Random(seed)
    values = [generator.gauss(3, 1) for _ in range(60)]
    ratio, mean = Moments.of(values, [1.0] * 60), Moments.of(values)
    assert estimate("ratio", ratio).error == pytest.approx(estimate("mean", mean).error, rel=1e-9)


def test_a_covariate_takes_out_what_it_explains() -> None:
    generator = random.Random(5)
    arms = [Moments.of(*sample(generator, 3000, lift)) for lift in (0.0, 0.1)]
    kinds: tuple[Kind, ...] = ("mean", "ratio")
    for kind in kinds:
        plain, adjusted = contrast(kind, *arms), contrast(kind, *arms, cuped=True)
        assert adjusted.error < 0.9 * plain.error
        assert adjusted.error / plain.error == pytest.approx(math.sqrt(1 - explained(kind, *arms)))
        assert adjusted.difference == pytest.approx(plain.difference, abs=2 * plain.error)
    constant = [Moments.of([1.0, 2.0, 3.0], covariates=[7.0] * 3), Moments.of([2.0, 2.0, 4.0], covariates=[7.0] * 3)]
    assert contrast("mean", *constant, cuped=True).difference == pytest.approx(contrast("mean", *constant).difference)


def test_wilson_reference() -> None:
    """Newcombe 1998, table I: 81 of 263 and 0 of 20."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
