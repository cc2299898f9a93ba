"""A test that may be looked at again and again, without a planned end: group-sequential bounds by a spending function.

At each look a statistic z, standard normal where the bound that is tested holds just so, is held against a critical value
chosen so that over all looks so far no more than `spent(look)` of alpha went to false alarms (Lan and DeMets 1983). The values
come from the recursion of Armitage, McPherson and Rowe (1969) over the looks that were really made, so when to look is free
as long as it does not depend on what was seen. Looks are taken as the information grows by a quarter: more looks cost power.

The end of a rollout's step is not known in advance, so alpha is spent along a curve that never reaches its end:
alpha / (1 + (half / number)^2), half of it by `half` observations, and the rest ever more slowly. Why
this and not a mixture or a bet, which are valid at every look too: docs/adr/0031.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist
from typing import Any

GROWTH = 1.25  # of the information from one look to the next
_NORMAL = NormalDist()
_STEP, _LOWEST = 0.1, -8.0  # of the grid that densities are kept on, in standard errors
_LARGEST = 38.0  # beyond it the tail of the normal is nothing in floating point


def spent(alpha: float, number: float, half: float) -> float:
    """How much of alpha may have gone to false alarms by the time there are so many observations."""
    return alpha / (1 + (half / number) ** 2) if number > 0 else 0.0


def obrien_fleming(alpha: float, fraction: float) -> float:
    """The spending function of O'Brien and Fleming's kind for a planned end (Lan and DeMets 1983), one-sided."""
    return 2 * tail(_NORMAL.inv_cdf(1 - alpha / 2) / math.sqrt(min(fraction, 1.0)))


def pocock(alpha: float, fraction: float) -> float:
    """The spending function of Pocock's kind for a planned end (Lan and DeMets 1983)."""
    return alpha * math.log(1 + (math.e - 1) * min(fraction, 1.0))


def tail(z: float) -> float:
    """The chance that a standard normal lies above z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


@dataclass(frozen=True, slots=True)
class Look:
    """One look: how much information there was, and how much of alpha had been given out by then."""

    information: float
    spent: float


@dataclass(frozen=True, slots=True)
class _Stage:
    """The critical value of a look, and the density of z below it among those that crossed no earlier one."""

    critical: float
    points: tuple[float, ...]
    weights: tuple[float, ...]  # density times the weight of Simpson's rule, so that sums are integrals


def critical_values(looks: tuple[Look, ...]) -> list[float]:
    """The critical value of each look."""
    return [_stage(looks[: number + 1]).critical for number in range(len(looks))]


@lru_cache(maxsize=512)
def _stage(looks: tuple[Look, ...]) -> _Stage:
    """The last of these looks, after all before it. Kept, since each look is asked for many times in a row."""
    before = _stage(looks[:-1]) if len(looks) > 1 else None
    allowed = looks[-1].spent - (looks[-2].spent if len(looks) > 1 else 0.0)
    drift, spread = _step(looks)
    low, high = _LOWEST, _LARGEST
    for _ in range(60):
        middle = (low + high) / 2
        if _crossing(before, drift, spread, middle) > allowed:
            low = middle
        else:
            high = middle
    number = max(8, 2 * math.ceil((high - _LOWEST) / _STEP / 2))
    width = (high - _LOWEST) / number
    points = tuple(_LOWEST + index * width for index in range(number + 1))
    simpson = [width / 3 * (1 if index in (0, number) else 4 if index % 2 else 2) for index in range(number + 1)]
    density = _densities(before, drift, spread, points)
    return _Stage(high, points, tuple(weight * value for weight, value in zip(simpson, density, strict=True)))


def _step(looks: tuple[Look, ...]) -> tuple[float, float]:
    """From one look to the next, z becomes `drift` times what it was plus `spread` times a new standard normal."""
    if len(looks) == 1:
        return 0.0, 1.0
    share = looks[-2].information / looks[-1].information
    return math.sqrt(share), math.sqrt(1 - share)


def _crossing(before: _Stage | None, drift: float, spread: float, z: float) -> float:
    """The chance to be at z or above at a look, having crossed at none before."""
    if before is None:
        return tail(z)
    pairs = zip(before.points, before.weights, strict=True)
    return sum(weight * tail((z - drift * point) / spread) for point, weight in pairs)


def _densities(before: _Stage | None, drift: float, spread: float, points: tuple[float, ...]) -> list[float]:
    scale = 1 / (spread * math.sqrt(2 * math.pi))
    if before is None:
        return [scale * math.exp(-0.5 * point * point) for point in points]
    found, reach = [], 9 * spread  # the kernel beyond is nothing
    for point in points:
        total = 0.0
        for earlier, weight in zip(before.points, before.weights, strict=True):
            distance = point - drift * earlier
            if -reach < distance < reach:
                total += weight * math.exp(-0.5 * (distance / spread) ** 2)
        found.append(total * scale)
    return found


@dataclass(slots=True)
class Sequential:
    """One one-sided test over all its looks. What it has to remember is small, and JSON: `memory`, and `remembered` back."""

    alpha: float
    half: float
    looks: list[Look] = field(default_factory=list)
    p_value: float | None = None  # of the look that crossed; once crossed it stays so

    @property
    def crossed(self) -> bool:
        """Whether what is tested for has been shown."""
        return self.p_value is not None

    def look(self, z: float, information: float, number: float) -> bool:
        """Hold z against the critical value of a new look; `number` observations say how much of alpha may be spent.

        Nothing is looked at while the information has hardly grown. True once the test has crossed, now or before.
        """
        if self.crossed or not self.due(information) or math.isnan(z):
            return self.crossed
        before = self.looks[-1].spent if self.looks else 0.0
        self.looks.append(Look(information, max(before, spent(self.alpha, number, self.half))))
        looks = tuple(self.looks)
        if z >= _stage(looks).critical:
            earlier = _stage(looks[:-1]) if len(looks) > 1 else None
            self.p_value = before + _crossing(earlier, *_step(looks), min(z, _LARGEST))
        return self.crossed

    def due(self, information: float) -> bool:
        """Whether there is enough more to see than at the last look."""
        return information > 0 and (not self.looks or information >= GROWTH * self.looks[-1].information)

    @property
    def critical(self) -> float | None:
        """The critical value of the last look."""
        return _stage(tuple(self.looks)).critical if self.looks else None

    def memory(self) -> dict[str, Any]:
        """What a later process has to know so that no alpha is spent twice."""
        return {"looks": [[look.information, look.spent] for look in self.looks], "p_value": self.p_value}

    @classmethod
    def remembered(cls, alpha: float, half: float, memory: dict[str, Any]) -> Sequential:
        """The test as it was. Raises KeyError, TypeError, ValueError when the memory is not one."""
        looks = [Look(float(information), float(given)) for information, given in memory["looks"]]
        return cls(alpha, half, looks, memory["p_value"])
