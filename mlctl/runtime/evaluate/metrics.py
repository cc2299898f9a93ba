"""Metrics of binary classification and regression, as scikit-learn defines them (its import alone costs 1.5 s; tests compare)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlctl.types.jobs.learnable import THRESHOLD


def score_metrics(task: str, target: Any, score: Any) -> dict[str, float]:
    """All metrics of a task that the rows allow: with one class only there is no roc_auc, with constant targets no r2."""
    target, score = np.asarray(target, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if not len(target):
        return {}
    return _binary(target, score) if task == "binary" else _regression(target, score)


def roc_auc(target: Any, score: Any) -> float | None:
    """The area under the ROC curve by the rank sum, ties counting half (Mann-Whitney); None with one class only."""
    positives = int(target.sum())
    negatives = len(target) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    return float((ranks[target == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _binary(target: Any, score: Any) -> dict[str, float]:
    guess = score >= THRESHOLD
    hit = float(np.sum(guess & (target == 1)))
    named, actual = float(guess.sum()), float(target.sum())
    tiny = np.finfo(np.float64).eps
    clipped = np.clip(score, tiny, 1 - tiny)
    found = {
        "accuracy": float(np.mean(guess == (target == 1))),
        "log_loss": float(-np.mean(np.where(target == 1, np.log(clipped), np.log1p(-clipped)))),
        "brier": float(np.mean((score - target) ** 2)),
        "precision": hit / named if named else 0.0,
        "recall": hit / actual if actual else 0.0,
        "f1": 2 * hit / (named + actual) if named + actual else 0.0,
    }
    area = roc_auc(target, score)
    return found if area is None else {"roc_auc": area, **found}


def _regression(target: Any, score: Any) -> dict[str, float]:
    error = score - target
    spread = float(np.sum((target - target.mean()) ** 2))
    found = {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}
    return found if spread == 0 else {**found, "r2": 1 - float(np.sum(error**2)) / spread}


def roc_curve(target: Any, score: Any, points: int = 100) -> list[tuple[float, float]]:
    """(false positive rate, true positive rate) from (0, 0) to (1, 1), thinned to at most so many points."""
    order = np.argsort(-score, kind="stable")
    hits, ranked = np.cumsum(target[order]), score[order]
    last = np.append(np.nonzero(np.diff(ranked))[0], len(ranked) - 1)  # ties are one step
    true = hits[last] / max(hits[-1], 1)
    false = (last + 1 - hits[last]) / max(len(target) - hits[-1], 1)
    chosen = np.unique(np.linspace(0, len(last) - 1, min(points, len(last))).astype(int))
    return [(0.0, 0.0), *((float(false[index]), float(true[index])) for index in chosen)]


def calibration(target: Any, score: Any, bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean score, share of positives, rows) for each tenth of the score range that holds rows."""
    place = np.minimum((score * bins).astype(int), bins - 1)
    return [
        (float(score[place == index].mean()), float(target[place == index].mean()), int((place == index).sum()))
        for index in range(bins)
        if (place == index).any()
    ]
