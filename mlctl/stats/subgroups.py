"""Whether an effect differs between subgroups, which is asked before any single one of them is believed.

With eight subgroups and no effect at all, one of them has p < 0.05 in a third of all experiments. So p-values are adjusted for
their number (Benjamini and Hochberg 1995), and Cochran's Q (1954) says whether the subgroups differ from each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlctl.stats.multiple import benjamini_hochberg
from mlctl.stats.srm import chi_square_tail


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Cochran's Q with its degrees of freedom and p-value; `share` is I squared, how much of the spread is not chance."""

    q: float
    freedom: int
    p_value: float
    share: float


def heterogeneity(effects: Sequence[float], errors: Sequence[float]) -> Heterogeneity | None:
    """Of the effects in subgroups with their standard errors; None when fewer than two can be compared."""
    known = [(effect, 1 / error**2) for effect, error in zip(effects, errors, strict=True) if error > 0]
    if len(known) < 2:
        return None
    mean = sum(effect * weight for effect, weight in known) / sum(weight for _, weight in known)
    q, freedom = sum(weight * (effect - mean) ** 2 for effect, weight in known), len(known) - 1
    return Heterogeneity(q, freedom, chi_square_tail(q, freedom), max(0.0, 1 - freedom / q) if q > 0 else 0.0)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """The p-values of subgroups, adjusted for how many there are."""
    return benjamini_hochberg(p_values)
