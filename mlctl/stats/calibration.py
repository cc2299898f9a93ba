"""How good a binary model is by its own scores: calibrated on held-out rows, they say how often it is right.

Of a row whose calibrated score is c, a share c is positive, so that each metric of many such rows has an expected value
without any label (confidence-based estimation, as in NannyML). The interval is a bootstrap of both sides at once: of the
held-out rows, from which the calibration and the metric to compare with come, and of the rows of now.

What this rests on: a row of a score is as often positive now as it was held out. When that is what changed (concept drift),
no score tells, and the estimate stays as good as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlctl.stats.performance import HIGHER_IS_BETTER, THRESHOLD

CANNOT_SEE = (
    "This estimate cannot see concept drift: when the same scores come to be wrong more often, only labels show it. "
    "It tells what a change of the requests alone does to the metric."
)
ISOTONIC_ROWS = 1000  # fewer rows get two parameters instead of a staircase
_DRAWS, _SEED = 200, 20_260_615
_RIDGE = 1e-6
Calibration = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric of now and held out, with the change between them; `low` and `high` are of the metric, `change_*` of how much worse."""

    value: float
    low: float
    high: float
    reference: float
    change: float
    change_low: float
    change_high: float


def method_for(rows: int) -> str:
    """How scores of so many held-out rows are calibrated."""
    return "isotonic regression" if rows >= ISOTONIC_ROWS else "logistic regression"


def calibrate(score: Any, target: Any, weight: Any = None) -> Calibration:
    """A function from scores to shares of positives. Scores outside those seen get the nearest."""
    import numpy as np

    if len(score) >= ISOTONIC_ROWS:
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(score, target, sample_weight=weight)
        return lambda values: np.asarray(fitted.predict(values), dtype=np.float64)
    slope, level = _logistic(_logit(score), target, np.ones(len(score)) if weight is None else weight)
    return lambda values: 1 / (1 + np.exp(-np.clip(slope * _logit(values) + level, -35, 35)))


def expected(metric: str, score: Any, share: Any, decided: Any, weight: Any = None) -> float:
    """The value to expect of a metric over rows of which a share is positive each. NaN when there is no such value."""
    import numpy as np

    weight = np.ones(len(score)) if weight is None else weight
    total = float(weight.sum())
    if metric == "error_rate":
        return float(weight @ np.where(decided == 1, 1 - share, share)) / total
    if metric == "log_loss":
        tiny = np.finfo(np.float64).eps
        clipped = np.clip(score, tiny, 1 - tiny)
        return float(-(weight @ (share * np.log(clipped) + (1 - share) * np.log1p(-clipped)))) / total
    _, place = np.unique(score, return_inverse=True)
    good, bad = np.bincount(place, weight * share), np.bincount(place, weight * (1 - share))
    pairs = good.sum() * bad.sum()
    return float(good @ (np.cumsum(bad) - bad / 2) / pairs) if pairs > 0 else float("nan")


def estimate(metric: str, held: tuple[Any, Any], score: Any, decided: Any, alpha: float) -> Estimate:
    """A metric of rows without labels, next to the same metric held out. `held` are scores and targets.

    The interval has `alpha` on each side. It is of the expected metric: what chance makes of single labels is not in it.
    """
    import numpy as np

    known, target = held
    own = (known >= THRESHOLD).astype(np.float64)
    random = np.random.default_rng(_SEED)

    def both(weight_held: Any, weight_now: Any) -> tuple[float, float]:
        share = calibrate(known, target, weight_held)(score)
        return expected(metric, score, share, decided, weight_now), expected(metric, known, target, own, weight_held)

    value, reference = both(None, None)
    drawn = np.array(
        [
            both(
                random.multinomial(len(known), np.full(len(known), 1 / len(known))).astype(np.float64),
                random.multinomial(len(score), np.full(len(score), 1 / len(score))).astype(np.float64),
            )
            for _ in range(_DRAWS)
        ]
    )
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    low, high = _around(value, drawn[:, 0], alpha)
    change = sign * (value - reference)
    change_low, change_high = _around(change, sign * (drawn[:, 0] - drawn[:, 1]), alpha)
    most = np.inf if metric == "log_loss" else 1.0
    return Estimate(value, max(low, 0.0), float(min(high, most)), reference, change, change_low, change_high)


def _around(value: float, drawn: Any, alpha: float) -> tuple[float, float]:
    """The interval of the basic bootstrap: the staircase of a calibration bends draws to one side, and it to the other."""
    import numpy as np

    low, high = np.quantile(drawn, [alpha, 1 - alpha])
    return float(2 * value - high), float(2 * value - low)


def _logit(score: Any) -> Any:
    import numpy as np

    clipped = np.clip(score, 1e-9, 1 - 1e-9)
    return np.log(clipped / (1 - clipped))


def _logistic(x: Any, target: Any, weight: Any) -> tuple[float, float]:
    """The slope and level that fit best, by Newton's method (Platt 1999, with a trace of ridge for classes that are apart).

    Written out since hundreds of draws are fitted, and a solver for any number of features takes a hundred times as long.
    """
    import numpy as np

    rows = np.column_stack([x, np.ones(len(x))])
    found = np.array([1.0, 0.0])
    for _ in range(50):
        share = 1 / (1 + np.exp(-np.clip(rows @ found, -35, 35)))
        slope = rows.T @ (weight * (share - target)) + _RIDGE * found
        bend = (rows * (weight * share * (1 - share))[:, None]).T @ rows + _RIDGE * np.eye(2)
        step = np.linalg.solve(bend, slope)
        found = found - step * min(1.0, 5 / float(np.abs(step).max() or 1))
        if float(np.abs(step).max()) < 1e-10:
            break
    return float(found[0]), float(found[1])
