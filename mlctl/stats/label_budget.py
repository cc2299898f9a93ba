"""How many labels it takes to see that a model has come to err more often: an exact binomial test of one window.

Prediction-powered inference (Angelopoulos et al. 2023) adds what the model's own confidence tells of rows without a label. It
saves the share of the variance of errors that confidence explains, and that is small: of a model that errs 15 times in 100,
mostly where it is unsure, about a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from mlctl.stats.performance import THRESHOLD

_MOST_LABELS = 20_000_000
_LOOKED_AT = 200_000  # sizes that are looked at exactly


def power(labels: int, rate: float, drop: float, alpha: float) -> float:
    """The exact chance that so many labels show a rise of the error rate by `drop`, in a one-sided test at alpha."""
    return float(_powers([labels], rate, drop, alpha)[0])


def labels_needed(rate: float, drop: float, alpha: float, wanted: float) -> int:
    """The least number from which on the power stays at what is wanted. Raises ValueError when nobody could label so many."""
    import numpy as np

    normal = NormalDist()
    risen = rate + drop
    if not 0 < rate < risen < 1:
        raise ValueError(f"an error rate of {rate:g} cannot rise by {drop:g}")
    spread = [math.sqrt(share * (1 - share)) for share in (rate, risen)]
    about = ((normal.inv_cdf(1 - alpha) * spread[0] + normal.inv_cdf(wanted) * spread[1]) / drop) ** 2
    if about > _MOST_LABELS:
        raise ValueError(f"that takes about {about:,.0f} labels")
    # Of rare errors, one more is allowed about every 1 / rate labels, and the power falls back each time.
    last = int(2 * about + 60 + 10 / rate)
    first = 1 if last <= _LOOKED_AT else max(1, int(0.6 * about) - 30)
    while last <= 10 * _MOST_LABELS:
        sizes = np.arange(first, last + 1, max(1, (last - first) // _LOOKED_AT))
        lacking = np.nonzero(_powers(sizes, rate, drop, alpha) < wanted)[0]  # it goes up in a sawtooth
        if not len(lacking):
            return first
        if lacking[-1] + 1 < len(sizes):
            return int(sizes[lacking[-1] + 1])
        last *= 2
    raise ValueError(f"that takes more than {_MOST_LABELS:,} labels")


def explained(scores: Sequence[float], targets: Sequence[float]) -> float:
    """The share of the variance of a binary model's errors that its confidence explains, on held-out rows: rather too much, since the same rows calibrate it."""
    import numpy as np

    from mlctl.stats.calibration import calibrate

    score, target = np.asarray(scores), np.asarray(targets)
    wrong = ((score >= THRESHOLD) != (target == 1)).astype(np.float64)
    if wrong.std() == 0 or target.std() == 0:
        return 0.0
    share = calibrate(score, target)(score)
    foreseen = np.where(score >= THRESHOLD, 1 - share, share)
    if foreseen.std() == 0:
        return 0.0
    return float(np.corrcoef(wrong, foreseen)[0, 1] ** 2)


def still_needed(rate: float, drop: float, share: float) -> float:
    """Of the labels that are needed alone, the share that is with the help of confidence, when rows without a label abound.

    A drift that the scores do not show is not explained by confidence either, so that it saves a little less than it explains.
    """
    flipped, foreseen = drop / (1 - 2 * rate) if rate < 0.5 else 0.0, share * rate * (1 - rate)
    risen = (rate + drop) * (1 - rate - drop)
    return min((risen - 2 * (1 - 2 * flipped) * foreseen + foreseen) / risen, 1.0)


def power_with_confidence(labels: int, rate: float, drop: float, alpha: float, share: float) -> float:
    """The power of so many labels and the model's confidence together, by the normal distribution."""
    normal = NormalDist()
    variance = (rate + drop) * (1 - rate - drop) * still_needed(rate, drop, share)
    return normal.cdf(drop * math.sqrt(labels / variance) - normal.inv_cdf(1 - alpha))


def _powers(sizes: Any, rate: float, drop: float, alpha: float) -> Any:
    import numpy as np
    from scipy.special import bdtr, bdtrc, bdtrik

    sizes = np.asarray(sizes, dtype=np.int64)
    most = np.ceil(bdtrik(1 - alpha, sizes, rate))  # errors that are still no proof
    most = np.where(bdtr(np.maximum(most - 1, 0), sizes, rate) >= 1 - alpha, np.maximum(most - 1, 0), most)
    most = np.where(bdtrc(most, sizes, rate) > alpha, most + 1, most)
    return bdtrc(most, sizes, rate + drop)
