"""Intervals that hold at every moment at once, for an experiment whose end is not known: asymptotic confidence sequences.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Time-uniform central limit theory and asymptotic confidence
sequences, with its two-sided boundary, its one-sided one, and the tuning of version 7's equation 161. They are wider than bounds for a planned end: that is their price.
"""

from __future__ import annotations

import math
from functools import lru_cache


def rho(units: float, alpha: float) -> float:
    """The parameter that makes a two-sided interval narrowest at so many units."""
    logarithm = -2 * math.log(alpha)
    return math.sqrt((logarithm + math.log(logarithm + 1)) / units)


def critical(units: float, alpha: float, tuned: float) -> float:
    """How many standard errors the two-sided interval at `units` is to either side; narrowest at `tuned` units."""
    information = units * rho(tuned, alpha) ** 2
    return math.sqrt(2 * (information + 1) / information * math.log(math.sqrt(information + 1) / alpha))


@lru_cache(maxsize=4096)
def critical_one_sided(units: float, alpha: float, tuned: float) -> float:
    """The same for one side alone, which spends alpha there."""
    information = units * rho(tuned, min(2 * alpha, 0.999)) ** 2
    return math.sqrt(2 * (information + 1) / information * math.log(1 + math.sqrt(information + 1) / (2 * alpha)))


def p_value(z: float, units: float, alpha: float, tuned: float) -> float:
    """The smallest level at which the two-sided interval would exclude 0, with the parameter of `alpha`: valid at any moment."""
    information = units * rho(tuned, alpha) ** 2
    return min(1.0, math.sqrt(information + 1) * math.exp(-z * z * information / (2 * (information + 1))))
