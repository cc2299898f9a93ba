"""Metrics of a model with their standard errors, so that two samples of rows can be compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

THRESHOLD = 0.5
HIGHER_IS_BETTER = ("roc_auc",)


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric over some rows."""

    value: float
    error: float  # standard
    rows: int


def measure(metric: str, target: Any, score: Any, decided: Any) -> Measure | None:
    """A metric over rows, as arrays; None where they do not allow it: no rows, or one class only for an area.

    Rows without a score, or without a decision, are left out of the metrics that need one.
    """
    import numpy as np

    needed = decided if metric == "error_rate" else score
    kept = np.isfinite(needed) & np.isfinite(target)
    target, score, decided = target[kept], score[kept], decided[kept]
    rows = len(target)
    if not rows:
        return None
    if metric == "roc_auc":
        return _area(target, score)
    if metric == "error_rate":
        wrong = int(np.count_nonzero(decided != target))
        smoothed = (wrong + 1) / (rows + 2)  # no error among few rows is no proof that there are none
        return Measure(wrong / rows, math.sqrt(smoothed * (1 - smoothed) / rows), rows)
    losses = row_losses(metric, target, score)
    spread = float(losses.std(ddof=1)) / math.sqrt(rows) if rows > 1 else math.inf
    value = float(losses.mean())
    if metric == "rmse":  # the delta method
        return Measure(math.sqrt(value), spread / (2 * math.sqrt(value)) if value else 0.0, rows)
    return Measure(value, spread, rows)


def row_losses(metric: str, target: Any, score: Any) -> Any:
    """The loss of each row."""
    import numpy as np

    if metric == "log_loss":
        tiny = np.finfo(np.float64).eps
        clipped = np.clip(score, tiny, 1 - tiny)
        return -np.where(target == 1, np.log(clipped), np.log1p(-clipped))
    return np.abs(score - target) if metric == "mae" else (score - target) ** 2


def worse_by(metric: str, now: float, before: float) -> float:
    """How much worse a value is than another; negative when it is better."""
    return before - now if metric in HIGHER_IS_BETTER else now - before


def p_worse(metric: str, now: Measure, before: Measure, margin: float) -> float:
    """The p-value of a metric having become worse by more than the margin: one-sided, by the normal distribution."""
    excess = worse_by(metric, now.value, before.value) - margin
    error = math.hypot(now.error, before.error)
    if error == 0:
        return 0.0 if excess > 0 else 1.0
    return 0.5 * math.erfc(excess / error / math.sqrt(2))


def _area(target: Any, score: Any) -> Measure | None:
    """The area under the ROC curve. Source of its error: DeLong, DeLong and Clarke-Pearson 1988, by ranks (Sun and Xu 2014)."""
    import numpy as np

    good, bad = score[target == 1], score[target != 1]
    if not len(good) or not len(bad):
        return None
    above = _shares_below(np.sort(bad), good)  # of each positive, the share of negatives below it
    below = 1 - _shares_below(np.sort(good), bad)
    variance = sum(float(part.var(ddof=1)) / len(part) for part in (above, below) if len(part) > 1)
    least = 1 / (4 * len(good) * len(bad))  # perfect order among few rows is no proof of it
    return Measure(float(above.mean()), math.sqrt(max(variance, least)), len(score))


def _shares_below(ordered: Any, values: Any) -> Any:
    import numpy as np

    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(ordered))
