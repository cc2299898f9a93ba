"""Bounds against published values, what they promise by simulation, and that no alpha is spent twice."""

import json
import math
import random

import pytest

from mlctl.stats.sequential import Look, Sequential, critical_values, obrien_fleming, pocock, spent, tail


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        (obrien_fleming, [4.8769, 3.3570, 2.6803, 2.2898, 2.0310]),
        (pocock, [2.4380, 2.4268, 2.4102, 2.3966, 2.3860]),
    ],
)
def test_bounds_of_five_looks_are_those_of_ldbounds(spending: object, published: list[float]) -> None:
    """Lan and DeMets 1983, 2.5 % on one side, five looks at equal distances."""
    looks = tuple(Look(float(number), spending(0.025, number / 5)) for number in range(1, 6))  # type: ignore[operator]
    assert critical_values(looks) == pytest.approx(published, abs=1.5e-4)


def test_a_single_look_is_the_plain_test() -> None:
    assert critical_values((Look(100.0, 0.01),)) == [pytest.approx(2.326348, abs=1e-6)]


def test_alpha_is_never_all_spent() -> None:
    given = [spent(0.01, number, 700) for number in (0, 1, 100, 700, 10_000, 10**9)]
    assert given == sorted(given)
    assert given[0] == 0
    assert given[3] == pytest.approx(0.005)
    assert given[-1] < 0.01


def walk(test: Sequential, source: random.Random, drift: float, most: int = 20_000) -> bool:
    """Looks at a random walk whose z is standard normal without drift."""
    total, done, now = 0.0, 0, 10
    while now < most:
        total += (now - done) * drift + math.sqrt(now - done) * source.gauss(0, 1)
        done = now
        if test.look(total / math.sqrt(now), now, now):
            return True
        now = math.ceil(now * 1.25)
    return False


def test_all_looks_together_keep_alpha_and_a_drift_is_found() -> None:
    source = random.Random(3)
    wrong = sum(walk(Sequential(0.05, 700), source, 0.0) for _ in range(1500))
    assert 0.03 < wrong / 1500 < 0.065  # a normal approximation of 5 % has an error of 0.6 points here
    assert sum(walk(Sequential(0.05, 700), source, 0.1) for _ in range(100)) == 100


def test_a_test_that_is_remembered_goes_on_as_if_it_had_not_stopped() -> None:
    through, stopped = Sequential(0.01, 500), Sequential(0.01, 500)
    for number in (20, 40, 45, 100, 300, 301, 900):
        through.look(1.0, number, number)
        stopped.look(1.0, number, number)
        stopped = Sequential.remembered(0.01, 500, json.loads(json.dumps(stopped.memory())))
    assert stopped == through
    assert stopped.critical == through.critical
    assert len(through.looks) == 5  # too little was new at 45 and at 301


def test_looking_again_without_news_spends_nothing() -> None:
    test = Sequential(0.01, 500)
    test.look(1.0, 100, 100)
    before = test.memory()
    assert not test.look(9.0, 100, 100)
    assert not test.look(9.0, 60, 60)
    assert not test.look(math.nan, 900, 900)
    assert test.memory() == before


def test_what_was_shown_stays_shown() -> None:
    test = Sequential(0.01, 500)
    assert test.look(9.0, 100, 100)
    assert test.look(-9.0, 10_000, 10_000)
    assert test.p_value is not None
    assert test.p_value < 1e-12


def test_the_p_value_of_a_crossing_is_alpha_spent_before_and_the_tail() -> None:
    test = Sequential(0.01, 500)
    test.look(3.0, 1e6, 1e6)
    assert test.p_value == pytest.approx(tail(3.0), rel=1e-9)
