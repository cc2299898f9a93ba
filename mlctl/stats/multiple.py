"""Adjust p-values for how many tests were made. Plain Python: a decision must not need more than its figures."""

from __future__ import annotations

from collections.abc import Sequence


def adjust(p_values: Sequence[float], correction: str) -> list[float]:
    """Adjusted p-values in the order given; `correction` is `holm` or `bh`."""
    return {"holm": holm, "bh": benjamini_hochberg}[correction](p_values)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down: the chance of any false alarm stays below alpha, whatever the dependence. Source: Holm 1979."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """The step-up that bounds the expected share of false alarms among alarms. Source: Benjamini and Hochberg 1995."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, smallest = [0.0] * len(p_values), 1.0
    for rank in range(len(order), 0, -1):
        index = order[rank - 1]
        smallest = min(smallest, p_values[index] * len(p_values) / rank)
        adjusted[index] = smallest
    return adjusted
