from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from mlctl.rollout.routes import TOTAL
from mlctl.rollout.strategies import by_probabilities, by_weights, mirror_at, share_of, weight_at, without
from mlctl.stats.assignment import BUCKETS, choose, ranges
from mlctl.types.jobs.rollout import Step

weights = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.floats(1e-3, 1e6), min_size=1, max_size=8)


@given(weights)
def test_arms_split_the_buckets_as_the_experiments_assignment_does(given: dict[str, float]) -> None:
    shares, arms = by_weights(given), ranges(given)
    assert sum(shares.values()) == TOTAL == BUCKETS
    borders = [0, *accumulate(shares.values())]
    edges = {near for border in borders for near in (border - 1, border, border + 1) if 0 <= near < BUCKETS}
    for bucket in edges:
        routed = next(name for name, end in zip(shares, borders[1:], strict=True) if bucket < end)
        expected = choose(bucket / BUCKETS, arms)
        assert routed == (expected if expected is not None else list(shares)[-1])


@given(weights)
def test_probabilities_become_the_nearest_shares(given: dict[str, float]) -> None:
    shares, total = by_probabilities(given), sum(given.values())
    assert sum(shares.values()) == TOTAL
    assert all(abs(shares[name] - value / total * TOTAL) < 1 for name, value in given.items())


@given(weights, st.data())
def test_when_an_arm_is_away_the_units_of_those_that_are_there_stay(
    given: dict[str, float], data: st.DataObject
) -> None:
    shares = by_weights(given)
    away = data.draw(st.sets(st.sampled_from(list(shares)), max_size=len(shares)))
    found = without(shares, away)
    assert sum(found.values()) == TOTAL
    there = [name for name in shares if name not in away and shares[name]]
    if not there:
        return
    assert all(found[name] == 0 for name in away)
    before, after = _places(shares), _places(found)
    assert all(set(range(*before[name])) <= set(range(*after[name])) for name in there)


def _places(shares: dict[str, int]) -> dict[str, tuple[int, int]]:
    ends = list(accumulate(shares.values()))
    return {name: (end - share, end) for (name, share), end in zip(shares.items(), ends, strict=True)}


def test_weights_and_copies_hold_until_they_are_set_anew() -> None:
    steps = [Step(mirror=50), Step(pause_seconds=1), Step(weight=10, mirror=0), Step(gate="g"), Step(weight=50)]
    assert [weight_at(steps, number) for number in range(5)] == [0, 0, 10, 10, 50]
    assert [mirror_at(steps, number) for number in range(5)] == [50, 50, 0, 0, 0]
    assert (share_of(0.01), share_of(33.33), share_of(100)) == (1, 3333, TOTAL)
