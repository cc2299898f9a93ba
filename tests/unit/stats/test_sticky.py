"""Ranges that move no unit without need."""

from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.stats.assignment import Arm, choose, ranges
from mlctl.stats.sticky import Piece, anchored

GRID = [index / 500 for index in range(500)]
Ranges = Mapping[str, Sequence[Piece]]


def arms(found: Ranges) -> list[str | None]:
    """The arm of each of 500 bucket values; no value lies in two."""
    pieces = [Arm(name, *piece) for name, pieces in found.items() for piece in pieces]
    assert all(sum(arm.start <= value < arm.end for arm in pieces) <= 1 for value in GRID)
    return [choose(value, pieces) for value in GRID]


def test_without_a_past_they_are_the_plain_ones() -> None:
    weights = {"control": 8.0, "a": 1.0, "b": 1.0}
    assert anchored({}, weights, 0.5) == {arm.name: ((arm.start, arm.end),) for arm in ranges(weights, 0.5)}


def test_more_coverage_moves_nobody_and_ends_where_it_would_have_begun() -> None:
    half = anchored({}, {"control": 1, "new": 1}, 0.5)
    whole = anchored(half, {"control": 1, "new": 1}, 1.0)
    assert whole == {"control": ((0.0, 0.5),), "new": ((0.5, 1.0),)}
    assert all(now == before for before, now in zip(arms(half), arms(whole), strict=True) if before)


def test_two_arms_at_full_coverage_change_as_a_gateway_that_knows_weights_alone() -> None:
    whole = anchored({}, {"control": 1, "new": 1})
    for new in (1.0, 2.0, 5.0, 20.0):
        weights = {"control": 10.0, "new": new}
        whole = anchored(whole, weights)
        plain = {arm.name: [(arm.start, arm.end)] for arm in ranges(weights)}
        assert arms(whole) == arms(plain)


def test_an_arm_that_grows_takes_units_that_were_in_none_first() -> None:
    half = anchored({}, {"control": 1, "new": 1}, 0.5)
    more = anchored(half, {"control": 1, "new": 3}, 0.6)
    moved = [(before, now) for before, now in zip(arms(half), arms(more), strict=True) if before and now != before]
    assert {now for _, now in moved} == {None}  # control gives up a tenth of all, and nobody changes sides
    assert len(moved) == 50


def test_a_new_arm_takes_no_more_than_the_others_must_give() -> None:
    before = anchored({}, {"control": 1, "a": 1})
    after = anchored(before, {"control": 1, "a": 1, "b": 1})
    changed = sum(now != was for was, now in zip(arms(before), arms(after), strict=True))
    assert changed in range(165, 169)
    gone = anchored(after, {"control": 1, "b": 1})
    assert all(now == was for was, now in zip(arms(after), arms(gone), strict=True) if was != "a")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.sampled_from([0.2, 0.5, 0.9, 1.0])),
        min_size=2,
        max_size=5,
    )
)
def test_whatever_changes_shares_are_right_and_only_those_move_who_must(history: list[tuple[list[int], float]]) -> None:
    before: Ranges = {}
    for weights, coverage in history:
        wanted = dict(zip(("control", "a", "b"), map(float, weights), strict=True))
        now = anchored(before, wanted, coverage)
        sizes = {name: sum(end - start for start, end in pieces) for name, pieces in now.items()}
        had = {name: sum(end - start for start, end in before.get(name, ())) for name in wanted}
        for name, weight in wanted.items():
            assert abs(sizes[name] - coverage * weight / sum(weights)) < 1e-9
            kept = sum(was == is_now == name for was, is_now in zip(arms(before), arms(now), strict=True))
            # an arm keeps all it had, or all it may have
            assert abs(kept / 500 - min(had[name], sizes[name])) < 0.02
        before = now
