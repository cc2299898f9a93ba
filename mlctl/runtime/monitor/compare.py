"""Test each column of a window against the frozen reference."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlctl.runtime.monitor.window import Categories, Numbers
from mlctl.stats import drift
from mlctl.stats.drift import Comparison, Method
from mlctl.types.jobs.reference import CategoricalColumn, NumericColumn

_LARGEST = float(np.finfo(np.float32).max)
_LAST_DIGITS = 1e-5  # of a score's size: some hundred times what sums in single precision differ by
_LEAST_SHIFT = 1e-3  # standard deviations: never more than that, a fiftieth of what is worth an alarm
_OF_CLASSES = {Method.PSI: drift.psi, Method.JENSEN_SHANNON: drift.jensen_shannon, Method.CHI_SQUARE: drift.chi_square}
_OF_NUMBERS = {Method.KS: drift.ks, Method.WASSERSTEIN: drift.wasserstein}


def compare(
    reference: NumericColumn | CategoricalColumn, current: Numbers | Categories, methods: Sequence[str], min_rows: int
) -> dict[Method, Comparison]:
    """Each method's finding. A test of fewer than `min_rows` rows is not computed: the decision will not look at it."""
    if isinstance(current, Numbers) and isinstance(reference, NumericColumn):
        values = np.sort(present(current))
        return {Method(method): _numbers(reference, current, values, Method(method), min_rows) for method in methods}
    if isinstance(current, Categories) and isinstance(reference, CategoricalColumn):
        return {Method(method): _categories(reference, current.counts, Method(method), min_rows) for method in methods}
    raise TypeError("a column is read as the reference says that it is")


def as_frozen(reference: NumericColumn | CategoricalColumn, scores: Numbers) -> Numbers:
    """Scores, those that are a frozen one but for the last digits made that one.

    A model gives a row other last digits alone than in a batch, or on another machine. Where many rows have one score, of all
    who bought nothing say, it would lie on the other side of the frozen one, or in another class: drift of a tenth of the rows.
    """
    if not isinstance(reference, NumericColumn) or not len(scores.values):
        return scores
    frozen, values = np.asarray(reference.sketch.values), np.frombuffer(scores.values, dtype=np.float64).copy()
    after = np.clip(np.searchsorted(frozen, values), 0, len(frozen) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(frozen[before] - values) < np.abs(frozen[after] - values), frozen[before], frozen[after])
    near = _LAST_DIGITS * np.maximum(np.abs(nearest), np.median(np.abs(frozen)))
    if reference.sketch.std > 0:
        near = np.minimum(near, _LEAST_SHIFT * reference.sketch.std)
    values = np.where(np.abs(nearest - values) <= near, nearest, values)
    return Numbers(array("d", values.tobytes()), scores.odd, scores.absent)


def present(current: Numbers) -> Any:
    """The values of a numeric column, without the missing ones, as an array, in single precision as the reference."""
    values = np.frombuffer(current.values, dtype=np.float64) if len(current.values) else np.empty(0)
    return np.clip(values[~np.isnan(values)], -_LARGEST, _LARGEST).astype(np.float32).astype(np.float64)


def _numbers(reference: NumericColumn, current: Numbers, values: Any, method: Method, min_rows: int) -> Comparison:
    rows = len(values) if method in _OF_NUMBERS else len(current.values)
    if rows < min_rows:
        return Comparison(0.0, 0.0, 1.0, reference.sketch.rows, rows)
    if method in _OF_NUMBERS:
        return _OF_NUMBERS[method](reference.sketch, values)
    now = drift.counts(values, reference.borders, rows - len(values))
    return _OF_CLASSES[method]([*reference.counts, reference.nulls], now)


def _categories(
    reference: CategoricalColumn, counts: Mapping[str | None, int], method: Method, min_rows: int
) -> Comparison:
    """Categories that the reference does not list are one class, among them those that are new; missing ones are another."""
    rows = sum(counts.values())
    if rows < min_rows:
        return Comparison(0.0, 0.0, 1.0, round(reference.rows + reference.nulls), rows)
    before = [*reference.counts.values(), reference.nulls, reference.other]
    now = [float(counts.get(name, 0)) for name in [*reference.counts, None]]
    return _OF_CLASSES[method](before, [*now, float(rows) - sum(now)])
