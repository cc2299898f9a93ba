"""Numbers as a sketch that later ones are compared with: ranks at 1,001 quantiles, six more at each end, and deciles as classes.

At its points the share of the rows that lie below is exact, and no more than a thousandth of them lies strictly between two
neighbours. That bounds what a comparison can miss.
"""

from __future__ import annotations

import math
import struct
import sys
from bisect import bisect_left
from typing import Any

from mlctl.types.jobs.reference import Sketch

POINTS = 1001
_ENDS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4)  # heavy tails: what little lies there may be far apart
_CLASSES = 10
_LARGEST = sys.float_info.max
_LARGEST_SINGLE = 3.4028234663852886e38


def sketch(numbers: Any, points: int = POINTS) -> Sketch:
    """The sketch of at least one number; all of them are finite. Where few differ, it holds every one that there is."""
    import numpy as np

    ordered = np.sort(np.asarray(numbers, dtype=np.float64))
    values = np.unique(ordered) if len(ordered) else ordered
    if len(values) > points:
        levels = np.concatenate([np.arange(points) / (points - 1), _ENDS, [1 - level for level in _ENDS]])
        values = np.unique(np.quantile(ordered, levels, method="inverted_cdf"))
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(ordered.mean()), float(ordered.std(ddof=1)) if len(ordered) > 1 else 0.0
    return Sketch(
        values=values.tolist(),
        below=below.tolist(),
        upto=upto.tolist(),
        mean=mean if math.isfinite(mean) else float(np.median(ordered)),
        std=std if math.isfinite(std) else _LARGEST,
    )


def classes(frozen: Sketch) -> tuple[list[float], list[float]]:
    """Where to cut numbers into classes, from the reference alone, and how many of it are in each: its range and its deciles.

    A class holds its lower border. Few distinct values give few classes; what is outside the reference's range is in
    classes of its own, which is how a constant that changes is seen. Classes made anew from each window would hide drift.
    """
    rows = frozen.rows
    ranks = [max(1, math.ceil(rows * step / _CLASSES - 1e-9)) for step in range(_CLASSES)]
    places = sorted({bisect_left(frozen.upto, rank) for rank in ranks})
    borders = [frozen.values[place] for place in places]
    starts = [frozen.below[place] for place in places]
    inside = [float(after - before) for before, after in zip(starts, [*starts[1:], rows], strict=True)]
    return [*borders, math.nextafter(frozen.values[-1], math.inf)], [0.0, *inside, 0.0]


def single(frozen: Sketch) -> Sketch:
    """The sketch in single precision, as models read numbers: `0.1` of a training table and `0.1` of a log are then the same."""
    values = [as_single(value) for value in frozen.values]
    first = [place for place, value in enumerate(values) if place == 0 or value > values[place - 1]]
    last = [place - 1 for place in first[1:]] + [len(values) - 1]
    kept = [values[place] for place in first]
    return Sketch(
        values=kept,
        below=[frozen.below[place] for place in first],
        upto=[frozen.upto[place] for place in last],
        mean=frozen.mean,
        std=frozen.std,
    )


def as_single(value: float) -> float:
    """A number as a model reads it; beyond the range of single precision its end."""
    return float(struct.unpack("f", struct.pack("f", min(max(value, -_LARGEST_SINGLE), _LARGEST_SINGLE)))[0])


def spread(frozen: Sketch, rows: int) -> list[float]:
    """So many numbers that are distributed like the frozen ones, evenly by rank: to draw, never to test."""
    found = []
    for index in range(rows):
        rank = (index + 0.5) / rows * frozen.rows
        place = bisect_left(frozen.upto, rank)
        value, low = frozen.values[place], frozen.below[place]
        if rank < low:  # it lies between two points, at its place among those that do
            before, begin = frozen.values[place - 1], frozen.upto[place - 1]
            value = before + (value - before) * (rank - begin) / (low - begin)
        found.append(value)
    return found


def category(value: Any) -> str | None:
    """A categorical value as text, the same for the reference and the log: `1`, `1.0` and `"1"` are one, so are true and `"True"`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if text in ("True", "False"):
        return text.lower()
    head, dot, tail = text.partition(".")
    return head if dot and tail.strip("0") == "" and head.lstrip("-").isdigit() else text
