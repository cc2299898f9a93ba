"""One figure that says how far two samples are beyond a bound: standard normal where the bound holds just so.

Rates are compared by the signed root of the likelihood ratio, whose tails are near the normal's even when one side has few
hits and a tenth of the requests, where Wald's and Pearson's statistics are not. Source: Barndorff-Nielsen and Cox,
Inference and Asymptotics, 1994, chapter 6; with the correction of half a hit for discrete counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_LEAST = 1e-12  # rates are kept this far from 0 and 1


@dataclass(frozen=True, slots=True)
class Sample:
    """So many requests, and how many of them were hits: errors, slow ones, mismatches."""

    number: int
    hits: int

    @property
    def rate(self) -> float:
        """The share of hits."""
        return self.hits / self.number


@dataclass(frozen=True, slots=True)
class Line:
    """A bound on the candidate's rate as a function of the baseline's: `slope` times it plus `offset`."""

    slope: float
    offset: float


Bound = tuple[Line, ...]  # the largest of its lines: a convex function of the baseline's rate


def at_most(rate: float) -> Bound:
    """A bound that does not depend on a baseline."""
    return (Line(0.0, rate),)


def beyond(bound: Bound, rate: float) -> float:
    """Where a bound lies, given the baseline's rate."""
    return max(line.slope * rate + line.offset for line in bound)


def excess(candidate: Sample, baseline: Sample | None, bound: Bound) -> float:
    """How surely the candidate's rate is above the bound (positive) or below it (negative), in standard errors."""
    other = baseline or Sample(0, 0)
    rate, base = candidate.rate, _rate(other.hits, other.number)
    above = rate > beyond(bound, base)
    half = -0.5 if above else 0.5  # towards the bound, on the side where a hit counts for more
    if baseline is None or candidate.number <= other.number:
        rate = (candidate.hits + half) / candidate.number
    else:
        base = (other.hits - half) / other.number
    if above != (rate > beyond(bound, base)) or not (0 <= rate <= 1 and 0 <= base <= 1):
        return 0.0  # less than half a hit from the bound
    nearest = _nearest(candidate.number, rate, other.number, base, bound)
    edge = _inside(beyond(bound, nearest))
    distance = candidate.number * _divergence(rate, edge) + other.number * _divergence(base, nearest)
    root = math.sqrt(2 * max(distance, 0.0))
    return root if above else -root


def information(candidate: int, baseline: int | None) -> float:
    """How much two samples of such sizes tell about a difference, up to a factor; of one sample, its size."""
    return float(candidate) if baseline is None else candidate * baseline / (candidate + baseline)


def _nearest(number: int, rate: float, base_number: int, base: float, bound: Bound) -> float:
    """The baseline's rate at the point of the bound where both samples are likeliest, by bisection: the likelihood is
    convex along each line, and rises from where two lines meet."""
    low, high = _LEAST, 1 - _LEAST
    for line in bound:
        if line.slope > 0:
            high = min(high, (1 - _LEAST - line.offset) / line.slope)
    high = max(high, low)
    for _ in range(50):
        middle = (low + high) / 2
        line = max(bound, key=lambda one: one.slope * middle + one.offset)
        edge = _inside(line.slope * middle + line.offset)
        gradient = base_number * (middle - base) / (middle * (1 - middle))
        gradient += number * line.slope * (edge - rate) / (edge * (1 - edge))
        if gradient > 0:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def _rate(hits: int, number: int) -> float:
    return hits / number if number else 0.0


def _inside(rate: float) -> float:
    return min(max(rate, _LEAST), 1 - _LEAST)


def _divergence(rate: float, of: float) -> float:
    """The Kullback-Leibler divergence of two rates, of a single request."""
    hit = rate * math.log(rate / of) if rate > 0 else 0.0
    return hit + ((1 - rate) * math.log((1 - rate) / (1 - of)) if rate < 1 else 0.0)


def mean_above_zero(number: int, mean: float, squares: float) -> float:
    """How surely a mean is above zero: Student's t of so many values (`squares`: sum of squared deviations), as a normal z.

    Source: Wallace 1959, the approximation of the normal score of t, right to a hundredth from three values on.
    """
    freedom = number - 1
    if squares <= 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    square = mean * mean * number * freedom / squares
    z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(square / freedom))
    return math.copysign(z, mean)


def largest_gap(one: Sequence[int], other: Sequence[int]) -> float:
    """The Kolmogorov-Smirnov distance of two histograms over the same buckets."""
    first, second = sum(one), sum(other)
    gap = left = right = 0.0
    for here, there in zip(one, other, strict=True):
        left, right = left + here / first, right + there / second
        gap = max(gap, abs(left - right))
    return gap


def gap_radius(information: float, alpha: float) -> float:
    """How far a distance between two empirical distributions may be off, but for a chance of alpha.

    Source: Massart 1990 for one sample; with the information of two in place of its size it is Smirnov's limit, whose
    constant Wei and Dudley (2012) found good from a few hundred values on.
    """
    return math.sqrt(math.log(2 / alpha) / (2 * information))
