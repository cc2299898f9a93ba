"""Has a distribution moved, by how much, and how surely: two-sample tests whose p-values hold, and the decision over many.

Every test says two things, a p-value and an effect in the method's own unit, because each alone misleads: p-values call any
trifle drift when rows abound, and fixed thresholds on an effect call noise drift when rows are few. An alarm needs both,
after the p-values have been adjusted for how many tests were made. What no such test can see: a change of the outcome given
the features (concept drift), and a change of how features go together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from mlctl.stats.multiple import adjust

_SEED = 20_240_501
_DRAWS = 10_000
_FEW_ROWS, _DOUBTFUL, _PERMUTATIONS, _ENOUGH = 1000, 0.1, 1999, 20
_LEAST_EXPECTED = 5.0  # Cochran 1954: the chi-square approximation wants at least five expected in each class


class Method(StrEnum):
    """The tests. `ks` and `wasserstein` are for numbers, `chi_square` for categories, `psi` for both."""

    KS = "ks"
    PSI = "psi"
    WASSERSTEIN = "wasserstein"
    CHI_SQUARE = "chi_square"


NUMERIC = (Method.KS, Method.PSI, Method.WASSERSTEIN)
CATEGORICAL = (Method.PSI, Method.CHI_SQUARE)

# The least effect worth an alarm: D (largest gap between the distribution functions), PSI (0.1 watch, 0.25 act), distance in
# standard deviations, and the share of rows that changed class.
MARGINS: Mapping[Method, float] = {Method.KS: 0.05, Method.PSI: 0.1, Method.WASSERSTEIN: 0.1, Method.CHI_SQUARE: 0.05}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one test found. `effect` is what is held against the margin; `rows` are those of the current data it rests on."""

    statistic: float
    effect: float
    p_value: float
    reference_rows: int
    rows: int


class Verdict(StrEnum):
    """What is made of a test, a column or a whole run. No data is never ok."""

    ALARM = "alarm"
    OK = "ok"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class Finding:
    """One test of one column after the decision; the figures are None when there was too little data to make it."""

    column: str
    method: Method
    rows: int
    verdict: Verdict
    margin: float
    effect: float | None = None
    statistic: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    reference_rows: int | None = None


def decide(
    tests: Sequence[tuple[str, Method, Comparison]],
    alpha: float,
    correction: str,
    margins: Mapping[Method, float],
    min_rows: int,
) -> list[Finding]:
    """Alarm where the adjusted p-value is below alpha and the effect reaches its margin. Tests on fewer than `min_rows` rows are not made."""
    made = [(column, method, found) for column, method, found in tests if found.rows >= min_rows]
    adjusted = iter(adjust([found.p_value for _, _, found in made], correction))
    findings = []
    for column, method, found in tests:
        if found.rows < min_rows:
            findings.append(Finding(column, method, found.rows, Verdict.NO_DATA, margins[method]))
            continue
        p = next(adjusted)
        verdict = Verdict.ALARM if p < alpha and found.effect >= margins[method] else Verdict.OK
        findings.append(
            Finding(
                column,
                method,
                found.rows,
                verdict,
                margins[method],
                found.effect,
                found.statistic,
                found.p_value,
                p,
                found.reference_rows,
            )
        )
    return findings


def column_verdicts(findings: Sequence[Finding]) -> dict[str, Verdict]:
    """A column alarms when any of its tests does, and lacks data when none could be made."""
    verdicts: dict[str, Verdict] = {}
    for found in findings:
        seen = {verdicts.get(found.column, Verdict.NO_DATA), found.verdict}
        verdicts[found.column] = next(item for item in Verdict if item in seen)
    return verdicts


def overall(columns: Mapping[str, Verdict]) -> Verdict:
    """A run alarms when any column does, and is ok only when every column is."""
    if Verdict.ALARM in columns.values():
        return Verdict.ALARM
    return Verdict.OK if columns and all(item is Verdict.OK for item in columns.values()) else Verdict.NO_DATA


def ks(reference: Any, current: Any) -> Comparison:
    """Kolmogorov-Smirnov, two samples. With ties it errs on the side of no alarm. Source: Hodges 1958; the p-value is scipy's asymptotic one."""
    from scipy.stats import ks_2samp

    found = ks_2samp(reference, current, method="asymp")
    return Comparison(float(found.statistic), float(found.statistic), float(found.pvalue), len(reference), len(current))


def wasserstein(reference: Any, current: Any) -> Comparison:
    """The first Wasserstein distance; the effect is in standard deviations of the reference, as Evidently and NannyML norm it.

    Without drift sqrt(nm / (n + m)) times the distance tends to the integral of |B(F(x))| dx for a Brownian bridge B (del
    Barrio, Gine, Matran 1999): its law is simulated once on fixed levels and weighted with the pooled quantiles. Beyond what
    the draws resolve, the Borell-TIS inequality bounds the tail; the largest variance in it is that of the data. With few
    rows and heavy tails that law is not reached yet, so a small p-value of a small sample is checked by permutation.
    """
    import numpy as np

    n, m = len(current), len(reference)
    pooled = np.sort(np.concatenate([reference, current]))
    steps = np.diff(pooled)
    gap = np.abs(
        np.searchsorted(np.sort(reference), pooled[:-1], "right") / m
        - np.searchsorted(np.sort(current), pooled[:-1], "right") / n
    )
    distance = float(gap @ steps)
    scaled = distance * math.sqrt(n * m / (n + m))
    levels, bridges = _bridges()
    borders = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    draws = bridges @ np.diff(np.quantile(pooled, borders))
    p = (1 + int(np.count_nonzero(draws >= scaled))) / (1 + len(draws))
    excess, variance = scaled - float(draws.mean()), float(pooled.var())
    if excess > 0 and variance > 0:
        p = min(p, math.exp(-(excess**2) / (2 * variance)))
    if n < _FEW_ROWS and p < _DOUBTFUL:
        exceeding, splits = _permuted(steps, distance, n, m)
        p = (1 + exceeding) / (1 + splits) if exceeding else min(p, 1 / (1 + splits))
    spread = max(float(np.std(reference, ddof=1)) if m > 1 else 0.0, 0.001)
    return Comparison(distance, distance / spread, p, m, n)


def psi(reference: Sequence[float], current: Sequence[float]) -> Comparison:
    """The population stability index of class counts, with a p-value.

    Without drift it is (1/n + 1/m) times a chi-square of classes - 1 (Yurdakul 2018, Statistical Properties of Population
    Stability Index). Rare classes are put together first; half a row is added to each class, so that an empty one has a log.
    """
    from scipy.special import chdtrc

    pairs = _pooled_classes(reference, current)
    m, n = sum(reference), sum(current)
    if len(pairs) < 2:
        return Comparison(0.0, 0.0, 1.0, round(m), round(n))
    index = 0.0
    for before, now in pairs:
        p, q = (before + 0.5) / (m + 0.5 * len(pairs)), (now + 0.5) / (n + 0.5 * len(pairs))
        index += (q - p) * math.log(q / p)
    return Comparison(index, index, float(chdtrc(len(pairs) - 1, index / (1 / n + 1 / m))), round(m), round(n))


def chi_square(reference: Sequence[float], current: Sequence[float]) -> Comparison:
    """Pearson's test that two sets of class counts have one distribution; the effect is the total variation distance."""
    from scipy.special import chdtrc

    pairs = _pooled_classes(reference, current)
    m, n = sum(reference), sum(current)
    if len(pairs) < 2:
        return Comparison(0.0, 0.0, 1.0, round(m), round(n))
    statistic = sum(
        (now - (before + now) * n / (n + m)) ** 2 * (n + m) ** 2 / ((before + now) * n * m) for before, now in pairs
    )
    effect = 0.5 * sum(abs(before / m - now / n) for before, now in pairs)
    return Comparison(statistic, effect, float(chdtrc(len(pairs) - 1, statistic)), round(m), round(n))


def cuts(sample: Any) -> list[float]:
    """Where to cut numbers into classes, from the reference alone: its range and its deciles, once each.

    A class holds its lower border. Few distinct values give few classes; what is outside the reference's range is in
    classes of its own, which is how a constant that changes is seen. Classes made anew from each window would hide drift.
    """
    import numpy as np

    deciles = np.quantile(sample, np.linspace(0, 1, 11), method="inverted_cdf")
    return [float(value) for value in np.unique([*deciles[:-1], np.nextafter(deciles[-1], np.inf)])]


def counts(values: Any, borders: Sequence[float], missing: float) -> list[float]:
    """Rows in each class of `cuts`, and missing ones as a class of their own."""
    import numpy as np

    classes = np.bincount(np.searchsorted(np.asarray(borders), values, "right"), minlength=len(borders) + 1)
    return [*(float(count) for count in classes), float(missing)]


def _pooled_classes(reference: Sequence[float], current: Sequence[float]) -> list[tuple[float, float]]:
    """Pairs of counts, with classes of too few expected rows put together, the rarest first. Looks at totals only, which a test may."""
    m, n = sum(reference), sum(current)
    if not m or not n:
        return []
    least = _LEAST_EXPECTED * (m + n) / min(m, n)
    pairs = sorted(
        ((before, now) for before, now in zip(reference, current, strict=True) if before + now > 0),
        key=lambda pair: (pair[0] + pair[1], pair),
    )
    while len(pairs) > 1 and sum(pairs[0]) < least:
        (a, b), (c, d), *rest = pairs
        pairs = sorted([(a + c, b + d), *rest], key=lambda pair: (pair[0] + pair[1], pair))
    return pairs


def _permuted(steps: Any, distance: float, n: int, m: int) -> tuple[int, int]:
    """How many random splits of the pooled rows into n and m lie at least as far apart, of how many.

    It ends early when that is common enough to be sure of it (Besag and Clifford 1991). Seeded, in blocks to bound memory.
    """
    import numpy as np

    random = np.random.default_rng(_SEED)
    block = np.tile(np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)]), (100, 1))
    exceeding, splits = 0, 0
    while splits < _PERMUTATIONS and exceeding < _ENOUGH:
        split = random.permuted(block[: _PERMUTATIONS - splits], axis=1)
        exceeding += int(np.count_nonzero(np.abs(np.cumsum(split, axis=1)[:, :-1]) @ steps >= distance * (1 - 1e-12)))
        splits += len(split)
    return exceeding, splits


@lru_cache(maxsize=1)
def _bridges() -> tuple[Any, Any]:
    """Levels between 0 and 1, closer together near both ends, and |B| at each for many drawn Brownian bridges. Seeded."""
    import numpy as np

    tail = np.array([0.0005, 0.001, 0.002, 0.004, 0.007])
    levels = np.concatenate([tail, np.arange(0.01, 0.9901, 0.01), 1 - tail[::-1]])
    random = np.random.default_rng(_SEED)
    steps = np.sqrt(np.diff(levels, prepend=0.0, append=1.0))
    walks = np.cumsum(random.standard_normal((_DRAWS, len(steps))) * steps, axis=1)
    return levels, np.abs(walks[:, :-1] - walks[:, -1:] * levels)
