"""What is lost by comparing with 1,001 frozen quantiles rather than with all rows: little, and on the safe side where it counts."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.stats import drift
from mlctl.stats.sketch import as_single, classes, single, sketch, spread

Draw = Callable[[np.random.Generator, int], np.ndarray]
DRAWS: dict[str, Draw] = {
    "normal": lambda random, n: random.normal(size=n),
    "lognormal": lambda random, n: random.lognormal(0, 1.5, n),
    "counts": lambda random, n: random.poisson(3.0, n).astype(float),
    "mostly zero": lambda random, n: random.lognormal(0, 1, n) * (random.random(n) < 0.1),
    "cents": lambda random, n: np.round(random.gamma(2, 10, n), 2),
}
_MOVED = (0.0, 0.05, 0.2)


@pytest.mark.parametrize("rows", [200, 20_000])
@pytest.mark.parametrize("draw", DRAWS)
def test_p_values_and_effects_are_those_of_all_rows(draw: str, rows: int) -> None:
    """D is at most 0.001 smaller, never larger; the distance within 0.002 standard deviations; orders of p alike."""
    random = np.random.default_rng(1)
    reference = DRAWS[draw](random, 12_000)
    frozen = sketch(reference)
    for moved in _MOVED:
        current = DRAWS[draw](random, rows) + moved * reference.std()
        all_rows, points = drift.ks(reference, current), drift.ks(frozen, current)
        assert all_rows.effect - 0.00101 <= points.effect <= all_rows.effect + 1e-12
        assert points.p_value >= all_rows.p_value * (1 - 1e-9)
        assert np.log10(max(points.p_value, 1e-300)) <= np.log10(max(all_rows.p_value, 1e-300)) * 0.9 + 0.15
        assert points.reference_rows == 12_000
        exact, coarse = drift.wasserstein(reference, current), drift.wasserstein(frozen, current)
        assert coarse.effect == pytest.approx(exact.effect, abs=0.002)
        assert np.log10(max(coarse.p_value, 1e-30)) == pytest.approx(
            np.log10(max(exact.p_value, 1e-30)), rel=0.2, abs=0.15
        )


@pytest.mark.parametrize("draw", ["normal", "lognormal", "mostly zero"])
def test_a_sketch_of_many_rows_raises_no_false_alarms_in_many(draw: str) -> None:
    """A hundred thousand rows on both sides, where a sketch that were read as rows would itself be the difference."""
    random = np.random.default_rng(2)
    low = {"ks": 0, "wasserstein": 0}
    for _ in range(20):
        frozen, current = sketch(DRAWS[draw](random, 100_000)), DRAWS[draw](random, 100_000)
        low["ks"] += drift.ks(frozen, current).p_value < 0.05
        low["wasserstein"] += drift.wasserstein(frozen, current).p_value < 0.05
    assert max(low.values()) <= 4  # 5 % of 20 is one; more than four has a chance of 0.3 %


@given(st.lists(st.sampled_from([-1e300, -3.5, 0.0, 0.1, 1.0, 2.0, 2.99, 1e9, 1e300]), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_ranks_are_those_of_the_numbers(numbers: list[float]) -> None:
    made = sketch(numbers, 5)
    assert made.rows == len(numbers)
    assert made.values == sorted(set(made.values))
    for value, below, upto in zip(made.values, made.below, made.upto, strict=True):
        assert below == sum(item < value for item in numbers)
        assert upto == sum(item <= value for item in numbers)
    borders, counts = classes(made)
    assert sum(counts) == len(numbers)
    assert counts == drift.counts(np.array(numbers), borders, 0)[:-1]
    coarse = single(made)
    assert coarse.rows == len(numbers)
    assert coarse.values == sorted({as_single(value) for value in made.values})


def test_classes_are_those_of_the_rows() -> None:
    numbers = np.random.default_rng(3).normal(size=12_345)
    assert classes(sketch(numbers)) == classes(sketch(numbers, len(numbers)))


def test_what_is_drawn_is_spread_like_the_reference() -> None:
    numbers = np.random.default_rng(4).lognormal(size=20_000)
    found = np.array(spread(sketch(numbers), 2000))
    assert drift.ks(numbers, found).effect < 0.002
    assert found.mean() == pytest.approx(numbers.mean(), rel=0.01)
