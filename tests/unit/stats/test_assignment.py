"""Assignment: the published hash to the digit, uniform, stable, independent of other experiments."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.stats.assignment import Arm, assign, bucket, choose, fnv1a, ranges

TEN_THOUSAND = [str(unit) for unit in range(10_000)]


@pytest.mark.parametrize(
    ("salt", "unit", "value"),
    [
        # GrowthBook SDK test cases (cases.json, "hash", version 2)
        ("seed", "a", 0.0505),
        ("seed", "b", 0.2696),
        ("foo", "ab", 0.2575),
        ("foo", "def", 0.2019),
        ("90850943850283058242805", "123", 0.7516),
        # the same function in JavaScript (charCodeAt) on text that is not ASCII, which those cases lack: UTF-8 gives others
        ("salt", "Zoë", 0.3722),
        ("salt", "日本", 0.2083),
        ("salt", "😀", 0.7735),
    ],
)
def test_published_vectors(salt: str, unit: str, value: float) -> None:
    assert bucket(unit, salt) == value


def test_fnv_reference() -> None:
    """Fowler, Noll, Vo: FNV-1a of the empty text is its offset; `a` and `foobar` from the authors' list."""
    assert fnv1a("") == 0x811C9DC5
    assert fnv1a("a") == 0xE40C292C
    assert fnv1a("foobar") == 0xBF9CF968


def test_half_and_half_is_uniform_and_independent_of_another_experiment() -> None:
    """Chi-square over 20 buckets (19 degrees of freedom, 0.1 % point 43.8) and over the four cells of two experiments (1: 10.8)."""
    values = [bucket(unit, "mail") for unit in TEN_THOUSAND]
    counts = Counter(int(value * 20) for value in values)
    assert sum((counts[index] - 500) ** 2 / 500 for index in range(20)) < 43.8
    cells = Counter(
        (value < 0.5, bucket(unit, "banner") < 0.5) for unit, value in zip(TEN_THOUSAND, values, strict=True)
    )
    rows = [sum(count for cell, count in cells.items() if cell[0] is side) for side in (True, False)]
    columns = [sum(count for cell, count in cells.items() if cell[1] is side) for side in (True, False)]
    expected = {(a, b): rows[not a] * columns[not b] / 10_000 for a in (True, False) for b in (True, False)}
    assert sum((cells[cell] - expected[cell]) ** 2 / expected[cell] for cell in expected) < 10.8


def test_assignment_is_the_same_in_another_process() -> None:
    code = "from mlctl.stats.assignment import assign; print(''.join(assign(str(u), 's', {'control': 1, 't': 1})[0] for u in range(300)))"
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    ).stdout.strip()
    assert there == "".join(str(assign(str(unit), "s", {"control": 1, "t": 1}))[0] for unit in range(300))


Weights = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 100), min_size=2)


@given(Weights)
def test_ranges_cover_everything_once(weights: dict[str, float]) -> None:
    arms = ranges(weights)
    assert arms[0].start == 0
    assert arms[-1].end == 1
    assert all(before.end == after.start for before, after in pairwise(arms))
    assert all(
        arm.end - arm.start == pytest.approx(weights[arm.name] / sum(weights.values()), abs=1e-12) for arm in arms
    )
    assert all(choose(value / 10_000, arms) is not None for value in range(0, 10_000, 37))


@settings(max_examples=50)
@given(Weights, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_more_coverage_only_adds_units(weights: dict[str, float], one: float, other: float) -> None:
    less, more = sorted((one, other))
    for unit in TEN_THOUSAND[:500]:
        before = assign(unit, "s", weights, less)
        assert before is None or assign(unit, "s", weights, more) == before


@settings(max_examples=50)
@given(st.integers(1, 99), st.integers(1, 99))
def test_new_weights_of_two_arms_move_units_in_one_direction(one: int, other: int) -> None:
    less, more = sorted((one, other))
    moves = Counter(
        (
            assign(unit, "s", {"control": less, "treatment": 100 - less}),
            assign(unit, "s", {"control": more, "treatment": 100 - more}),
        )
        for unit in TEN_THOUSAND[:1000]
    )
    assert ("control", "treatment") not in moves
    assert moves["treatment", "control"] / 1000 == pytest.approx((more - less) / 100, abs=0.06)


@given(st.text())
def test_any_text_has_a_bucket(unit: str) -> None:
    assert 0 <= bucket(unit, "s") < 1


def test_a_border_belongs_to_the_arm_that_begins_there() -> None:
    arms = (Arm("control", 0.0, 0.5), Arm("treatment", 0.5, 0.8))
    assert [choose(value, arms) for value in (0.0, 0.4999, 0.5, 0.7999, 0.8)] == [
        "control",
        "control",
        "treatment",
        "treatment",
        None,
    ]
