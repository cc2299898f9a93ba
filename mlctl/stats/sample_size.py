"""How many units an experiment needs, how sure that makes it, how long it takes, and what it could see in a given time.

Sizes are for one treatment against one control; `ratio` is treatment units for each control unit. Tests have two tails unless
one is asked for, which is the side of the effect. A formula gives a real number: rounding up is the caller's, so that the
published values can be checked to the digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from mlctl.types.diagnostic import MlctlError

_NORMAL = NormalDist()
_NEGLIGIBLE = 1e-17  # binomial terms below this share of the largest one are left out
_MOST_UNITS = 1e15  # beyond this an effect is called undetectable


@dataclass(frozen=True, slots=True)
class Proportion:
    """A yes-or-no outcome: `baseline` of the control units say yes, and the treatment moves that by `difference`."""

    baseline: float
    difference: float

    def size(self, alpha: float, power: float, ratio: float = 1.0, tails: int = 2) -> float:
        """Control units for a pooled z test. Source: Fleiss, Statistical Methods for Rates and Proportions, 1981, (3.14) without continuity correction."""
        treated = self.baseline + self.difference
        pooled = (self.baseline + ratio * treated) / (1 + ratio)
        under_null = _quantile(1 - alpha / tails) * math.sqrt((1 + ratio) * pooled * (1 - pooled))
        under_effect = _quantile(power) * math.sqrt(
            ratio * self.baseline * (1 - self.baseline) + treated * (1 - treated)
        )
        return (under_null + under_effect) ** 2 / (ratio * self.difference**2)

    def power(self, control: int, treatment: int, alpha: float, tails: int = 2) -> float:
        """The exact chance that the pooled z test rejects, by enumerating both binomials: no approximation but floating point."""
        critical = _quantile(1 - alpha / tails)
        treated = _binomial(treatment, self.baseline + self.difference)
        cumulative = [0.0]
        for share in treated.shares:
            cumulative.append(cumulative[-1] + share)
        accepted = 0.0
        control_terms = _binomial(control, self.baseline)
        for offset, share in enumerate(control_terms.shares):
            low, high = _accepted(control_terms.first + offset, control, treatment, critical)
            if tails == 1:  # whatever is on the other side of the effect is accepted
                low, high = (0, high) if self.difference > 0 else (low, treatment)
            start = min(max(low - treated.first, 0), len(treated.shares))
            end = min(max(high + 1 - treated.first, start), len(treated.shares))
            accepted += share * (cumulative[end] - cumulative[start])
        return min(max(1.0 - accepted, 0.0), 1.0)

    def scaled(self, difference: float) -> Proportion:
        """The same outcome with another effect."""
        return Proportion(self.baseline, difference)

    @property
    def largest(self) -> float:
        """The largest effect of the same sign that a proportion has room for (not reached itself)."""
        return 1 - self.baseline if self.difference > 0 else -self.baseline


@dataclass(frozen=True, slots=True)
class Mean:
    """A measured outcome with standard deviation `std` in both arms; the treatment moves its mean by `difference`."""

    difference: float
    std: float

    def size(self, alpha: float, power: float, ratio: float = 1.0, tails: int = 2) -> float:
        """Control units for a t test with equal variances, by solving its exact power. Source: Cohen, Statistical Power Analysis, 1988, 2.3."""
        effect = abs(self.difference) / self.std
        normal = (
            (_quantile(1 - alpha / tails) + _quantile(power)) ** 2 * (1 + 1 / ratio) / effect**2
        )  # always a little too small
        return _solve(
            lambda units: _t_power(effect, units, ratio * units, alpha, tails) - power,
            max(normal, 2 / (1 + ratio) + 1e-6),
            normal + 10,
        )

    def power(self, control: int, treatment: int, alpha: float, tails: int = 2) -> float:
        """The exact chance that the t test rejects, from the noncentral t distribution."""
        return _t_power(abs(self.difference) / self.std, control, treatment, alpha, tails)

    def scaled(self, difference: float) -> Mean:
        """The same outcome with another effect."""
        return Mean(difference, self.std)

    @property
    def largest(self) -> float:
        """The largest effect looked at: ten standard deviations."""
        return math.copysign(10 * self.std, self.difference)


def ratio_std(ratio: float, std: float, mean: float, denominator_std: float, correlation: float) -> float:
    """The standard deviation between units that a ratio of two sums has, so that it is sized like a mean.

    `std` is of the numerator, `mean` and `denominator_std` are of the denominator. Source: the delta method, as in Deng et al.
    2018, Applying the delta method in metric analytics, equation 4.
    """
    variance = std**2 - 2 * ratio * correlation * std * denominator_std + (ratio * denominator_std) ** 2
    return math.sqrt(max(variance, 0.0)) / mean


def explained_std(std: float, r2: float) -> float:
    """What is left of a standard deviation when a covariate explains `r2` of the variance. Source: Deng et al. 2013 (CUPED)."""
    return std * math.sqrt(1 - r2)


def noninferiority_size(
    std: float, margin: float, alpha: float, power: float, ratio: float = 1.0, factor: float = 1.0
) -> float:
    """Control units that show a treatment, which is no worse at all, to be within `margin`. `alpha` is of the one side.

    With `factor` the treatment is held against so many times the control, which then varies as many times as much.
    Source: Julious 2004, Sample sizes for clinical trials with normal data, 4.
    """
    return (_quantile(1 - alpha) + _quantile(power)) ** 2 * std**2 * (factor**2 + 1 / ratio) / margin**2


def guardrail_power(power: float, guardrails: int) -> float:
    """The power each test needs so that the whole decision (primary superior and all guardrails non-inferior) has `power`.

    beta / (G + 1). Source: Schultzberg et al. 2024, Risk-aware product decisions in A/B tests with multiple metrics, arXiv 2402.11609.
    """
    return 1 - (1 - power) / (guardrails + 1)


def weeks(units: int, units_per_day: float, least_days: float) -> int:
    """Whole weeks until `units` have been seen, and no fewer days than `least_days`: each weekday counts equally often."""
    days = max(least_days, math.ceil(units / units_per_day - 1e-9))
    return max(1, math.ceil(days / 7 - 1e-9))


def detectable(
    outcome: Proportion | Mean, control: float, alpha: float, power: float, ratio: float = 1.0, tails: int = 2
) -> float | None:
    """The smallest effect of the outcome's sign that `control` units find with `power`; None when even the largest is not."""
    largest = outcome.largest * (1 - 1e-9)
    if control < 2 or outcome.scaled(largest).size(alpha, power, ratio, tails) > control:
        return None
    least, most = 0.0, 1.0
    for _ in range(60):
        middle = (least + most) / 2
        enough = (
            abs(middle * largest) > 0
            and _quick(outcome.scaled(middle * largest), alpha, power, ratio, tails) <= control
        )
        least, most = (least, middle) if enough else (middle, most)
    return most * largest


def _quick(outcome: Proportion | Mean, alpha: float, power: float, ratio: float, tails: int) -> float:
    """The size, without solving a t test for units that no experiment will ever have."""
    if isinstance(outcome, Mean) and outcome.std / abs(outcome.difference) > math.sqrt(_MOST_UNITS):
        return math.inf
    return outcome.size(alpha, power, ratio, tails)


def _quantile(probability: float) -> float:
    return _NORMAL.inv_cdf(probability)


@dataclass(frozen=True, slots=True)
class _Binomial:
    """The part of a binomial distribution that matters: shares of `first`, `first + 1`, ... successes; they sum to 1."""

    first: int
    shares: list[float]


def _binomial(units: int, chance: float) -> _Binomial:
    """Terms by their ratios, outwards from the mode: no factorials, so no loss of digits at any size."""
    mode = min(int((units + 1) * chance), units)
    odds = chance / (1 - chance)
    below: list[float] = []
    term, k = 1.0, mode
    while k > 0 and term > _NEGLIGIBLE:
        term *= k / ((units - k + 1) * odds)
        k -= 1
        below.append(term)
    above: list[float] = []
    term, k = 1.0, mode
    while k < units and term > _NEGLIGIBLE:
        term *= (units - k) * odds / (k + 1)
        k += 1
        above.append(term)
    terms = [*reversed(below), 1.0, *above]
    total = math.fsum(terms)
    return _Binomial(mode - len(below), [term / total for term in terms])


def _accepted(successes: int, control: int, treatment: int, critical: float) -> tuple[int, int]:
    """The treatment successes that do not reject, given those of the control: always one run of whole numbers.

    z**2 <= critical**2 is a quadratic inequality in the treatment's rate. Its roots are rounded inwards and then put right
    against the test itself, since rounding may be off by one.
    """
    p, c = successes / control, critical**2 * (1 / control + 1 / treatment)
    a, b = control / (control + treatment), treatment / (control + treatment)  # pooled = a p + b q
    square = 1 + c * b * b
    linear = -2 * p + c * (2 * a * b * p - b)
    constant = p * p + c * (a * a * p * p - a * p)
    root = math.sqrt(max(linear * linear - 4 * square * constant, 0.0))
    low = max(math.ceil((-linear - root) / (2 * square) * treatment), 0)
    high = min(math.floor((-linear + root) / (2 * square) * treatment), treatment)
    while low > 0 and not _rejects(successes, low - 1, control, treatment, c):
        low -= 1
    while low <= high and _rejects(successes, low, control, treatment, c):
        low += 1
    while high < treatment and not _rejects(successes, high + 1, control, treatment, c):
        high += 1
    while high >= low and _rejects(successes, high, control, treatment, c):
        high -= 1
    return low, high


def _rejects(successes: int, treated: int, control: int, treatment: int, c: float) -> bool:
    pooled = (successes + treated) / (control + treatment)
    return (successes / control - treated / treatment) ** 2 > c * pooled * (1 - pooled)


def _t_power(effect: float, control: float, treatment: float, alpha: float, tails: int = 2) -> float:
    try:
        from scipy.special import nctdtr, stdtrit
    except ModuleNotFoundError:
        raise MlctlError.of(
            "extra.missing",
            "sizing an experiment on a mean needs the package `scipy`",
            "the power of a t test comes from the noncentral t distribution",
            "pip install 'mlctl[stats]'",
        ) from None
    freedom = control + treatment - 2
    shift = effect * math.sqrt(control * treatment / (control + treatment))
    critical = float(stdtrit(freedom, 1 - alpha / tails))
    wrong_side = nctdtr(freedom, shift, -critical) if tails == 2 else 0.0
    return float(1 - nctdtr(freedom, shift, critical) + wrong_side)


def _solve(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function crosses zero. `low` may already be past it, then it is the answer."""
    if rising(low) >= 0:
        return low
    while rising(high) < 0:
        high *= 2
    while high - low > 1e-11 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) >= 0 else (middle, high)
    return high
