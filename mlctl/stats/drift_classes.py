"""Two-sample tests of class counts: categories, or numbers cut at frozen borders."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from mlctl.stats.comparison import Comparison
from mlctl.stats.sketch import classes, sketch
from mlctl.stats.tails import chi_square_tail
from mlctl.types.jobs.reference import Sketch

_LEAST_EXPECTED = 5.0  # Cochran 1954: the chi-square approximation wants at least five expected in each class


def psi(reference: Sequence[float], current: Sequence[float]) -> Comparison:
    """The population stability index of class counts, with a p-value.

    Without drift it is (1/n + 1/m) times a chi-square of classes - 1 (Yurdakul 2018, Statistical Properties of Population
    Stability Index). Rare classes are put together first; half a row is added to each class, so that an empty one has a log.
    """
    shares = list(_shares(reference, current))
    index = sum((q - p) * math.log(q / p) for p, q in shares)
    return _by_chi_square(index, index, len(shares), reference, current)


def jensen_shannon(reference: Sequence[float], current: Sequence[float]) -> Comparison:
    """The Jensen-Shannon distance of class counts, to base 2, from 0 to 1 (Endres and Schindelin 2003), with a p-value.

    To second order eight times the divergence, in nats, is the population stability index, and has its law. Classes as there.
    """
    shares = list(_shares(reference, current))
    halves = ((p, q, (p + q) / 2) for p, q in shares)
    divergence = max(sum((p * math.log(p / mid) + q * math.log(q / mid)) / 2 for p, q, mid in halves), 0.0)
    distance = math.sqrt(divergence / math.log(2))
    return _by_chi_square(8 * divergence, distance, len(shares), reference, current)


def chi_square(reference: Sequence[float], current: Sequence[float]) -> Comparison:
    """Pearson's test that two sets of class counts have one distribution; the effect is the total variation distance."""
    pairs = _pooled_classes(reference, current)
    m, n = sum(reference), sum(current)
    if len(pairs) < 2:
        return Comparison(0.0, 0.0, 1.0, round(m), round(n))
    statistic = sum(
        (now - (before + now) * n / (n + m)) ** 2 * (n + m) ** 2 / ((before + now) * n * m) for before, now in pairs
    )
    effect = 0.5 * sum(abs(before / m - now / n) for before, now in pairs)
    return Comparison(statistic, effect, chi_square_tail(statistic, len(pairs) - 1), round(m), round(n))


def cuts(sample: Any) -> list[float]:
    """Where to cut numbers into classes, from the reference alone, a sketch or the numbers: see `mlctl.stats.sketch.classes`."""
    return classes(sample if isinstance(sample, Sketch) else sketch(sample, len(sample)))[0]


def counts(values: Any, borders: Sequence[float], missing: float) -> list[float]:
    """Rows in each class of `cuts`, and missing ones as a class of their own."""
    import numpy as np

    found = np.bincount(np.searchsorted(np.asarray(borders), values, "right"), minlength=len(borders) + 1)
    return [*(float(count) for count in found), float(missing)]


def _by_chi_square(
    index: float, effect: float, many: int, reference: Sequence[float], current: Sequence[float]
) -> Comparison:
    """What (1/n + 1/m) times a chi-square of so many classes less one says of an index."""
    m, n = sum(reference), sum(current)
    if many < 2:
        return Comparison(0.0, 0.0, 1.0, round(m), round(n))
    return Comparison(effect, effect, chi_square_tail(index / (1 / n + 1 / m), many - 1), round(m), round(n))


def _shares(reference: Sequence[float], current: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Shares of each class, rare ones put together, with half a row added to each."""
    pairs = _pooled_classes(reference, current)
    m, n, half = sum(reference), sum(current), 0.5 * len(pairs)
    return (((before + 0.5) / (m + half), (now + 0.5) / (n + half)) for before, now in pairs)


def _pooled_classes(reference: Sequence[float], current: Sequence[float]) -> list[tuple[float, float]]:
    """Pairs of counts, with classes of too few expected rows put together, the rarest first. Looks at totals only, which a test may."""
    m, n = sum(reference), sum(current)
    if not m or not n:
        return []
    least = _LEAST_EXPECTED * (m + n) / min(m, n)
    pairs = sorted(
        ((before, now) for before, now in zip(reference, current, strict=True) if before + now > 0),
        key=lambda pair: (pair[0] + pair[1], pair),
    )
    while len(pairs) > 1 and sum(pairs[0]) < least:
        (a, b), (c, d), *rest = pairs
        pairs = sorted([(a + c, b + d), *rest], key=lambda pair: (pair[0] + pair[1], pair))
    return pairs
