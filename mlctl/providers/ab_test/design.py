"""From the spec of an experiment to its figures: units, looks, duration, power, and what it could see in fewer or more weeks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

from mlctl.providers.ab_test.metrics import Denominator, Guardrail
from mlctl.providers.ab_test.spec import CONTROL, DEFAULT_LOOKS, SEQUENTIAL, ExperimentSpec
from mlctl.stats import always_valid
from mlctl.stats.experiment_verdict import Rules
from mlctl.stats.group_sequential import equal_looks, inflation
from mlctl.stats.noninferiority import Margin, share_size
from mlctl.stats.sample_size import (
    Mean,
    Proportion,
    detectable,
    explained_std,
    guardrail_power,
    noninferiority_size,
    ratio_std,
    weeks,
)

MIN_DAYS = 7
MOST_LOOKS = 60
DAY = 86400.0


@dataclass(frozen=True)
class Sizing:
    """The size of an experiment. All success metrics of all treatments share alpha; each is sized at its part of it (Holm's first step).

    `daily` is what was counted of the traffic, for a design that does not say how many units a day come by.
    """

    spec: ExperimentSpec
    daily_units: float | None = None

    @property
    def outcome(self) -> Proportion | Mean:
        """What is measured, and the effect looked for."""
        primary = self.spec.primary
        r2 = self.spec.cuped.r2 if self.spec.cuped is not None else None
        if primary.type == "proportion" and r2 is None:
            return Proportion(primary.baseline, self.spec.difference)
        std = spread(primary.type, primary.baseline, primary.std, primary.denominator)
        return Mean(self.spec.difference, explained_std(std, r2 or 0.0))

    @property
    def comparisons(self) -> int:
        """How many tests of success share alpha."""
        return (len(self.spec.arms) - 1) * len(self.spec.success)

    @property
    def alpha(self) -> float:
        """The level of one comparison."""
        return self.spec.design.alpha / self.comparisons

    @property
    def power(self) -> float:
        """The power each test needs for the whole decision to have the power asked for."""
        return guardrail_power(self.spec.design.power, len(self.spec.guardrails))

    @property
    def shares(self) -> dict[str, float]:
        """Each arm's share of the units that take part."""
        weights = self.spec.weights
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}

    @cached_property
    def units_at_once(self) -> dict[str, int]:
        """Units each arm needs when they are looked at once, at the end."""
        return self._rounded(self._total(self.power))

    @cached_property
    def units(self) -> dict[str, int]:
        """Units each arm needs, with all looks."""
        return self._rounded(self._total(self.power) * self.inflated_for_looks)

    @cached_property
    def inflation(self) -> float:
        """How many times more units there are because of the guardrails."""
        return sum(self.units_at_once.values()) / sum(self._rounded(self._total(self.spec.design.power)).values())

    @cached_property
    def looks(self) -> int | None:
        """How often is looked at most; None where the end is not planned, so that one may look at any time."""
        design = self.spec.design
        if design.sequential not in SEQUENTIAL:
            return 1 if design.sequential == "fixed" else None
        if design.every is None:
            return design.looks or DEFAULT_LOOKS
        return self._looks_by_time(design.every)

    @cached_property
    def inflated_for_looks(self) -> float:
        """How many times more units there are because one looks before the end."""
        return self._for_looks(self.looks)

    @property
    def daily(self) -> float | None:
        """New units a day that take part; None where it is not known."""
        units = self.spec.design.daily_units or self.daily_units
        if units is None:
            return None
        namespace, holdout = self.spec.namespace, self.spec.holdout
        part = 1.0 if namespace is None else namespace.range[1] - namespace.range[0]
        return units * self.spec.coverage * part * (1 - (holdout or 0.0))

    @cached_property
    def weeks(self) -> int | None:
        """Whole weeks it runs; None where the traffic is not known."""
        return None if self.daily is None else self._weeks(self.daily, sum(self.units.values()))

    @cached_property
    def exact_power(self) -> float:
        """The exact power of the primary test at the units of a single look, for the treatment that has the least."""
        control, tails = self.units_at_once[CONTROL], self.spec.design.tails
        return min(
            self.outcome.power(control, count, self.alpha, tails)
            for name, count in self.units_at_once.items()
            if name != CONTROL
        )

    def detectable(self, in_weeks: int) -> float | None:
        """The smallest effect found with the power asked for after so many weeks, in the metric's own unit; None when none is."""
        if self.daily is None:
            return None
        shares = self.shares
        control = shares[CONTROL] * in_weeks * 7 * self.daily / self.inflated_for_looks
        found = [
            detectable(self.outcome, control, self.alpha, self.power, share / shares[CONTROL], self.spec.design.tails)
            for name, share in shares.items()
            if name != CONTROL
        ]
        return None if None in found else max((item for item in found if item is not None), key=abs)

    def curve(self) -> list[tuple[int, float | None]]:
        """(weeks, smallest effect found): from one week to twice the planned time, at most a dozen points. None without traffic."""
        if self.weeks is None:
            return []
        last = max(2 * self.weeks, 4)
        step = math.ceil(last / 12)
        points = sorted({*range(step, last + 1, step), 1, self.weeks})
        return [(point, self.detectable(point)) for point in points]

    def rules(self) -> Rules:
        """What a verdict is made by."""
        return Rules(
            shares=self.shares,
            control=CONTROL,
            planned={name: self.units[CONTROL] + count for name, count in self.units.items() if name != CONTROL},
            metrics=tuple(one.metric for one in self.spec.success),
            guardrails=tuple(one.metric for one in self.spec.guardrails),
            alpha=self.spec.design.alpha,
            tails=self.spec.design.tails,
            sequential=self.spec.design.sequential,
        )

    def _total(self, power: float) -> float:
        """Units in all for a single look: enough for the most demanding comparison and guardrail."""
        shares, design = self.shares, self.spec.design
        base = shares[CONTROL]
        ratios = [share / base for name, share in shares.items() if name != CONTROL]
        sizes = [self.outcome.size(self.alpha, power, ratio, design.tails) for ratio in ratios]
        for guardrail in self.spec.guardrails:
            if guardrail.baseline is not None:
                sizes += [guardrail_size(guardrail, design.alpha / design.tails, power, ratio) for ratio in ratios]
        return max(sizes) / base

    def _rounded(self, total: float) -> dict[str, int]:
        """Units by arm: split by the weights, rounded up."""
        return {name: max(math.ceil(total * share - 1e-9), 2) for name, share in self.shares.items()}

    def _for_looks(self, looks: int | None) -> float:
        side, power = self.alpha / self.spec.design.tails, self.power
        if looks is None:
            quantile = NormalDist().inv_cdf
            anytime = always_valid.critical_one_sided(1.0, side, 1.0) + quantile(power)
            return (anytime / (quantile(1 - side) + quantile(power))) ** 2
        if looks == 1:
            return 1.0
        return inflation(equal_looks(looks), side, power, self.spec.design.sequential)

    def _looks_by_time(self, every: float) -> int:
        """More looks take more units, and those more time, in which there are more looks."""
        if self.daily is None:
            return DEFAULT_LOOKS
        looks = math.ceil(self._weeks(self.daily, sum(self.units_at_once.values())) * 7 * DAY / every - 1e-9)
        if looks > MOST_LOOKS:
            return looks  # it will be refused
        for _ in range(5):
            units = sum(
                self._rounded(self._total(self.power) * self._for_looks(max(min(looks, MOST_LOOKS), 1))).values()
            )
            needed = max(math.ceil(self._weeks(self.daily, units) * 7 * DAY / every - 1e-9), 1)
            if needed == looks:
                break
            looks = needed
        return looks

    def _weeks(self, daily: float, units: int) -> int:
        return weeks(units, daily, self.spec.design.min_duration / DAY)


def spread(kind: str | None, baseline: float, std: float | None, denominator: Denominator | None) -> float:
    """The standard deviation between units that a metric is sized with. The spec must have passed its check."""
    if kind == "proportion":
        return math.sqrt(baseline * (1 - baseline))
    if kind == "ratio" and denominator is not None:
        return ratio_std(
            baseline, std or 0.0, denominator.mean or 1.0, denominator.std or 0.0, denominator.correlation or 0.0
        )
    return std or math.nan


def guardrail_size(guardrail: Guardrail, side: float, power: float, ratio: float) -> float:
    """Control units that show a guardrail to be kept by a treatment that does not touch it.

    Errors of requests are taken as if each unit made one: with more, it needs fewer units.
    """
    baseline, factor = guardrail.baseline or 0.0, 1.0
    if guardrail.type == "proportion" or (guardrail.metric == "error_rate" and guardrail.std is None):
        return share_size(baseline, Margin(guardrail.margin, guardrail.max_ratio, guardrail.better), side, power, ratio)
    if guardrail.margin is not None:
        margin = guardrail.margin
    else:
        times = guardrail.max_ratio or 1.0
        factor = times if guardrail.better == "lower" else 1 / times
        margin = abs(baseline) * abs(factor - 1)
    std = spread(guardrail.type, baseline, guardrail.std, guardrail.denominator)
    return noninferiority_size(std, margin, side, power, ratio, factor)
