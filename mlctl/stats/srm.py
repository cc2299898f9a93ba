"""Whether units came to the arms in the shares that were asked for. When they did not, whoever is missing was not drawn by lot.

The chi-square test is for one look. Looked at daily it cries wolf: 7.7 % of good experiments within four weeks at a level of 1 %.
The sequential test may be looked at at any time. Source: Lindon and Malek 2022, Anytime-valid inference for multinomial
count data: the Bayes factor of a Dirichlet-multinomial around the shares asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

PRIOR = 100.0  # of the Dirichlet, for an arm with an equal share: how near the shares asked for an alternative is
ALPHA = 0.01


def sequential_p_value(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Of the units so far. The least of all looks may be taken: below alpha it falls with a chance of alpha, however often one looks."""
    return min(1.0, math.exp(-min(log_bayes_factor(counts, shares), 700.0)))


def least_p_value(looks: Iterable[Mapping[str, int]], shares: Mapping[str, float]) -> float:
    """Over all looks."""
    return min((sequential_p_value(counts, shares) for counts in looks), default=1.0)


def log_bayes_factor(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """How much better some other shares explain the counts, as a logarithm. Raises ValueError for arms that nobody asked for."""
    unknown = set(counts) - set(shares)
    if unknown:
        raise ValueError(f"units in arms that the experiment does not have: {', '.join(sorted(unknown))}")
    total = sum(shares.values())
    prior, seen = PRIOR * len(shares), sum(counts.values())
    found = math.lgamma(prior) - math.lgamma(prior + seen)
    for arm, share in shares.items():
        expected, count = share / total, counts.get(arm, 0)
        found += math.lgamma(prior * expected + count) - math.lgamma(prior * expected) - count * math.log(expected)
    return found


def chi_square(counts: Mapping[str, int], shares: Mapping[str, float]) -> tuple[float, float]:
    """Pearson's statistic and its p-value, for one look. Raises ValueError without units."""
    seen, total = sum(counts.values()), sum(shares.values())
    if not seen:
        raise ValueError("there are no units to compare")
    statistic = 0.0
    for arm, share in shares.items():
        expected = seen * share / total
        statistic += (counts.get(arm, 0) - expected) ** 2 / expected
    return statistic, chi_square_tail(statistic, len(shares) - 1)


def chi_square_tail(statistic: float, freedom: int) -> float:
    """The chance of a chi-square as large, by the sum that whole degrees of freedom have (Abramowitz and Stegun, 26.4.4 and 26.4.5)."""
    if statistic <= 0:
        return 1.0
    half = statistic / 2
    if freedom % 2:
        term, found = math.sqrt(2 * statistic / math.pi) * math.exp(-half), math.erfc(math.sqrt(half))
        for index in range(3, freedom + 1, 2):
            found += term
            term *= statistic / index
        return min(found, 1.0)
    term = found = math.exp(-half)
    for index in range(1, freedom // 2):
        term *= half / index
        found += term
    return min(found, 1.0)


def blame(segments: Mapping[str, Mapping[str, int]], shares: Mapping[str, float]) -> list[tuple[str, float]]:
    """Segments with the chi-square p-value of each, the one furthest off first: where to look for what loses units."""
    found = [(name, chi_square(counts, shares)[1]) for name, counts in segments.items() if sum(counts.values())]
    return sorted(found, key=lambda item: (item[1], item[0]))
