"""Assignment: the published hash to the digit, uniform, stable, independent of other experiments."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.stats.assignment import (
    Arm,
    assign,
    bucket,
    bucket_v1,
    choose,
    fnv1a,
    in_range,
    namespace_bucket,
    ranges,
    unit_hash,
)

TEN_THOUSAND = [str(unit) for unit in range(10_000)]


@pytest.mark.parametrize(
    ("salt", "unit", "value"),
    [
        # GrowthBook SDK test cases (cases.json, "hash", version 2)
        ("seed", "a", 0.0505),
        ("seed", "b", 0.2696),
        ("foo", "ab", 0.2575),
        ("foo", "def", 0.2019),
        ("89123klj", "8952klfjas09ujkasdf", 0.124),
        ("()**(%$##$%#$#", '___)((*":&', 0.0128),
        ("90850943850283058242805", "123", 0.7516),
        # the same function in JavaScript (charCodeAt) on text that is not ASCII, which those cases lack: UTF-8 gives others
        ("salt", "Zoë", 0.3722),
        ("salt", "日本", 0.2083),
        ("salt", "😀", 0.7735),
    ],
)
def test_published_vectors(salt: str, unit: str, value: float) -> None:
    assert bucket(unit, salt) == value


@pytest.mark.parametrize(
    ("salt", "unit", "value"),
    [
        # the same list, version 1; there the unit comes first, so that the salt is at the end
        ("", "a", 0.22),
        ("", "b", 0.077),
        ("b", "a", 0.946),
        ("ef", "d", 0.652),
        ("asdf", "8952klfjas09ujk", 0.549),
        ("", "123", 0.011),
        ("", '___)((*":&', 0.563),
    ],
)
def test_published_vectors_of_version_1(salt: str, unit: str, value: float) -> None:
    assert bucket_v1(unit, salt) == value


@pytest.mark.parametrize(
    ("unit", "namespace", "upper"),
    [
        ("1", "namespace1", True),
        ("1", "namespace2", True),
        ("2", "namespace1", True),
        ("2", "namespace2", True),
        ("3", "namespace1", True),
        ("3", "namespace2", False),
        ("4", "namespace1", True),
        ("4", "namespace2", False),
    ],
)
def test_published_namespaces(unit: str, namespace: str, upper: bool) -> None:
    """`inNamespace` of cases.json: four users, two namespaces, each cut at 0.4 into two."""
    place = namespace_bucket(unit, namespace)
    assert in_range(place, 0.4, 1) is upper
    assert in_range(place, 0, 0.4) is not upper


@pytest.mark.parametrize(
    ("weights", "coverage", "published"),
    [
        ([1, 1], 1, [(0, 0.5), (0.5, 1)]),
        ([1, 1], 0.5, [(0, 0.25), (0.5, 0.75)]),
        ([1, 1], 0, [(0, 0), (0.5, 0.5)]),
        ([1, 1, 1, 1], 1, [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]),
        ([0.4, 0.6], 1, [(0, 0.4), (0.4, 1)]),
        ([0.2, 0.3, 0.5], 1, [(0, 0.2), (0.2, 0.5), (0.5, 1)]),
        ([0.2, 0.3, 0.5], 0.2, [(0, 0.04), (0.2, 0.26), (0.5, 0.6)]),
    ],
)
def test_published_ranges(weights: list[float], coverage: float, published: list[tuple[float, float]]) -> None:
    """`getBucketRange`. The other cases are of input that a spec cannot hold: weights that do not add up, coverage out of range."""
    found = ranges({str(index): weight for index, weight in enumerate(weights)}, coverage)
    assert [edge for arm in found for edge in (arm.start, arm.end)] == pytest.approx(
        [edge for pair in published for edge in pair]
    )


@pytest.mark.parametrize(
    ("value", "pieces", "published"),
    [
        (0.2, [(0, 0.5), (0.5, 1)], 0),
        (0.4, [(0, 0.5), (0.5, 1)], 0),
        (0.6, [(0, 0.5), (0.5, 1)], 1),
        (0.8, [(0, 0.5), (0.5, 1)], 1),
        (0, [(0, 0.5), (0.5, 1)], 0),
        (0.5, [(0, 0.5), (0.5, 1)], 1),
        (0.2, [(0, 0.25), (0.5, 0.75)], 0),
        (0.4, [(0, 0.25), (0.5, 0.75)], None),
        (0.6, [(0, 0.25), (0.5, 0.75)], 1),
        (0.8, [(0, 0.25), (0.5, 0.75)], None),
        (0.25, [(0, 0.25), (0.5, 0.75)], None),
        (0.5, [(0, 0.25), (0.5, 0.75)], 1),
        (0.5, [(0, 0.5), (0.5, 0.5), (0.5, 1)], 2),
    ],
)
def test_published_choices(value: float, pieces: list[tuple[float, float]], published: int | None) -> None:
    """All 13 of `chooseVariation`."""
    found = choose(value, [Arm(str(index), *piece) for index, piece in enumerate(pieces)])
    assert found == (None if published is None else str(published))


def test_what_stands_for_a_unit_in_logs() -> None:
    """BLAKE2b of the text as UTF-8, 8 bytes: `b2sum -l 64` gives the same."""
    assert unit_hash("user-42") == "6fa0ca4d7be6efa6"
    assert len({unit_hash(str(unit)) for unit in range(20_000)}) == 20_000
    assert unit_hash("\ud83d") != unit_hash("\ud83e")  # half a character is an id like any other


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
