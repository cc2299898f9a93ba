"""Confidence limits of a mean loss between 0 and 1, that hold at any number of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence


def binomial_limits(errors: int, rows: int, confidence: float) -> tuple[float, float]:
    """The two one-sided limits of a rate, each at this confidence. Source: Clopper and Pearson 1934."""
    from scipy.special import betaincinv

    if not 0 <= errors <= rows or rows < 1:
        raise ValueError(f"{errors} of {rows} is no rate")
    low = float(betaincinv(errors, rows - errors + 1, 1 - confidence)) if errors else 0.0
    high = float(betaincinv(errors + 1, rows - errors, confidence)) if errors < rows else 1.0
    return low, high


def mean_limit(losses: Sequence[float], confidence: float) -> float:
    """The upper limit of the mean of losses between 0 and 1. Source: Maurer and Pontil 2009, Empirical Bernstein Bounds."""
    rows = len(losses)
    if rows < 2:
        return 1.0
    mean = math.fsum(losses) / rows
    variance = math.fsum((loss - mean) ** 2 for loss in losses) / (rows - 1)
    log = math.log(2 / (1 - confidence))
    return min(1.0, mean + math.sqrt(2 * variance * log / rows) + 7 * log / (3 * (rows - 1)))
