"""Synthetic units of an experiment, not one by one but as the sums of all that came between two looks, drawn from what those sums are.

A sum of yes and no is binomial; the sums of normal values, their squares and products are normal and Wishart. So a run of a
million units takes as long as one of a thousand, and the figures go through the very functions that an analysis uses.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlctl.stats.arm_metrics import Moments, contrast
from mlctl.stats.experiment_verdict import Look, Reading, Rules
from mlctl.stats.noninferiority import Margin, guardrail
from mlctl.types.jobs.certify import CertifyJob, PlayedMetric

Array = NDArray[Any]


class Streams:
    """Batches of runs. Of several treatments the first one has the effect, and the others none."""

    def __init__(self, job: CertifyJob, rules: Rules, effect: bool) -> None:
        self.runs = 0
        self._job, self._rules, self._effect = job, rules, effect
        self._arms = (rules.control, *rules.treatments)
        self._steps = np.diff([0, *job.looks])
        self._counts: Array = np.zeros(0)
        self._sums: dict[str, Array] = {}

    def draw(self, generator: np.random.Generator, runs: int) -> None:
        """A new batch: units by run, look and arm, and for each metric the sums of a `Moments`, all of them up to each look."""
        self.runs = runs
        shares = [self._rules.shares[arm] for arm in self._arms]
        new = np.stack([generator.multinomial(step, shares, runs) for step in self._steps], axis=1)
        self._counts = new.cumsum(axis=1)
        for metric in self._job.metrics:
            sums = [
                _drawn(metric, metric.effect if self._effect and place == 1 else 0.0, new[:, :, place], generator)
                for place in range(len(self._arms))
            ]
            self._sums[metric.name] = np.stack(sums, axis=2).cumsum(axis=1)

    def look(self, run: int, index: int, *, last: bool, early: bool) -> Look:
        """What there is to see at a look."""
        counts = {arm: int(count) for arm, count in zip(self._arms, self._counts[run, index], strict=True)}
        fraction = self._job.looks[index] / self._job.looks[-1]
        readings = []
        for metric in self._job.metrics:
            rows = self._sums[metric.name][run, index].tolist()
            moments = [Moments(count, *row) for count, row in zip(counts.values(), rows, strict=True)]
            for place, arm in enumerate(self._arms[1:], 1):
                # of the units the design has planned by now: who came to which arm is left to chance
                units = round(fraction * self._rules.planned[arm])
                readings.append(
                    Reading(arm, metric.name, metric.guardrail, units, _z(metric, moments[0], moments[place]))
                )
        return Look(f"look {index + 1}", tuple(readings), counts, last=last, early=early)


def _z(metric: PlayedMetric, control: Moments, treatment: Moments) -> float:
    if min(control.n, treatment.n) < 2:
        return math.nan
    if metric.guardrail:
        return guardrail(metric.kind, control, treatment, Margin(metric.margin, metric.max_ratio, metric.better))[1]
    z = contrast(metric.kind, control, treatment, cuped=metric.r2 is not None).z
    return z if metric.better == "higher" else -z


def _drawn(metric: PlayedMetric, effect: float, counts: Array, generator: np.random.Generator) -> Array:
    """The sums y, yy, d, dd, yd, x, xx, yx, dx of so many units, in the last axis."""
    mean, found = metric.baseline + effect, np.zeros((*counts.shape, 9))
    if metric.kind == "proportion" and metric.r2 is None:
        yes = generator.binomial(counts, mean)
        found[..., 0] = found[..., 1] = yes
        return found
    if metric.kind == "ratio" and metric.denominator is not None:
        below, spread, correlation = metric.denominator
        # a ratio moves by what its numerator gains
        pairs = _pairs(counts, (mean * below, below), (metric.std, spread), correlation, generator)
        found[..., 0], found[..., 2], found[..., 1], found[..., 3], found[..., 4] = pairs
        return found
    correlation = math.sqrt(metric.r2 or 0.0)
    pairs = _pairs(counts, (mean, 0.0), (metric.std, 1.0), correlation, generator)
    found[..., 0], found[..., 5], found[..., 1], found[..., 6], found[..., 7] = pairs
    return found


def _pairs(
    counts: Array,
    means: tuple[float, float],
    stds: tuple[float, float],
    correlation: float,
    generator: np.random.Generator,
) -> tuple[Array, Array, Array, Array, Array]:
    """Sums of two normal values that go together: of each, of their squares, and of their product.

    The squares and the product around their means are Wishart, drawn by Bartlett's decomposition (1933).
    """
    number = np.maximum(counts, 1)
    other = math.sqrt(1 - correlation**2)
    first, second = generator.standard_normal((2, *counts.shape))
    one = counts * means[0] + np.sqrt(counts) * stds[0] * first
    two = counts * means[1] + np.sqrt(counts) * stds[1] * (correlation * first + other * second)
    freedom = np.maximum(counts - 1, 1e-9)
    left = np.sqrt(generator.chisquare(freedom))
    right = np.sqrt(generator.chisquare(np.maximum(counts - 2, 1e-9)))
    across = generator.standard_normal(counts.shape)
    row = (correlation * left + other * across, other * right)
    squares = stds[0] ** 2 * left**2 + one**2 / number
    others = stds[1] ** 2 * (row[0] ** 2 + row[1] ** 2) + two**2 / number
    products = stds[0] * stds[1] * left * row[0] + one * two / number
    return one, two, squares, others, products
