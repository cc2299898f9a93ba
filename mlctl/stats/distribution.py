"""How far two columns lie apart that were counted into the same bins: distances, and how surely where there is a test for it.

Missing values are a class of their own, but for Kolmogorov-Smirnov, which needs an order and looks at the others. The
functions raise ValueError when there is nothing to compare: no data is never a small distance. `comparable_rows` tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from mlctl.stats import drift
from mlctl.types.jobs.contract import CategoricalBins, NumericBins


@dataclass(frozen=True, slots=True)
class Distance:
    """What one method found. Distances have no p-value where there is no test behind them."""

    distance: float
    p_value: float | None = None


def psi(a: NumericBins | CategoricalBins, b: NumericBins | CategoricalBins) -> Distance:
    """The population stability index of `b` against `a` (Siddiqi 2006), with the p-value of Yurdakul 2018.

    Classes with few expected rows are put together and half a row is added to each, as monitors do (`drift.psi`).
    """
    found = drift.psi(*_classes(a, b))
    return Distance(found.effect, found.p_value)


def chi_square(a: NumericBins | CategoricalBins, b: NumericBins | CategoricalBins) -> Distance:
    """Cramer's V of the two rows of counts (Cramer 1946), from 0 to 1, with the p-value of Pearson's test of homogeneity."""
    before, now = _classes(a, b)
    found = drift.chi_square(before, now)
    return Distance(math.sqrt(found.statistic / (sum(before) + sum(now))), found.p_value)


def ks(a: NumericBins | CategoricalBins, b: NumericBins | CategoricalBins) -> Distance:
    """The largest gap between the two cumulative shares at the edges, with Smirnov's limiting p-value (Smirnov 1948).

    Seen at the edges alone, the gap is at most that of the values themselves, so that it errs on the side of no drift.
    """
    from scipy.special import kolmogorov

    if not isinstance(a, NumericBins) or not isinstance(b, NumericBins):
        raise ValueError("Kolmogorov-Smirnov compares numbers or times, whose values have an order")
    _classes(a, b)
    m, n = sum(a.counts), sum(b.counts)
    if not m or not n:
        raise ValueError("there are no values to compare: one side is empty or all null")
    gaps = zip(accumulate(a.counts), accumulate(b.counts), strict=True)
    gap = max(abs(before / m - now / n) for before, now in gaps)
    return Distance(gap, float(kolmogorov(math.sqrt(m * n / (m + n)) * gap)))


def jensen_shannon(a: NumericBins | CategoricalBins, b: NumericBins | CategoricalBins) -> Distance:
    """The Jensen-Shannon distance to base 2, from 0 to 1: the root of the divergence (Endres and Schindelin 2003)."""
    before, now = _classes(a, b)
    m, n = sum(before), sum(now)
    divergence = 0.0
    for one, other in zip(before, now, strict=True):
        p, q = one / m, other / n
        middle = (p + q) / 2
        divergence += sum(share * math.log2(share / middle) / 2 for share in (p, q) if share)
    return Distance(math.sqrt(max(divergence, 0.0)))


def comparable_rows(bins: NumericBins | CategoricalBins, *, values_only: bool = False) -> int:
    """How many rows were counted; with `values_only` those that are not null, which Kolmogorov-Smirnov needs."""
    values = sum(bins.counts) + (bins.other if isinstance(bins, CategoricalBins) else 0)
    return values if values_only else values + bins.nulls


def _classes(a: NumericBins | CategoricalBins, b: NumericBins | CategoricalBins) -> tuple[list[float], list[float]]:
    """The counts of both, class by class. Raises ValueError for bins that are not the same, and for no rows."""
    cut_a = a.edges if isinstance(a, NumericBins) else a.values
    cut_b = b.edges if isinstance(b, NumericBins) else b.values
    if a.kind != b.kind or cut_a != cut_b:
        raise ValueError("the two were counted into different bins")
    if not comparable_rows(a) or not comparable_rows(b):
        raise ValueError("there are no rows to compare: one side is empty")
    return _counts(a), _counts(b)


def _counts(bins: NumericBins | CategoricalBins) -> list[float]:
    other = [bins.other] if isinstance(bins, CategoricalBins) else []
    return [float(count) for count in (*bins.counts, *other, bins.nulls)]
