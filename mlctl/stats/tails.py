"""Upper tails of two laws, in plain Python: a monitor's run ends sooner than scipy is imported. Tests hold both to scipy's."""

from __future__ import annotations

import math

_TERMS, _SMALL = 200, 1e-17


def kolmogorov_tail(distance: float, rows: float) -> float:
    """P(D >= distance) of Kolmogorov's statistic for so many rows: Smirnov's limit with Stephens's (1970) correction.

    For two samples `rows` is n m / (n + m).
    """
    root = math.sqrt(rows)
    z = distance * (root + 0.12 + 0.11 / root)
    if z <= 0:
        return 1.0
    if z < 1.18:  # there the other form of the theta function converges faster (Marsaglia, Tsang and Wang 2003)
        y = math.exp(-(math.pi**2) / (8 * z * z))
        return max(0.0, 1 - math.sqrt(2 * math.pi) / z * (y + y**9 + y**25 + y**49))
    y = math.exp(-2 * z * z)
    return min(1.0, 2 * (y - y**4 + y**9 - y**16))


def chi_square_tail(statistic: float, freedom: int) -> float:
    """P(X >= statistic) of a chi-square: the regularised incomplete gamma function (Abramowitz and Stegun 6.5.29 and 6.5.31)."""
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    return max(0.0, 1 - scale * _series(a, x)) if x < a + 1 else scale * _fraction(a, x)


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    step = a
    while term > total * _SMALL:
        step += 1
        term *= x / step
        total += term
    return total


def _fraction(a: float, x: float) -> float:
    """Lentz's evaluation of the continued fraction."""
    b = x + 1 - a
    c, d = 1e300, 1 / b
    value = d
    for index in range(1, _TERMS):
        factor = -index * (index - a)
        b += 2
        d = 1 / (factor * d + b)
        c = b + factor / c
        value *= d * c
        if abs(d * c - 1) < _SMALL * 10:
            break
    return value
