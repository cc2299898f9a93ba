"""One bound of a gate on trial: is the candidate shown to be beyond it, and is harm worth speaking of excluded.

Both are sequential tests. The first may end the rollout at any look, and spends the gate's alpha. The second is what a pass
needs, from `min_requests` on: no gate can show in a few thousand requests that one percent of errors has not become 1.2 %,
so a pass says that the measured value keeps the bound, and that something clearly worse is excluded (`Reading.harm`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.rollout.evidence import Counts
from mlctl.rollout.verdict import Finding, Says
from mlctl.stats.sequential import Sequential
from mlctl.types.spoken import spoken_latency

BETA = 0.05  # the chance, over all looks, to pass a version that does the harm which a pass excludes
# Half of alpha is spent by so many times `min_requests`: most of it around the size that people plan for, and chosen such
# that a tripled error rate is found soonest (scripts/bench/serving_statistics.py).
_HALF_OF_ALPHA = 1.4


@dataclass(frozen=True, slots=True)
class Sides:
    """What a look has to go by. Without a baseline only hard limits can be judged."""

    candidate: Counts
    baseline: Counts | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric at one look: the values of both sides, how surely they are beyond bound and harm, and on how much that rests.

    `worse` is positive beyond the bound, `safe` positive on the good side of the harm, both in standard errors.
    """

    candidate: float
    baseline: float | None
    bound: str  # in words
    harm: str  # what a pass excludes, in words
    within: bool  # whether the measured value keeps the bound
    worse: float
    safe: float
    information: float
    number: int  # of what the metric is about, on the smaller side


class Trial(ABC):
    """One bound of one metric."""

    def __init__(self, metric: str, kind: str, value: float, *, alpha: float, min_requests: int) -> None:
        self.metric, self.kind, self.value, self.min_requests = metric, kind, value, min_requests
        self.worse = Sequential(alpha, _HALF_OF_ALPHA * min_requests)
        self.safe = Sequential(BETA, float(min_requests))

    @property
    def key(self) -> str:
        """Under which its memory is kept: another bound has nothing to do with what was found of this one."""
        return f"{self.metric} {self.kind} {self.value:g}"

    @abstractmethod
    def read(self, sides: Sides) -> Reading | str:
        """The metric now, or why there is nothing to look at yet."""

    @abstractmethod
    def shown(self, value: float) -> str:
        """A value as people read it."""

    def look(self, sides: Sides) -> Finding:
        """Judge by what there is."""
        reading = self.read(sides)
        if isinstance(reading, str):
            says = Says.FAIL if self.worse.crossed else Says.INCONCLUSIVE
            return Finding(self.metric, says, f"{self.metric}: {reading}", bound=self.value)
        self.worse.look(reading.worse, reading.information, reading.number)
        if reading.number >= self.min_requests:
            self.safe.look(reading.safe, reading.information, reading.number)
        says, why = self._judged(reading)
        told = f"{self._against(reading)}: {why}"
        return Finding(self.metric, says, told, _finite(reading.candidate), _finite(reading.baseline), self.value)

    def chance(self) -> str:
        """How likely a version that keeps the bound is to have come so far."""
        value = self.worse.p_value or 0.0
        return f"p = {value:.2g}" if value >= 1e-6 else "p < 0.000001"

    def memory(self) -> dict[str, Any]:
        """What has to outlive this process, as JSON."""
        return {"worse": self.worse.memory(), "safe": self.safe.memory()}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on from there. Raises KeyError, TypeError or ValueError when it is no memory of a trial."""
        self.worse = Sequential.remembered(self.worse.alpha, self.worse.half, memory["worse"])
        self.safe = Sequential.remembered(self.safe.alpha, self.safe.half, memory["safe"])

    def _judged(self, reading: Reading) -> tuple[Says, str]:
        if self.worse.crossed:
            return Says.FAIL, f"beyond {reading.bound} ({self.chance()} over all looks)"
        if reading.number < self.min_requests:
            who = "it" if reading.baseline is None else "each side"
            return Says.INCONCLUSIVE, f"{reading.number:,} of the {self.min_requests:,} requests that {who} needs"
        if not reading.within:
            more = _more(reading, reading.worse, self.worse.critical)
            return Says.INCONCLUSIVE, f"beyond {reading.bound}, which may be chance; {more} would tell"
        if self.safe.crossed:
            return Says.PASS, f"within {reading.bound}; excluded: {reading.harm}"
        more = _more(reading, reading.safe, self.safe.critical)
        return Says.INCONCLUSIVE, f"within {reading.bound} so far; {more} would exclude {reading.harm}"

    def _against(self, reading: Reading) -> str:
        text = f"{self.metric} {self.shown(reading.candidate)}"
        return text if reading.baseline is None else f"{text} against {self.shown(reading.baseline)} of the baseline"


def _finite(value: float | None) -> float | None:
    """What can be kept as JSON: a time above all that are told apart has no number, and the text says so."""
    return value if value is not None and math.isfinite(value) else None


def _more(reading: Reading, z: float, critical: float | None) -> str:
    """About how many more requests of the smaller side would bring z to the critical value, if all stays as it is."""
    if critical is None or not math.isfinite(z) or z <= 0.1:
        return "many more requests"
    grown = max((critical / z) ** 2, 1.25)
    more = reading.number * (grown - 1)
    digits = 10 ** max(0, int(math.log10(max(more, 1.0))) - 1)
    return f"about {math.ceil(more / digits) * digits:,} more requests"


def percent(value: float) -> str:
    """A share as percent, to two or three digits."""
    return f"{100 * value:.2g} %" if value < 0.0995 else f"{100 * value:.1f} %"


def seconds(value: float) -> str:
    """A time as people say it."""
    if math.isinf(value):
        return "over 16 min"
    return spoken_latency(value)
