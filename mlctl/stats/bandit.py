"""Shares of a multi-armed bandit: Thompson sampling in batches, with a floor, and what the arms are worth by what was logged.

Thompson (1933) gives an arm the chance that it is the best one, given the rewards so far. In batches, all requests until the
next update get the same shares, which are the propensities that estimates need later. Reference figures for regret:
tests/unit/stats/test_bandit.py. Plain Python: an update of a few arms takes some ten milliseconds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

DRAWS = 4000  # of each arm at an update: a share is right to one point
Kind = Literal["binary", "mean"]


@dataclass(frozen=True, slots=True)
class ArmRewards:
    """What came back of an arm: number, sum and sum of squares; and the same weighted by one over the propensity."""

    number: int = 0
    total: float = 0.0
    squares: float = 0.0
    inverse: float = 0.0  # sum of 1/p
    weighted: float = 0.0  # sum of reward/p
    weighted_squares: float = 0.0  # sum of (reward/p)^2

    def plus(self, reward: float, propensity: float) -> ArmRewards:
        """With one more reward, of a request that went to this arm with that propensity."""
        worth = reward / propensity
        return ArmRewards(
            self.number + 1,
            self.total + reward,
            self.squares + reward * reward,
            self.inverse + 1 / propensity,
            self.weighted + worth,
            self.weighted_squares + worth * worth,
        )

    @property
    def mean(self) -> float | None:
        """The plain mean. An arm is given less when it did badly by chance, so this is too low on average (Nie et al. 2018)."""
        return self.total / self.number if self.number else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its standard error."""

    mean: float
    error: float


def weighted_mean(arm: ArmRewards, rewards: int) -> Estimate | None:
    """What the arm would have brought on average, had all `rewards` of all arms been its own: without bias, whatever the shares.

    Source: Horvitz and Thompson 1952. Its variance grows as shares shrink, which is what the floor is for.
    """
    if not rewards or not arm.number:
        return None
    mean = arm.weighted / rewards
    variance = max(arm.weighted_squares / rewards - mean * mean, 0.0) / rewards
    return Estimate(mean, math.sqrt(variance))


def chances(arms: Mapping[str, ArmRewards], kind: Kind, seed: int, draws: int = DRAWS) -> dict[str, float]:
    """The chance of each arm to be the best one, by draws from what is believed of their means. The same in every process.

    Rewards of 0 and 1: Beta(1 + ones, 1 + zeros). Others: Student's t around the mean, as a flat prior gives it; an arm with
    fewer than two rewards is as likely the best as any.
    """
    numbers = [arm.number for arm in arms.values()]
    source = random.Random(f"{seed} {numbers} {[round(arm.total, 9) for arm in arms.values()]}")  # noqa: S311
    if kind == "mean" and any(number < 2 for number in numbers):
        return dict.fromkeys(arms, 1 / len(arms))
    believed = [_beta(arm, source) if kind == "binary" else _student(arm, source) for arm in arms.values()]
    wins = [0] * len(believed)
    for _ in range(draws):
        drawn = [draw() for draw in believed]
        wins[max(range(len(drawn)), key=drawn.__getitem__)] += 1
    return {name: count / draws for name, count in zip(arms, wins, strict=True)}


def floored(chance: Mapping[str, float], floor: float) -> dict[str, float]:
    """Shares of which none is below the floor: p = floor + (1 - k floor) w. Raises ValueError when k arms have no room for it."""
    room = 1 - len(chance) * floor
    if floor < 0 or room < 0:
        raise ValueError(f"{len(chance)} arms cannot have {floor:g} each")
    return {name: floor + room * share for name, share in chance.items()}


def shares(
    arms: Mapping[str, ArmRewards], kind: Kind, *, floor: float, min_rewards: int, seed: int, draws: int = DRAWS
) -> dict[str, float] | None:
    """The shares that the rewards so far ask for; None while an arm has too few, and the shares are to stay as they began."""
    if any(arm.number < min_rewards for arm in arms.values()):
        return None
    return floored(chances(arms, kind, seed, draws), floor)


def _beta(arm: ArmRewards, source: random.Random) -> Callable[[], float]:
    ones = min(max(arm.total, 0.0), arm.number)
    return lambda: source.betavariate(1 + ones, 1 + arm.number - ones)


def _student(arm: ArmRewards, source: random.Random) -> Callable[[], float]:
    mean, freedom = arm.total / arm.number, arm.number - 1
    deviations = max(arm.squares - arm.number * mean * mean, 0.0)
    # the least deviation keeps an arm whose rewards were all alike from being sure of it
    scale = math.sqrt(max(deviations, 1e-12 * max(1.0, mean * mean)) / freedom / arm.number)
    return lambda: mean + scale * source.gauss(0, 1) / math.sqrt(source.gammavariate(freedom / 2, 2 / freedom))
