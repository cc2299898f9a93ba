"""The domain classifier: can a model tell the window's rows from the reference's, and by which features?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlctl.stats.comparison import Comparison
from mlctl.types.jobs.reference import CategoryCode, Encoding

_SEED = 20_261_122
_TREES, _LEAVES, _RATE, _SMALLEST_LEAF = 60, 4, 0.1, 40  # small trees: most windows differ little, if at all
_NAMED, _WORTH_NAMING = 5, 0.005


def domain_classifier(encoding: Encoding, reference: Any, current: Any) -> tuple[Comparison, list[dict[str, Any]]]:
    """The area under the ROC curve over two halves, each judged by a model of the other, and the features that it rests on.

    Within a half the area is that of Mann and Whitney, whose law without drift is known. The two halves' areas are not
    independent, since each half also taught the other's model; so their mean is held against the spread of a single one,
    which it cannot exceed however they hang together (Lopez-Paz and Oquab 2017 hold back a half in the same way).
    """
    kinds = [isinstance(code, CategoryCode) for code in encoding.codes]
    random = np.random.default_rng(_SEED)
    sides = [_halves(len(rows), random) for rows in (reference, current)]
    areas, spreads, drops = [], [], []
    for half in (0, 1):
        learnt = [rows[side != half] for rows, side in zip((reference, current), sides, strict=True)]
        held = [rows[side == half] for rows, side in zip((reference, current), sides, strict=True)]
        model = _model(kinds)
        model.fit(np.vstack(learnt), np.repeat([0, 1], [len(rows) for rows in learnt]))
        area = _area(model, *held)
        areas.append(area)
        spreads.append(_spread(*map(len, held)))
        drops.append([_without(model, held, index, area, random) for index in range(len(kinds))])
    mean, spread = float(np.mean(areas)), max(spreads)
    p = 0.5 * math.erfc((mean - 0.5) / spread / math.sqrt(2))
    lost = sorted(
        zip(np.mean(drops, axis=0).tolist(), (code.name for code in encoding.codes), strict=True), reverse=True
    )
    named = [{"feature": name, "area_lost": round(drop, 4)} for drop, name in lost if drop >= _WORTH_NAMING]
    return Comparison(mean, mean, p, len(reference), len(current)), named[:_NAMED]


def _model(kinds: list[bool]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=_TREES, max_leaf_nodes=_LEAVES, learning_rate=_RATE, min_samples_leaf=_SMALLEST_LEAF,
        early_stopping=False, categorical_features=kinds if any(kinds) else None, random_state=_SEED,
    )  # fmt: skip


def _halves(rows: int, random: Any) -> Any:
    return random.permutation(rows) % 2


def _area(model: Any, reference: Any, current: Any) -> float:
    scores = model.decision_function(np.vstack([reference, current]))
    m, n = len(reference), len(current)
    ranks = _ranks(scores)
    return float((ranks[m:].sum() - n * (n + 1) / 2) / (m * n))


def _ranks(scores: Any) -> Any:
    """Ranks from 1; those of equal scores are their mean."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[place]


def _spread(m: int, n: int) -> float:
    """The standard deviation of the area without drift; ties make it smaller."""
    return math.sqrt((m + n + 1) / (12 * m * n))


def _without(model: Any, held: list[Any], index: int, area: float, random: Any) -> float:
    """What is lost of the area when a feature tells nothing: its values are shuffled over both sides."""
    m = len(held[0])
    both = np.vstack(held)
    both[:, index] = random.permutation(both[:, index])
    return area - _area(model, both[:m], both[m:])
