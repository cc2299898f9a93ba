"""Looks at an experiment before its planned end: critical values that keep alpha over all of them together.

Alpha is spent by a function of the share of the planned units that are there (Lan and DeMets 1983), so looks need not be at
equal distances, nor their number be known. It is spent on each side by itself: an alpha of 5 % with two tails is 2.5 % a side,
which is what the published tables of O'Brien-Fleming and Pocock bounds hold. The recursion is that of `mlctl.stats.sequential`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from typing import Literal

from mlctl.stats.sequential import Look, critical_values, obrien_fleming, pocock, tail

Spending = Literal["obrien_fleming", "pocock"]
_SPENDING: dict[str, Callable[[float, float], float]] = {"obrien_fleming": obrien_fleming, "pocock": pocock}
_NORMAL = NormalDist()
_LEAST = 1e-300  # of alpha at a look: a bound beyond it is never crossed


def bounds(fractions: Sequence[float], alpha: float, spending: Spending, *, ended: bool = False) -> list[float]:
    """Critical values of z for one side, one a look; `alpha` is what that side may spend.

    `fractions` say how much of the planned information each look had, ever more. From the first look at 1 or beyond, or at the
    last one when it has `ended` short of the plan, all of alpha is spent; a look after that has infinity, since none is left.
    """
    return list(_bounds(tuple(fractions), alpha, spending, ended))


@lru_cache(maxsize=4096)
def _bounds(fractions: tuple[float, ...], alpha: float, spending: str, ended: bool) -> tuple[float, ...]:
    if any(late <= early for early, late in pairwise(fractions)) or min(fractions) <= 0:
        raise ValueError("each look has to have more than the one before")
    function = _SPENDING[spending]
    until = next((index for index, one in enumerate(fractions) if one >= 1), len(fractions) - 1)
    looks = [Look(one, function(alpha, min(one, 1.0))) for one in fractions[: until + 1]]
    if ended:
        looks[-1] = Look(looks[-1].information, alpha)
    skipped = sum(look.spent < _LEAST for look in looks)
    values = [math.inf] * skipped + critical_values(tuple(looks[skipped:]))
    return (*values, *[math.inf] * (len(fractions) - until - 1))


def equal_looks(number: int) -> tuple[float, ...]:
    """Shares of the plan when looks are at equal distances."""
    return tuple(index / number for index in range(1, number + 1))


@lru_cache(maxsize=256)
def inflation(fractions: tuple[float, ...], alpha: float, power: float, spending: Spending) -> float:
    """How many times the units of a fixed design it takes to find the same effect with the same power. `alpha` is of one side."""
    fixed = _NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(power)
    critical = bounds(fractions, alpha, spending)
    low, high = fixed, 1.05 * fixed
    short, more = crossing(fractions, critical, low) - power, crossing(fractions, critical, high) - power
    while more < 0:
        low, short, high = high, more, 1.1 * high
        more = crossing(fractions, critical, high) - power
    while high - low > 1e-6:  # power is nearly straight between the two, so the chord's root is nearly it
        middle = min(max(low - short * (high - low) / (more - short), low + 1e-7), high - 1e-7)
        found = crossing(fractions, critical, middle) - power
        if abs(found) < 1e-7:
            low = high = middle
        elif found < 0:
            low, short = middle, found
        else:
            high, more = middle, found
    return (high / fixed) ** 2


def crossing(fractions: Sequence[float], critical: Sequence[float], drift: float) -> float:
    """The chance that z is at its critical value or above at any look; `drift` is the mean of z at the planned end."""
    total, points, weights = 0.0, [0.0], [1.0]  # a walk of independent steps, from 0 at information 0
    before = 0.0
    for fraction, value in zip(fractions, critical, strict=True):
        step = math.sqrt(fraction - before)
        edge = value * math.sqrt(fraction) - drift * fraction  # of the walk without its drift
        total += sum(weight * tail((edge - point) / step) for point, weight in zip(points, weights, strict=True))
        points, weights = _density(points, weights, step, edge, fraction)
        before = fraction
    return total


def _density(
    points: list[float], weights: list[float], step: float, edge: float, fraction: float
) -> tuple[list[float], list[float]]:
    """Where the walk is after one more step among those that crossed nothing: points, with weights that make sums integrals."""
    low = -8 * math.sqrt(fraction)
    high = min(edge, -low)
    if high <= low:
        return [], []
    number = max(8, 2 * math.ceil((high - low) / min(0.45 * step, 0.2 * math.sqrt(fraction)) / 2))
    width = (high - low) / number
    places = [low + index * width for index in range(number + 1)]
    scale, reach = 1 / (step * math.sqrt(2 * math.pi)), 7 * step
    found = []
    for index, place in enumerate(places):
        simpson = width / 3 * (1 if index in (0, number) else 4 if index % 2 else 2)
        first, last = bisect_left(points, place - reach), bisect_right(points, place + reach)
        near = zip(points[first:last], weights[first:last], strict=True)  # the kernel beyond is nothing
        found.append(
            simpson * scale * sum(weight * math.exp(-0.5 * ((place - point) / step) ** 2) for point, weight in near)
        )
    return places, found
