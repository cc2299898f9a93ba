"""Devices that may be taken away: the best interval, what is useful of the time, and what it costs."""

from __future__ import annotations

import math
import random

import pytest

from mlctl.estimate.spot import TYPICAL, Spot, daly, expected, interval, save_every, useful
from mlctl.types.estimate import Range

HOUR = 3600.0
STEADY = Spot(Range.exactly(10.4 * HOUR), Range.exactly(0.9))


def simulated(checkpoint: float, between: float, mean_up: float, restart: float, work: float, seed: int) -> float:
    """The useful share of a simulated run: interruptions come at random, and each takes a restart and what was not saved."""
    draw = random.Random(seed)
    spent, done = 0.0, 0.0
    left = draw.expovariate(1 / mean_up)
    restarting = 0.0
    while done < work:
        step = restarting + between + checkpoint
        if left < step:
            spent, left, restarting = spent + left, draw.expovariate(1 / mean_up), restart
            continue
        spent, left, done, restarting = spent + step, left - step, done + between, 0.0
    return done / spent


def test_the_useful_share_of_a_real_trace_is_foretold_within_a_point() -> None:
    # us-west-2b, V100 at AWS: interrupted every 10.4 hours in the mean; checkpoints of 60 s, restarts of 300 s; replayed: 0.944
    best = interval(60, 10.4 * HOUR)
    assert best == pytest.approx(2120, abs=1)
    assert useful(60, best, 10.4 * HOUR, 300) == pytest.approx(0.944, abs=0.01)
    first_order = 1 - 60 / (best + 60) - (best / 2 + 300) / (10.4 * HOUR)
    assert first_order == pytest.approx(0.936, abs=0.001)
    assert useful(60, best, 10.4 * HOUR, 300) == pytest.approx(first_order, abs=0.002)


@pytest.mark.parametrize("hours", [0.7, 2.7, 10.4])
@pytest.mark.parametrize("checkpoint", [10.0, 120.0])
def test_the_useful_share_is_that_of_a_simulation(hours: float, checkpoint: float) -> None:
    between = daly(checkpoint, hours * HOUR)
    foreseen = useful(checkpoint, between, hours * HOUR, 300)
    seen = [simulated(checkpoint, between, hours * HOUR, 300, 300 * HOUR, seed) for seed in range(5)]
    assert sum(seen) / len(seen) == pytest.approx(foreseen, abs=0.02)


@pytest.mark.parametrize("hours", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("checkpoint", [5.0, 60.0, 600.0])
def test_no_other_interval_is_more_than_a_hundredth_better(hours: float, checkpoint: float) -> None:
    mean, best = hours * HOUR, daly(checkpoint, hours * HOUR)
    share = useful(checkpoint, best, mean, 300)
    others = [useful(checkpoint, best * math.exp(step / 20), mean, 300) for step in range(-60, 61)]
    assert share >= max(others) - 0.01


def test_a_checkpoint_that_takes_longer_than_devices_last_is_made_once_in_their_time() -> None:
    assert daly(500, 100) == 100
    assert useful(1e6, 100, 100, 300) == 0.0
    for wrong in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(ValueError, match="not more than 0"):
            interval(*wrong)


def test_what_is_done_twice_costs_and_waiting_only_takes_time() -> None:
    found = expected(Range.exactly(10 * HOUR), Range.exactly(2.0), checkpoint_seconds=60, spot=STEADY)
    share = useful(60, found.interval, 10.4 * HOUR, 300)
    assert found.useful.mid == pytest.approx(share)
    assert found.cost.mid == pytest.approx(20 / share)
    assert found.elapsed.mid == pytest.approx(10 * HOUR / share / 0.9)
    assert found.cost.low <= found.cost.mid <= found.cost.high


def test_machines_that_work_together_are_stopped_by_any_of_them() -> None:
    alone, eight = (
        expected(Range.exactly(100 * HOUR), Range.exactly(2.0), checkpoint_seconds=60, spot=STEADY, nodes=count)
        for count in (1, 8)
    )
    assert eight.useful.mid < alone.useful.mid
    assert eight.interval == pytest.approx(daly(60, 10.4 * HOUR / 8))
    given = expected(Range.exactly(100 * HOUR), Range.exactly(2.0), checkpoint_seconds=60, spot=STEADY, every=6 * HOUR)
    assert given.interval == 6 * HOUR
    assert given.cost.mid > alone.cost.mid
    with pytest.raises(ValueError, match="at least one machine"):
        expected(Range.exactly(1.0), Range.exactly(1.0), checkpoint_seconds=1, nodes=0)


def test_what_is_typical_is_wide_and_says_where_it_comes_from() -> None:
    assert (TYPICAL.mean_up.low / HOUR, TYPICAL.mean_up.high / HOUR) == (0.7, 10.4)
    assert (TYPICAL.availability.low, TYPICAL.availability.high) == (0.17, 0.90)
    found = expected(Range.exactly(10 * HOUR), Range.exactly(2.0), checkpoint_seconds=60)
    assert "17 public traces" in found.useful.basis
    assert found.elapsed.high > 3 * found.elapsed.low  # availability decides
    with pytest.raises(ValueError, match="availability"):
        Spot(availability=Range.exactly(1.2))


@pytest.mark.parametrize(
    ("now", "seconds", "every"),
    [
        ("1 epochs", 1200.0, "20 minutes"),
        ("500 steps", 9e9, "60 minutes"),
        ("30 minutes", 1200.0, "20 minutes"),
        ("10 minutes", 1200.0, None),
        ("90 minutes", 9000.0, "60 minutes"),
        ("1 minutes", 3.0, None),
    ],
)
def test_checkpoints_lie_as_far_apart_as_loses_least_and_an_hour_at_most(
    now: str, seconds: float, every: str | None
) -> None:
    assert save_every(now, seconds) == every
