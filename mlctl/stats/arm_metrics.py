"""What an arm's units came to in one metric, as sums that add up over days and parts, and how two arms differ.

A metric has one value a unit, whatever number of rows the unit has: a proportion (0 or 1), a mean, or a ratio of two sums, such
as clicks for each session, whose error comes from the delta method (Deng et al. 2018, Applying the delta method in metric
analytics). A covariate from before the experiment takes out what units would have done anyway (CUPED: Deng et al. 2013, Improving
the sensitivity of online controlled experiments). Plain Python: a decision is remade from these sums to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlctl.stats.sequential import tail

Kind = Literal["proportion", "mean", "ratio"]
_LEAST, _MOST = 1e-100, 1e100  # beyond them squares of squares are no numbers


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over the units of one arm: of the value (`y`), of a ratio's denominator (`d`), of a covariate (`x`), and of their products."""

    n: int = 0
    y: float = 0.0
    yy: float = 0.0
    d: float = 0.0
    dd: float = 0.0
    yd: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    yx: float = 0.0
    dx: float = 0.0

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        denominators: Sequence[float] | None = None,
        covariates: Sequence[float] | None = None,
    ) -> Moments:
        """Of one value a unit. Raises ValueError for a value that is no number: it is to be refused or counted apart before."""
        one = [0.0] * len(values)
        below, before = denominators or one, covariates or one
        for number in (*values, *below, *before):
            if not math.isfinite(number):
                raise ValueError(f"{number} is not a value of a unit")
        return cls(
            len(values),
            math.fsum(values),
            math.fsum(y * y for y in values),
            math.fsum(below),
            math.fsum(d * d for d in below),
            math.fsum(y * d for y, d in zip(values, below, strict=True)),
            math.fsum(before),
            math.fsum(x * x for x in before),
            math.fsum(y * x for y, x in zip(values, before, strict=True)),
            math.fsum(d * x for d, x in zip(below, before, strict=True)),
        )

    def to_json(self) -> dict[str, float]:
        """The stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Moments:
        """Read the stored form. Raises TypeError when it is not one."""
        return cls(**stored)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an arm is worth in a metric, with its standard error, and from how many units."""

    value: float
    error: float
    units: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """A treatment beside its control. `z` is standard normal when the two are equal; positive when the treatment is larger."""

    control: Estimate
    treatment: Estimate
    z: float
    kind: Kind | None = None  # None for what has no moments, such as percentiles
    adjusted: bool = False  # by a covariate

    @property
    def difference(self) -> float:
        """Treatment minus control."""
        return self.treatment.value - self.control.value

    @property
    def error(self) -> float:
        """The standard error of the difference."""
        return math.hypot(self.control.error, self.treatment.error)

    @property
    def p_value(self) -> float:
        """Two-sided, for a single look."""
        return 2 * tail(abs(self.z))

    @property
    def relative(self) -> float | None:
        """The difference as a share of the control, of its size: from -10 to -5 is half of it up. None for a control of 0, or
        of next to nothing, of which no number is the share."""
        return _share(self.difference, abs(self.control.value))

    @property
    def relative_error(self) -> float | None:
        """Of `relative`, by the delta method."""
        treatment, control = (_share(arm.error, self.control.value) for arm in (self.treatment, self.control))
        ratio = _share(self.treatment.value, self.control.value)
        if treatment is None or control is None or ratio is None:
            return None
        error = math.hypot(treatment, ratio * control)
        return error if math.isfinite(error) else None

    def interval(self, critical: float) -> tuple[float, float]:
        """The difference give or take `critical` standard errors; of two proportions by Newcombe's method (1998, method 10)."""
        if self.kind == "proportion" and not self.adjusted:
            return newcombe(self.control, self.treatment, critical)
        half = critical * self.error
        return self.difference - half, self.difference + half

    def relative_interval(self, critical: float) -> tuple[float, float] | None:
        """The same of the relative difference, by the delta method."""
        middle, error = self.relative, self.relative_error
        if middle is None or error is None or not math.isfinite(abs(middle) + critical * error):
            return None
        return middle - critical * error, middle + critical * error


def _share(value: float, of: float) -> float | None:
    """A quotient; None where there is none that a computer can write."""
    found = value / of if of else math.inf
    return found if math.isfinite(found) else None


def estimate(kind: Kind, moments: Moments) -> Estimate:
    """An arm without a covariate. Raises ValueError when there are too few units, or nothing to divide by."""
    return _adjusted(kind, moments, 0.0, 0.0)


def contrast(kind: Kind, control: Moments, treatment: Moments, *, cuped: bool = False) -> Contrast:
    """Two arms. Raises ValueError when one has fewer than two units, or a ratio has nothing to divide by."""
    if not cuped:
        left, right = estimate(kind, control), estimate(kind, treatment)
        if kind == "proportion":
            return Contrast(left, right, _pooled_z(control, treatment), kind)
        return Contrast(left, right, welch(left, right), kind)
    both = control + treatment
    theta, centre = _slope(kind, both), both.x / both.n
    left, right = (_adjusted(kind, arm, theta, centre) for arm in (control, treatment))
    return Contrast(left, right, welch(left, right), kind, adjusted=True)


def between(control: Estimate, treatment: Estimate) -> Contrast:
    """Of estimates that came about otherwise, such as percentiles with bootstrapped errors."""
    return Contrast(control, treatment, welch(control, treatment))


def explained(kind: Kind, control: Moments, treatment: Moments) -> float:
    """The share of the variance that the covariate takes out (R squared): what the sizing of the next experiment may count on."""
    plain, adjusted = (contrast(kind, control, treatment, cuped=cuped).error for cuped in (False, True))
    return max(0.0, 1 - (adjusted / plain) ** 2) if plain > 0 else 0.0


def welch(control: Estimate, treatment: Estimate) -> float:
    """Welch's t (1947) as a normal z, by Wallace's approximation (1959). 0 while nothing varies: then nothing can be told yet."""
    left, right = control.error**2, treatment.error**2
    if not left + right > 0:
        return 0.0
    t = (treatment.value - control.value) / math.sqrt(left + right)
    return as_normal(t, freedom(left, right, control.units, treatment.units))


def freedom(left: float, right: float, control: int, treatment: int) -> float:
    """Degrees of freedom of a difference between arms whose means have these variances. Source: Welch 1947, Satterthwaite 1946."""
    one, other = left / (left + right), right / (left + right)  # shares, since squares of variances may be no numbers
    return 1 / (one**2 / (control - 1) + other**2 / (treatment - 1))


def as_normal(t: float, freedom: float) -> float:
    """The normal z whose tail is that of Student's t. Source: Wallace 1959, right to a hundredth from three degrees on."""
    t = max(-_MOST, min(t, _MOST))
    z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    return math.copysign(z, t)


def newcombe(control: Estimate, treatment: Estimate, critical: float) -> tuple[float, float]:
    """An interval of the difference of two proportions from Wilson's intervals of each. Source: Newcombe 1998, method 10."""
    low_c, high_c = wilson(control.value, control.units, critical)
    low_t, high_t = wilson(treatment.value, treatment.units, critical)
    difference = treatment.value - control.value
    below = math.hypot(treatment.value - low_t, high_c - control.value)
    above = math.hypot(high_t - treatment.value, control.value - low_c)
    return difference - below, difference + above


def wilson(share: float, number: float, critical: float = 1.959963984540054) -> tuple[float, float]:
    """An interval of a share of `number`. Source: Wilson 1927."""
    square = critical * critical / number
    middle = (share + square / 2) / (1 + square)
    half = critical * math.sqrt(share * (1 - share) / number + square / (4 * number)) / (1 + square)
    return (middle - half if share > 0 else 0.0), (middle + half if share < 1 else 1.0)


def _pooled_z(control: Moments, treatment: Moments) -> float:
    """The z test of two proportions that sizes are computed for: with the variance of both together, as if they were equal."""
    pooled = (control.y + treatment.y) / (control.n + treatment.n)
    variance = pooled * (1 - pooled) * (1 / control.n + 1 / treatment.n)
    return (treatment.y / treatment.n - control.y / control.n) / math.sqrt(variance) if variance > 0 else 0.0


def _adjusted(kind: Kind, moments: Moments, theta: float, centre: float) -> Estimate:
    if moments.n < 2:
        raise ValueError(f"an arm has {moments.n} units: a spread takes two")
    value = moments.y / moments.n
    if kind == "ratio":
        if moments.d <= _LEAST:
            raise ValueError("an arm has nothing to divide by: the sum of its denominators is not above 0")
        value = moments.y / moments.d
    variance = _variance(kind, moments)
    if theta:
        spread = _central(moments.xx, moments.x, moments.x, moments.n) / (moments.n - 1)
        variance += theta * (theta * spread - 2 * _with_covariate(kind, moments) / (moments.n - 1))
        value -= theta * (moments.x / moments.n - centre)
    if not (abs(value) < _MOST and variance < _MOST):
        raise ValueError("an arm has values too large to compute with")
    return Estimate(value, math.sqrt(max(variance, 0.0) / moments.n), moments.n)


def _variance(kind: Kind, moments: Moments) -> float:
    """Between units: of the value, or of a ratio's influence (y - R d) / mean of d, which is what the delta method comes to."""
    n = moments.n
    square = _central(moments.yy, moments.y, moments.y, n)
    if kind == "ratio":
        ratio = moments.y / moments.d
        square += ratio * (
            ratio * _central(moments.dd, moments.d, moments.d, n) - 2 * _central(moments.yd, moments.y, moments.d, n)
        )
        square /= (moments.d / n) ** 2
    return max(square, 0.0) / (n - 1)


def _with_covariate(kind: Kind, moments: Moments) -> float:
    """The sum of products of the value (of a ratio: its influence) and the covariate, around their means."""
    shared = _central(moments.yx, moments.y, moments.x, moments.n)
    if kind != "ratio":
        return shared
    ratio, mean = moments.y / moments.d, moments.d / moments.n
    return (shared - ratio * _central(moments.dx, moments.d, moments.x, moments.n)) / mean


def _slope(kind: Kind, both: Moments) -> float:
    """Of the value on the covariate, over both arms. 0 when the covariate is the same for all."""
    spread = _central(both.xx, both.x, both.x, both.n)
    return _with_covariate(kind, both) / spread if spread > 0 else 0.0


def _central(products: float, one: float, other: float, number: int) -> float:
    return products - one * other / number
