"""From the spec of an experiment to its figures: units, duration, power, and what it could see in fewer or more weeks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from mlctl.providers.ab_test.spec import CONTROL, ExperimentSpec
from mlctl.stats.sample_size import Mean, Proportion, detectable, guardrail_power, weeks

MIN_DAYS = 7


@dataclass(frozen=True)
class Sizing:
    """The size of an experiment. With several treatments each is compared with control at alpha / treatments (Holm's first step)."""

    spec: ExperimentSpec

    @property
    def outcome(self) -> Proportion | Mean:
        """What is measured, and the effect looked for."""
        primary = self.spec.primary
        if primary.type == "proportion":
            return Proportion(primary.baseline, self.spec.difference)
        return Mean(self.spec.difference, primary.std or math.nan)

    @property
    def alpha(self) -> float:
        """The level of one comparison."""
        return self.spec.design.alpha / (len(self.spec.arms) - 1)

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
    def units(self) -> dict[str, int]:
        """Units each arm needs."""
        return self._units(self.power)

    @cached_property
    def inflation(self) -> float:
        """How many times more units there are because of the guardrails."""
        return sum(self.units.values()) / sum(self._units(self.spec.design.power).values())

    @property
    def daily(self) -> float:
        """New units a day that take part."""
        return self.spec.design.daily_units * self.spec.coverage

    @cached_property
    def weeks(self) -> int:
        """Whole weeks it runs."""
        return weeks(sum(self.units.values()), self.daily, self.spec.design.min_duration / 86400)

    @cached_property
    def exact_power(self) -> float:
        """The exact power of the primary test at these units, for the treatment that has the least."""
        control = self.units[CONTROL]
        return min(
            self.outcome.power(control, count, self.alpha) for name, count in self.units.items() if name != CONTROL
        )

    def detectable(self, in_weeks: int) -> float | None:
        """The smallest effect found with the power asked for after so many weeks, in the metric's own unit; None when none is."""
        shares = self.shares
        control = shares[CONTROL] * in_weeks * 7 * self.daily
        found = [
            detectable(self.outcome, control, self.alpha, self.power, share / shares[CONTROL])
            for name, share in shares.items()
            if name != CONTROL
        ]
        return None if None in found else max((item for item in found if item is not None), key=abs)

    def curve(self) -> list[tuple[int, float | None]]:
        """(weeks, smallest effect found): from one week to twice the planned time, at most a dozen points."""
        last = max(2 * self.weeks, 4)
        step = math.ceil(last / 12)
        points = sorted({*range(step, last + 1, step), 1, self.weeks})
        return [(point, self.detectable(point)) for point in points]

    def _units(self, power: float) -> dict[str, int]:
        """Units by arm: enough for the most demanding comparison, split by the weights, rounded up."""
        shares = self.shares
        base = shares[CONTROL]
        total = max(
            self.outcome.size(self.alpha, power, share / base) / base
            for name, share in shares.items()
            if name != CONTROL
        )
        return {name: max(math.ceil(total * share - 1e-9), 2) for name, share in shares.items()}
