"""Other ways to compare two error rates at every look, for scripts/bench/serving_statistics.py: each says at which look it would abort.

`fixed sample` is no rival: it looks once, at the end, and marks what any test could find with that many requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

from mlctl.stats.contrast import Line, Sample, excess, information
from mlctl.stats.sequential import Sequential

Path = Sequence[tuple[Sample, Sample]]  # what both sides had by each look: the candidate's, the baseline's
_ODDS = {1.5: 0.2, 3.0: 0.4, 6.0: 0.25, 20.0: 0.15}  # the alternatives a bettor believes in, and how much
_BEGINNING = (0.0005, 0.002, 0.01, 0.05, 0.2)  # error rates it believes in before it has seen any


def group_sequential(path: Path, margin: float, alpha: float) -> bool:
    """Ours."""
    test = Sequential(alpha, 700.0)
    bound = (Line(1.0, margin),)
    return any(
        test.look(excess(one, other, bound), information(one.number, other.number), min(one.number, other.number))
        for one, other in path
    )


def asymptotic_sequence(path: Path, margin: float, alpha: float) -> bool:
    """An asymptotic confidence sequence (Waudby-Smith et al. 2021), one-sided, tightest at 1,000 requests of the candidate."""
    for one, other in path:
        number = one.number
        tuned = 1000 / number
        rho = math.sqrt((-2 * math.log(2 * alpha) + math.log(-2 * math.log(2 * alpha) + 1)) / (tuned * number))
        growth = number * rho * rho + 1
        width = math.sqrt(2 * growth / (number * rho * rho) * math.log(math.sqrt(growth) / (2 * alpha)) / number)
        deviation = math.sqrt(_variance(one) + _variance(other) * one.number / other.number)
        if number >= 50 and one.rate - other.rate - margin > width * deviation > 0:
            return True
    return False


def betting(path: Path, margin: float, alpha: float) -> bool:
    """A bet against the margin, block by block (Turner and Grünwald 2023): valid exactly, whatever the sizes and looks."""
    wealth = dict.fromkeys(_ODDS, 0.0)
    seen, base = Sample(0, 0), Sample(0, 0)
    for one, other in path:
        block = Sample(one.number - seen.number, one.hits - seen.hits)
        against = Sample(other.number - base.number, other.hits - base.hits)
        for odds in wealth:
            if base.number:
                expected = base.hits + max(0.0, seen.hits - odds * margin * seen.number) + 0.5
                wealth[odds] += _won(block, against, expected / (base.number + odds * seen.number + 50), odds, margin)
            else:
                first = [_won(block, against, rate, odds, margin) for rate in _BEGINNING]
                wealth[odds] += _log_sum(first) - math.log(len(first))
        seen, base = one, other
        if _log_sum([math.log(_ODDS[odds]) + won for odds, won in wealth.items()]) >= math.log(1 / alpha):
            return True
    return False


def naive(path: Path, margin: float, alpha: float) -> bool:
    """The plain z test at every look, as if it were the only one."""
    return any(_z(one, other, margin) > NormalDist().inv_cdf(1 - alpha) for one, other in path if one.number >= 100)


def fixed_sample(path: Path, margin: float, alpha: float) -> bool:
    """The plain z test once, at the last look."""
    return _z(*path[-1], margin) > NormalDist().inv_cdf(1 - alpha)


TESTS: dict[str, Callable[[Path, float, float], bool]] = {
    "group-sequential (mlctl)": group_sequential,
    "betting": betting,
    "asymptotic sequence": asymptotic_sequence,
    "plain z, every look": naive,
    "plain z, one look": fixed_sample,
}


def _z(one: Sample, other: Sample, margin: float) -> float:
    pooled = (one.hits + other.hits) / (one.number + other.number)
    error = math.sqrt(pooled * (1 - pooled) * (1 / one.number + 1 / other.number))
    return (one.rate - other.rate - margin) / error if error else 0.0


def _variance(sample: Sample) -> float:
    return sample.rate * (1 - sample.rate)


def _won(block: Sample, against: Sample, rate: float, odds: float, margin: float) -> float:
    """The logarithm of what a block wins against the nearest point at which the margin holds."""
    edge = rate + margin
    believed = odds * edge / (1 - edge + odds * edge)
    low, high = 1e-9, 1 - margin - 1e-9
    for _ in range(40):
        middle = (low + high) / 2
        gradient = against.number * (middle - rate) / (middle * (1 - middle))
        gradient += block.number * (middle + margin - believed) / ((middle + margin) * (1 - middle - margin))
        low, high = (low, middle) if gradient > 0 else (middle, high)
    return _ratio(against, rate, low) + _ratio(block, believed, low + margin)


def _ratio(sample: Sample, rate: float, of: float) -> float:
    return sample.hits * math.log(rate / of) + (sample.number - sample.hits) * math.log((1 - rate) / (1 - of))


def _log_sum(parts: Sequence[float]) -> float:
    largest = max(parts)
    return largest + math.log(sum(math.exp(part - largest) for part in parts))
