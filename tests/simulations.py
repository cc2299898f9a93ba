"""Rollouts and bandits played through with numbers drawn from a seed: by tests, and at length by scripts/bench/serving_statistics.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mlctl.rollout.evidence import BOUNDS, Counts, Histogram
from mlctl.rollout.judge import Judge
from mlctl.rollout.verdict import Says, Verdict
from mlctl.stats.bandit import ArmRewards, shares
from mlctl.types.jobs.rollout import GateRule, MetricRule

Generator = np.random.Generator


@dataclass(frozen=True)
class Version:
    """How a version behaves: its share of errors, and times that are log-normal around a median."""

    errors: float = 0.0
    median: float = 0.02
    spread: float = 0.5


@dataclass(frozen=True)
class Ended:
    """How a step ended: what the gate said, and how many requests the candidate had by then."""

    says: Says
    requests: int
    why: str = ""


def error_gate(margin: float = 0.002, min_requests: int = 500, alpha: float = 0.01) -> GateRule:
    """The gate of the drill."""
    rule = MetricRule(name="error_rate", margin=margin)
    return GateRule(metrics=[rule], min_requests=min_requests, alpha=alpha)


def step(
    rule: GateRule, candidate: Version, baseline: Version, generator: Generator, *,
    weight: float = 0.1, most: int = 5000, every: int = 20, times: bool = False,
) -> Ended:  # fmt: skip
    """One step of a canary, until its gate is sure or the candidate has had so many requests; a look each `every` of them."""
    judge = Judge(rule)
    verdict: Verdict | None = None
    for number, (one, other) in enumerate(traffic(candidate, baseline, generator, weight, every, times), start=1):
        verdict = judge.look(one, other, 10.0 * number)
        if verdict.says is not Says.INCONCLUSIVE or one.requests >= most:
            return Ended(verdict.says, one.requests, verdict.why)
    raise AssertionError("traffic has no end")


def traffic(
    candidate: Version, baseline: Version, generator: Generator, weight: float, every: int, times: bool
) -> Iterator[tuple[Counts, Counts]]:
    """What both sides have counted by each look, without end. `times` come in waves that both sides share."""
    others = max(1, round(every * (1 - weight) / weight))
    sides = (_Side(candidate, every), _Side(baseline, others))
    while True:
        wave = float(np.exp(0.1 * generator.standard_normal())) if times else 0.0
        yield sides[0].more(generator, wave), sides[1].more(generator, wave)


class _Side:
    def __init__(self, version: Version, every: int) -> None:
        self.version, self.every = version, every
        self.requests = self.errors = 0
        self.counts, self.total = np.zeros(len(BOUNDS) + 1, dtype=int), 0.0

    def more(self, generator: Generator, wave: float) -> Counts:
        self.requests += self.every
        self.errors += int(generator.binomial(self.every, self.version.errors))
        if wave:
            noise = np.exp(self.version.spread * generator.standard_normal(self.every))
            seconds = self.version.median * wave * noise
            self.counts += np.bincount(np.searchsorted(BOUNDS, seconds), minlength=len(BOUNDS) + 1)
            self.total += float(seconds.sum())
        times = Histogram(tuple(self.counts.tolist()), self.total) if wave else Histogram()
        return Counts(self.requests, self.errors, times)


def threshold_rule(candidate: Version, generator: Generator, samples: int = 12, size: int = 100) -> bool:
    """A rule with a fixed number, as other tools have it: abort when more than 3 of 12 samples are below 95 % good answers."""
    bad = generator.binomial(size, candidate.errors, samples)
    return int(np.sum(bad / size > 0.05)) > 3


@dataclass(frozen=True)
class Played:
    """One bandit: what it lost against always playing the best arm, by pull, and what it knows of its arms in the end."""

    regret: np.ndarray
    arms: Mapping[str, ArmRewards]


def bandit(
    rates: Mapping[str, float],
    generator: Generator,
    *,
    pulls: int,
    batch: int,
    floor: float,
    min_rewards: int = 40,
    draws: int = 400,
) -> Played:
    """Thompson sampling in batches over arms that pay 1 with these chances; uniform with the batch as large as all pulls."""
    names, best = list(rates), max(rates.values())
    arms = dict.fromkeys(names, ArmRewards())
    share = dict.fromkeys(names, 1 / len(names))
    lost, total = [], 0.0
    for done in range(0, pulls, batch):
        chosen = generator.choice(len(names), size=min(batch, pulls - done), p=[share[name] for name in names])
        for place in chosen:
            name = names[place]
            arms[name] = arms[name].plus(float(generator.random() < rates[name]), share[name])
            total += best - rates[name]
            lost.append(total)
        share = shares(arms, "binary", floor=floor, min_rewards=min_rewards, seed=1, draws=draws) or share
    return Played(np.array(lost), arms)
