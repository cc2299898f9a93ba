"""Two-sample tests of numbers. The reference is a sketch, or numbers of which one is made that loses nothing."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal

from mlctl.stats.comparison import Comparison
from mlctl.stats.sketch import sketch
from mlctl.stats.tails import kolmogorov_tail
from mlctl.types.jobs.reference import Sketch

_SEED = 20_240_501
_DRAWS = 10_000
_FEW_ROWS, _DOUBTFUL, _PERMUTATIONS, _ENOUGH, _BLOCK = 1000, 0.1, 1999, 20, 100
_COUNTABLE = 1_000_000  # pooled rows up to which drawing some of them one by one is quicker than drawing counts


def ks(reference: Any, current: Any) -> Comparison:
    """Kolmogorov-Smirnov, two samples, at the points of the sketch: never a larger gap than at all points (Hodges 1958).

    With ties it errs on the side of no alarm.
    """
    import numpy as np

    before = _frozen(reference)
    values, now = np.asarray(before.values), np.sort(np.asarray(current, dtype=np.float64))
    m, n = before.rows, len(now)
    left, right = np.searchsorted(now, values, "left"), np.searchsorted(now, values, "right")
    gaps = np.abs([np.asarray(before.below) / m - left / n, np.asarray(before.upto) / m - right / n])
    gap = float(gaps.max())
    return Comparison(gap, gap, kolmogorov_tail(gap, n * m / (n + m)), m, n)


def wasserstein(reference: Any, current: Any) -> Comparison:
    """The first Wasserstein distance; the effect is in standard deviations of the reference, as Evidently and NannyML norm it.

    Between two neighbouring points of the sketch the reference's distribution function is a straight line.
    Without drift sqrt(nm / (n + m)) times the distance tends to the integral of |B(F(x))| dx for a Brownian bridge B (del
    Barrio, Gine, Matran 1999): its law is simulated once on fixed levels and weighted with the pooled quantiles. Beyond what
    the draws resolve, the Borell-TIS inequality bounds the tail; the largest variance in it is that of the data. With few
    rows and heavy tails that law is not reached yet, so a small p-value of a small sample is checked by permutation.
    """
    import numpy as np

    before, now = _frozen(reference), np.sort(np.asarray(current, dtype=np.float64))
    m, n = before.rows, len(now)
    distance = _distance(before, now)
    points, pooled = _together(before, now)
    scaled = distance * math.sqrt(n * m / (n + m))
    levels, bridges = _bridges()
    borders = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    widths = np.diff(_quantiles(points, pooled, borders))
    scale = float(widths.sum()) or 1.0  # in single precision: numbers may be of any size
    draws = (bridges @ (widths / scale).astype(np.float32)).astype(np.float64) * scale
    p = (1 + int(np.count_nonzero(draws >= scaled))) / (1 + len(draws))
    middle = float(points @ pooled) / (n + m)
    excess, variance = scaled - float(draws.mean()), float(((points - middle) ** 2) @ pooled) / (n + m)
    if excess > 0 and variance > 0:
        p = min(p, math.exp(-(excess**2) / (2 * variance)))
    if n < _FEW_ROWS and p < _DOUBTFUL:
        exceeding, splits = _permuted(np.diff(points), pooled, distance, n, m)
        p = (1 + exceeding) / (1 + splits) if exceeding else min(p, 1 / (1 + splits))
    return Comparison(distance, distance / max(before.std, 0.001), p, m, n)


def _frozen(reference: Any) -> Sketch:
    return reference if isinstance(reference, Sketch) else sketch(reference, len(reference))


def _distance(before: Sketch, now: Any) -> float:
    """The area between the two distribution functions: one of straight lines and jumps, one of jumps."""
    import numpy as np

    points = _ascending(np.concatenate([before.values, now]))
    seen = np.searchsorted(now, points[:-1], "right") / len(now)
    starts, ends = _share(before, points[:-1], "right") - seen, _share(before, points[1:], "left") - seen
    high, low = np.abs(starts), np.abs(ends)
    crossing = starts * ends < 0
    heights = (high + low) / 2
    heights[crossing] = ((high**2 + low**2) / (2 * np.where(crossing, high + low, 1.0)))[crossing]
    return float(heights @ np.diff(points))


def _share(before: Sketch, points: Any, side: Literal["left", "right"]) -> Any:
    """The reference's distribution function at points, as it is when it is come to from the left or left to the right."""
    import numpy as np

    values, last = np.asarray(before.values), len(before.values) - 1
    place = np.searchsorted(values, points, side) - 1
    inside = (place >= 0) & (place < last)
    found = np.where(place < 0, 0.0, float(before.rows))
    at = place[inside]
    begin, end = np.asarray(before.upto)[at], np.asarray(before.below)[at + 1]
    found[inside] = begin + (end - begin) * ((points[inside] - values[at]) / (values[at + 1] - values[at]))
    return found / before.rows


def _together(before: Sketch, now: Any) -> tuple[Any, Any]:
    """Points, ascending, and how many rows of both sides are at each. What lies between two values is put in their middle."""
    import numpy as np

    values, below, upto = np.asarray(before.values), np.asarray(before.below), np.asarray(before.upto)
    inner = below[1:] - upto[:-1]
    middles = (values[:-1] / 2 + values[1:] / 2)[inner > 0]
    points = _ascending(np.concatenate([values, middles, now]))
    pooled = np.diff(np.searchsorted(now, points, "right"), prepend=0)
    pooled[np.searchsorted(points, values)] += upto - below
    pooled[np.searchsorted(points, middles)] += inner[inner > 0]
    return points, pooled


def _ascending(numbers: Any) -> Any:
    """Each number once; what numpy's own `unique` is for, which imports more."""
    import numpy as np

    ordered = np.sort(numbers)
    return ordered[np.concatenate([[True], ordered[1:] > ordered[:-1]])]


def _quantiles(points: Any, counts: Any, levels: Any) -> Any:
    """Quantiles of points that stand for so many rows each, as numpy's are of the rows themselves."""
    import numpy as np

    ranks = np.cumsum(counts)
    at = (ranks[-1] - 1) * levels
    low = np.floor(at)
    first = points[np.minimum(np.searchsorted(ranks, low, "right"), len(points) - 1)]
    second = points[np.minimum(np.searchsorted(ranks, low + 1, "right"), len(points) - 1)]
    return first + (second - first) * (at - low)


def _permuted(steps: Any, pooled: Any, distance: float, n: int, m: int) -> tuple[int, int]:
    """How many random splits of the pooled rows into n and m lie at least as far apart, of how many.

    It ends early when that is common enough to be sure of it (Besag and Clifford 1991). Seeded, in blocks to bound memory.
    """
    import numpy as np

    random = np.random.default_rng(_SEED)
    how: Literal["count", "marginals"] = "count" if n + m <= _COUNTABLE else "marginals"
    together = np.cumsum(pooled)[:-1]
    exceeding, splits = 0, 0
    while splits < _PERMUTATIONS and exceeding < _ENOUGH:
        size = min(_BLOCK, _PERMUTATIONS - splits)
        drawn = np.cumsum(random.multivariate_hypergeometric(pooled, n, size=size, method=how), axis=1)[:, :-1]
        gaps = np.abs(drawn / n - (together - drawn) / m) @ steps
        exceeding += int(np.count_nonzero(gaps >= distance * (1 - 1e-12)))
        splits += size
    return exceeding, splits


@lru_cache(maxsize=1)
def _bridges() -> tuple[Any, Any]:
    """Levels between 0 and 1, closer together near both ends, and |B| at each for many drawn Brownian bridges. Seeded."""
    import numpy as np

    tail = np.array([0.0005, 0.001, 0.002, 0.004, 0.007])
    levels = np.concatenate([tail, np.arange(0.01, 0.9901, 0.01), 1 - tail[::-1]])
    random = np.random.default_rng(_SEED)
    steps = np.sqrt(np.diff(levels, prepend=0.0, append=1.0)).astype(np.float32)
    walks = random.standard_normal((_DRAWS, len(steps)), dtype=np.float32)
    np.cumsum(np.multiply(walks, steps, out=walks), axis=1, out=walks)
    return levels, np.abs(walks[:, :-1] - walks[:, -1:] * levels.astype(np.float32))
