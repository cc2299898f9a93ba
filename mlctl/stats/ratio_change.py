"""The change of a mean whose rows come in units, such as clicks of predictions of a user: by the delta method."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Ratio:
    """Sums over units: of values y over rows n. Add one unit at a time."""

    units: int = 0
    y: float = 0.0
    n: float = 0.0
    yy: float = 0.0
    nn: float = 0.0
    yn: float = 0.0

    def add(self, value: float, rows: float) -> None:
        """One unit: the sum of its values, and how many rows it has."""
        self.units += 1
        self.y += value
        self.n += rows
        self.yy += value * value
        self.nn += rows * rows
        self.yn += value * rows

    @property
    def value(self) -> float | None:
        """Values for each row."""
        return self.y / self.n if self.n else None

    @property
    def error(self) -> float:
        """The standard error of the value. Source: Deng, Knoblich and Lu 2018, Applying the Delta Method in Metric Analytics."""
        if self.units < 2 or not self.n:
            return math.inf
        ratio = self.y / self.n
        squares = self.yy - 2 * ratio * self.yn + ratio * ratio * self.nn  # of y - ratio n, whose sum is 0
        return math.sqrt(max(squares, 0.0) * self.units / (self.units - 1)) / self.n


@dataclass(frozen=True, slots=True)
class Change:
    """How much worse a figure is, with both ends of its 95 % interval, and the p-value of its being worse by more than a margin."""

    worse: float
    low: float
    high: float
    p_value: float


def change(now: Ratio, before: Ratio, margin: float, higher_is_better: bool) -> Change | None:
    """Hold two samples of units against each other; None when one of them is empty.

    With few units the t distribution of the smaller sample's freedom stands for the normal one, which errs on the safe side.
    """
    from scipy.special import stdtr, stdtrit

    if now.value is None or before.value is None:
        return None
    worse = (before.value - now.value) if higher_is_better else (now.value - before.value)
    error = math.hypot(now.error, before.error)
    freedom = min(now.units, before.units) - 1
    if not math.isfinite(error):
        return Change(worse, -math.inf, math.inf, 1.0)
    if error == 0:
        return Change(worse, worse, worse, 0.0 if worse > margin else 1.0)
    reach = float(stdtrit(freedom, 0.975)) * error
    return Change(worse, worse - reach, worse + reach, float(stdtr(freedom, -(worse - margin) / error)))
