"""Where ordinary values end: fences from mean and deviation or from quartiles, and rows that an isolation forest finds lonely.

Infinite values, and those whose squares no double holds, take no part in any of it and lie outside of every fence.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlctl.runtime.checks.executor import ROW, Executor, Rowwise
from mlctl.runtime.profile.database import literal, quote
from mlctl.runtime.profile.types import family, value

LARGEST = 1e150  # of a mean and a deviation: squares of larger numbers overflow a double
_DIGITS = 10  # adding in another order moves about the 13th digit of a deviation; what is rounded stays

AT_ONCE = 4_000_000  # so many values are sorted in memory for their quartiles; more are first narrowed down
_MARGINS = (0.01, 0.05)  # how far from a quartile an estimate of it may lie, as a share of the rows

FIT_ROWS = 100_000  # of an isolation forest; each of its trees sees 256
_FOREST_LARGEST = 1e38  # it works in single precision
_SEED = 0


@dataclass(frozen=True, slots=True)
class Fences:
    """The interval that ordinary values lie in, its ends included. Without spread there is none, and only infinities lie outside."""

    low: float | None
    high: float | None

    def outside(self, column: str, found: str) -> str:
        """The condition of a value beyond them."""
        item = value(column, found)
        if self.low is None or self.high is None:
            return f"abs({item}) > {LARGEST!r}" if family(found) == "float" else "FALSE"
        return f"{item} < {_double(self.low)} OR {item} > {_double(self.high)}"


def ordinary(column: str, found: str, largest: float = LARGEST) -> str:
    """A numeric column as a double that mean, deviation and quartiles can be taken of; else NULL."""
    number = quote(column) if found == "double" else f"CAST({quote(column)} AS DOUBLE)"
    return f"CASE WHEN abs({quote(column)}) <= {largest!r} THEN {number} END" if family(found) == "float" else number


def around_mean(mean: float | None, deviation: float | None, threshold: float) -> Fences:
    """So many sample standard deviations to either side of the mean."""
    if mean is None or deviation is None or not math.isfinite(deviation) or deviation <= 0:
        return Fences(None, None)
    step = _rounded(deviation, deviation)
    return Fences(_rounded(mean - threshold * step, step), _rounded(mean + threshold * step, step))


def around_quartiles(first: float | None, third: float | None, threshold: float) -> Fences:
    """So many interquartile ranges outside of the quartiles (Tukey 1977)."""
    if first is None or third is None:
        return Fences(None, None)
    spread = third - first
    if not spread:
        return Fences(first, third)
    return Fences(_rounded(first - threshold * spread, spread), _rounded(third + threshold * spread, spread))


def quartiles(executor: Executor, table: str, item: str, count: int) -> tuple[float | None, float | None]:
    """The first and third quartile of `count` values of an expression, exactly, interpolated between two neighbours.

    Of many values only those near the quartiles are sorted: an estimate says between which values they lie, and the ranks
    are then counted, so that memory is bounded and the result no estimate.
    """
    if count > AT_ONCE and isinstance(executor, _narrowing()):
        for margin in _MARGINS:
            found = [_narrowed(executor, table, item, count, share, margin) for share in (0.25, 0.75)]
            if None not in found:
                return found[0], found[1]
    row = executor.one(
        f"SELECT quantile_cont({item}, 0.25) AS first, quantile_cont({item}, 0.75) AS third FROM {table}"
    )
    return _number(row["first"]), _number(row["third"])


def lonely(
    executor: Rowwise,
    table: str,
    columns: Mapping[str, str],
    rows: int,
    threshold: float,
    name: str,
    step: Callable[[int], None],
) -> tuple[int, int, str]:
    """How many rows have a value in every column, how many of them an isolation forest scores above the threshold, and which.

    The forest is fitted on a fixed pseudo-random choice of rows with a fixed seed; all rows are scored, a batch at a time. A
    row with an infinite value counts as above. `step` is told how many rows are scored.
    """
    import numpy as np

    items = {column: ordinary(column, found, _FOREST_LARGEST) for column, found in columns.items()}
    whole = " AND ".join(f"{value(column, found)} IS NOT NULL" for column, found in columns.items())
    numbered = f"(SELECT *, row_number() OVER () AS {ROW} FROM {table}) AS numbered"
    parts = ", ".join([f"{item} AS v{i}" for i, item in enumerate(items.values())])
    every = f"SELECT {ROW} AS position, {parts} FROM {numbered} WHERE {whole}"
    chosen = math.ceil(rows / FIT_ROWS)
    sampled = every if chosen <= 1 else f"{every} AND hash({ROW}) % {chosen} = 0"
    fitted = [_matrix(batch, len(items)) for batch in executor.batches(sampled)]
    sample = np.concatenate(fitted) if fitted else np.empty((0, len(items)))
    sample = sample[np.isfinite(sample).all(axis=1)]
    forest = _forest(sample)
    counted = [0, 0]

    def numbers() -> Iterator[Sequence[int]]:
        for batch in executor.batches(every):
            matrix = _matrix(batch, len(items))
            finite = np.isfinite(matrix).all(axis=1)
            above = ~finite
            if forest is not None and finite.any():
                above[finite] = -forest.score_samples(matrix[finite]) > threshold
            counted[0] += len(matrix)
            counted[1] += int(above.sum())
            step(counted[0])
            yield batch["position"][above]

    where = executor.rows(name, numbers())
    return counted[0], counted[1], where


def _forest(sample: Any) -> Any:
    """An isolation forest, or None where there is no finite row to learn from."""
    from sklearn.ensemble import IsolationForest

    return IsolationForest(n_estimators=100, random_state=_SEED).fit(sample) if len(sample) else None


def _matrix(batch: Mapping[str, Any], width: int) -> Any:
    """The values of a batch, row by row; what is not ordinary is NaN."""
    import numpy as np

    return np.column_stack([np.asarray(batch[f"v{i}"], dtype=np.float64) for i in range(width)])


def _narrowing() -> type:
    """The executor that estimates quantiles in bounded memory, which others either do exactly by themselves or not at all."""
    from mlctl.runtime.checks.executor import DuckdbExecutor

    return DuckdbExecutor


def _narrowed(executor: Executor, table: str, item: str, count: int, share: float, margin: float) -> float | None:
    """A quantile from the values between two estimates around it; None when it does not lie between them."""
    around = executor.one(
        f"SELECT approx_quantile({item}, {share - margin!r}) AS low, approx_quantile({item}, {share + margin!r}) AS high FROM {table}"
    )
    low, high = _double(float(around["low"])), _double(float(around["high"]))
    position = (count - 1) * share
    before, behind = math.floor(position), math.ceil(position)  # ranks from 0
    groups = f"SELECT item, count(*) AS n FROM (SELECT {item} AS item FROM {table}) AS items WHERE item BETWEEN {low} AND {high} GROUP BY item"
    ranked = f"SELECT item, sum(n) OVER (ORDER BY item) AS upto FROM ({groups}) AS groups"
    below = int(executor.one(f"SELECT count_if({item} < {low}) AS n FROM {table}")["n"])
    row = executor.one(
        f"SELECT min(item) FILTER (WHERE upto > {before - below}) AS before, min(item) FILTER (WHERE upto > {behind - below}) AS behind"
        f" FROM ({ranked}) AS ranked"
    )
    if below > before or row["behind"] is None:
        return None
    return float(row["before"]) + (position - before) * (float(row["behind"]) - float(row["before"]))


def _rounded(number: float, spread: float) -> float:
    """A number to so many digits of a spread."""
    return round(number, _DIGITS - math.ceil(math.log10(spread)))


def _number(item: Any) -> float | None:
    return None if item is None else float(item)


def _double(number: float) -> str:
    return f"CAST({literal(repr(number))} AS DOUBLE)"
