"""What a bandit's rewards ask for: the shares of its arms, and what is known of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.stats.bandit import ArmRewards, shares, weighted_mean
from mlctl.types.jobs.rollout import Bandit

Sums = Mapping[tuple[str, str], ArmRewards]  # by arm and version, of `Rewards.sums`


def decide(rule: Bandit, versions: Mapping[str, str], sums: Sums) -> dict[str, float] | None:
    """The shares that the rewards of the versions in force ask for; None to leave them, since an arm has too few rewards."""
    arms = _arms(rule, versions, sums)
    return shares(arms, rule.reward, floor=rule.floor, min_rewards=rule.min_rewards, seed=rule.seed)


def summary(rule: Bandit, versions: Mapping[str, str], sums: Sums) -> dict[str, dict[str, Any]]:
    """For people: of each arm the number of rewards, their mean, and the mean by propensities with its error."""
    arms = _arms(rule, versions, sums)
    total = sum(arm.number for arm in arms.values())
    found = {}
    for name, arm in arms.items():
        estimate = weighted_mean(arm, total)
        found[name] = {
            "rewards": arm.number,
            "mean": arm.mean,
            "weighted_mean": None if estimate is None else estimate.mean,
            "weighted_error": None if estimate is None else estimate.error,
            "missing": max(0, rule.min_rewards - arm.number),
        }
    return found


def _arms(rule: Bandit, versions: Mapping[str, str], sums: Sums) -> dict[str, ArmRewards]:
    return {name: sums.get((name, versions.get(name, "")), ArmRewards()) for name in rule.arms}
