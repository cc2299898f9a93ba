"""How surely a treatment is not worse than its control by more than a margin: what a guardrail has to show.

Not to have found a difference shows nothing: with few units none is ever found. Here the null hypothesis is that the treatment
is worse by the margin, and the guardrail is kept when that is rejected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from mlctl.stats.arm_metrics import Contrast, Estimate, Kind, Moments, as_normal, contrast, estimate, freedom
from mlctl.stats.contrast import Line, Sample, excess

Better = Literal["lower", "higher"]
_NORMAL = NormalDist()
_MOST_UNITS = 1e15


@dataclass(frozen=True, slots=True)
class Margin:
    """How much worse is too much: by `absolute` in the metric's unit, or `ratio` times as bad. One of the two."""

    absolute: float | None = None
    ratio: float | None = None
    better: Better = "lower"

    def edge(self, control: float) -> float:
        """The treatment's value that is just too bad, given the control's."""
        if self.absolute is not None:
            return control + (self.absolute if self.better == "lower" else -self.absolute)
        ratio = self.ratio or 1.0
        return control * (ratio if self.better == "lower" else 1 / ratio)


def within(control: Estimate, treatment: Estimate, margin: Margin) -> float:
    """The normal z of being within the margin: Wald's test of a difference, Fieller's of a ratio. Positive is within."""
    factor = 1.0
    if margin.ratio is not None:
        factor = margin.ratio if margin.better == "lower" else 1 / margin.ratio
    left, right = (factor * control.error) ** 2, treatment.error**2
    if not left + right > 0:
        return 0.0  # nothing varies: nothing can be told yet
    room = margin.edge(control.value) - treatment.value
    t = (room if margin.better == "lower" else -room) / math.sqrt(left + right)
    return as_normal(t, freedom(left, right, control.units, treatment.units))


def guardrail(kind: Kind, control: Moments, treatment: Moments, margin: Margin) -> tuple[Contrast, float]:
    """A guardrail with moments: the arms beside each other, and the z of being within the margin.

    Shares are tested by the likelihood ratio, which holds where few units or none have said yes: there Wald's statistic would
    call two arms without a single error surely alike. So are ratios that are rates, such as errors for each request, with as
    many requests as would tell as much if those of a unit were independent (the design effect: Kish 1965, Survey sampling).
    Other ratios of counts without any event get one more unit with one, for the same reason.
    """
    found = contrast(kind, control, treatment)
    if kind == "proportion":
        return found, _of_shares(control, treatment, margin)
    if kind == "ratio" and _is_rate(control) and _is_rate(treatment):
        effect = _design_effect(control + treatment)
        left, right = ((arm.y / effect, arm.d / effect) for arm in (control, treatment))
        return found, _test(left, right, margin)
    if kind == "ratio" and not (found.control.error and found.treatment.error):
        one = Moments(1, 1.0, 1.0, 1.0, 1.0, 1.0)
        return found, within(estimate(kind, control + one), estimate(kind, treatment + one), margin)
    return found, within(found.control, found.treatment, margin)


def share_size(baseline: float, margin: Margin, alpha: float, power: float, ratio: float = 1.0) -> float:
    """Control units that show a share, which the treatment does not touch, to be within the margin; `alpha` is of the one side.

    Of the test that is used: as many as it takes for the expected counts to have the z that alpha and power add up to. `ratio`
    is treatment units for each control unit.
    """
    wanted = _NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(power)
    low, high = 2.0, 4.0
    while _expected(baseline, margin, high, ratio) < wanted:
        low, high = high, 2 * high
        if high > _MOST_UNITS:
            return math.inf
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _expected(baseline, margin, middle, ratio) < wanted else (low, middle)
    return high


def _expected(baseline: float, margin: Margin, control: float, ratio: float) -> float:
    return _test((control * baseline, control), (ratio * control * baseline, ratio * control), margin)


def _of_shares(control: Moments, treatment: Moments, margin: Margin) -> float:
    return _test((round(control.y), control.n), (round(treatment.y), treatment.n), margin)


def _is_rate(moments: Moments) -> bool:
    """Whether a ratio is of hits among tries: both are counts, and no unit has more hits than tries, as far as the sums tell."""
    counts = all(float(one).is_integer() for one in (moments.y, moments.yy, moments.d, moments.yd))
    return counts and 0 <= moments.y < moments.d and moments.yy <= moments.yd <= moments.dd


def _design_effect(both: Moments) -> float:
    """How many times the variance of independent tries a rate has, since those of one unit are alike; at least once."""
    rate = both.y / both.d
    return max(1.0, estimate("ratio", both).error ** 2 * both.d / (rate * (1 - rate))) if both.y else 1.0


def _test(control: tuple[float, float], treatment: tuple[float, float], margin: Margin) -> float:
    """The z of being within the margin, of (yes, all) of each arm."""
    (yes, number), (treated, others) = control, treatment
    bound = Line(1.0, margin.absolute) if margin.absolute is not None else Line(margin.ratio or 1.0, 0.0)
    if margin.better == "higher":  # the share of units that say no may not rise
        yes, treated = number - yes, others - treated
        if margin.ratio is not None:  # in terms of those who say no
            bound = Line(1 / margin.ratio, 1 - 1 / margin.ratio)
    return -excess(Sample(others, treated), Sample(number, yes), (bound,))  # type: ignore[arg-type]  # expected counts are no integers
