"""What devices cost that may be taken away at any time: how often to save, what share of the hours is useful, and what that costs.

The interval between checkpoints after Young (1974) and Daly (2006), the useful share after Daly's complete model, in which
interruptions come at random with a mean time between them and each costs a restart and half of what was done since the last
checkpoint. Of n machines that work together one interruption stops all, so that the mean time is n times shorter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlctl.estimate.money import HOUR, cost
from mlctl.types.estimate import Range

# From 17 traces of V100 at AWS of 2022 and 2023, the newest that are public: their means lie between 0.7 and 10.4 hours, the
# availability between 0.17 and 0.90. The likely figures are the middles, the first by ratio. Newer devices may differ much.
SOURCE = "17 public traces of V100 at AWS, 2022 and 2023"
_MEAN_UP = Range(0.7 * HOUR, 2.7 * HOUR, 10.4 * HOUR, SOURCE)
_AVAILABILITY = Range(0.17, 0.53, 0.90, SOURCE)
# Until a replacement works on: the machine starts, the program loads its libraries and the last checkpoint.
RESTART = Range(120.0, 300.0, 900.0)
_LONGEST = 60  # minutes between two checkpoints
_LEAST_USEFUL = 1e-3  # below it nothing gets done, and figures would say more than is known


@dataclass(frozen=True, slots=True)
class Spot:
    """How long one device is left to whom it was given, and for what share of the time there is one."""

    mean_up: Range = _MEAN_UP  # seconds
    availability: Range = _AVAILABILITY

    def __post_init__(self) -> None:
        if self.mean_up.low <= 0 or self.availability.low <= 0 or self.availability.high > 1:
            raise ValueError("a mean time is more than 0, and an availability more than 0 and at most 1")


TYPICAL = Spot()


@dataclass(frozen=True, slots=True)
class SpotOutlook:
    """A piece of work on devices that may be taken away."""

    cost: Range  # dollars for all devices, with what is done twice
    elapsed: Range  # seconds from the start to the end, with waiting for devices
    useful: Range  # the share of the paid time that is not saved, restarted or done twice
    interval: float  # seconds of work between checkpoints


def interval(checkpoint_seconds: float, mean_up_seconds: float) -> float:
    """Seconds of work between checkpoints that lose least, to the first order (Young 1974)."""
    _positive(checkpoint_seconds=checkpoint_seconds, mean_up_seconds=mean_up_seconds)
    return math.sqrt(2 * checkpoint_seconds * mean_up_seconds)


def daly(checkpoint_seconds: float, mean_up_seconds: float) -> float:
    """The same to a higher order, which counts where a checkpoint takes long beside the time between interruptions (Daly 2006)."""
    _positive(checkpoint_seconds=checkpoint_seconds, mean_up_seconds=mean_up_seconds)
    if checkpoint_seconds >= 2 * mean_up_seconds:
        return mean_up_seconds
    share = checkpoint_seconds / (2 * mean_up_seconds)
    return interval(checkpoint_seconds, mean_up_seconds) * (1 + math.sqrt(share) / 3 + share / 9) - checkpoint_seconds


def save_every(now: str, seconds: float) -> str | None:
    """What `checkpoint.every` has to say for checkpoints that lie so many seconds apart; None where `now` saves as often. What
    goes by steps or epochs is given a time, and that is an hour at most, however seldom devices are taken away."""
    minutes = max(1, min(_LONGEST, round(seconds / 60)))
    amount, _, unit = now.partition(" ")
    return None if unit == "minutes" and int(amount) <= minutes else f"{minutes} minutes"


def useful(checkpoint_seconds: float, interval: float, mean_up_seconds: float, restart_seconds: float) -> float:
    """The share of the time that gets work done, between 0 and 1."""
    _positive(checkpoint_seconds=checkpoint_seconds, interval=interval, mean_up_seconds=mean_up_seconds)
    if restart_seconds < 0:
        raise ValueError("restart_seconds is below 0")
    segment = (interval + checkpoint_seconds) / mean_up_seconds
    restart = restart_seconds / mean_up_seconds
    if segment + restart > 100:  # nothing is ever finished, and the exponent would leave what a float can hold
        return 0.0
    return interval / (mean_up_seconds * math.exp(restart) * math.expm1(segment))


def expected(
    seconds: Range,
    usd_per_hour: Range,
    *,
    checkpoint_seconds: float,
    spot: Spot = TYPICAL,
    restart_seconds: Range = RESTART,
    nodes: int = 1,
    every: float | None = None,
) -> SpotOutlook:
    """What so many seconds of work would take and cost. `usd_per_hour` is that of all devices; `every` are the seconds between
    checkpoints where they are given, else the best for the likely time between interruptions. All `nodes` are taken to be
    there or not together, so that the availability is that of one."""
    if nodes < 1:
        raise ValueError("at least one machine does the work")
    checkpoint = max(checkpoint_seconds, 0.01)
    up = spot.mean_up * (1 / nodes)
    between = daly(checkpoint, up.mid) if every is None else every
    # who ends before the next checkpoint is due saves once, at the end
    between = min(between, max(seconds.mid, checkpoint))
    shares = [
        max(_LEAST_USEFUL, useful(checkpoint, between, mean, restart))
        for mean, restart in (
            (up.low, restart_seconds.high),
            (up.mid, restart_seconds.mid),
            (up.high, restart_seconds.low),
        )
    ]
    share = Range(shares[0], shares[1], shares[2], spot.mean_up.basis)
    paid = Range(seconds.low / share.high, seconds.mid / share.mid, seconds.high / share.low)
    there = spot.availability
    elapsed = Range(paid.low / there.high, paid.mid / there.mid, paid.high / there.low, seconds.basis)
    return SpotOutlook(cost(paid, usd_per_hour), elapsed, share, between)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} is not more than 0")
