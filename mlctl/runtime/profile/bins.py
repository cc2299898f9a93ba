"""Frozen bins: where a column is cut into classes, once, and how later data is counted into the very same classes.

The counting is plain SQL of one aggregate a class (`count_if`), so that it stands beside other aggregates in one pass over
a table, and means the same in the dialects that the text is translated to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from mlctl.runtime.profile.database import literal, quote
from mlctl.runtime.profile.types import family, value
from mlctl.types.jobs.contract import CategoricalBins, NumericBins

MOST_VALUES = 50  # of a categorical column; all further ones are counted as `other`
FEW_VALUES = 20  # a numeric column with no more distinct values than this has a bin for each

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY, _MICROSECOND = 86_400.0, 1e-6
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999, which every dialect can write


def edges(deciles: Sequence[float], distinct: Sequence[float], high: float, found: str) -> list[float]:
    """Where to cut a column of type `found`: at each value when they are few, else at the deciles without repeats.

    A bin holds its lower edge. The lowest edge is the minimum and the highest lies just above the maximum `high`, so that
    values outside of the range that was seen are counted in bins of their own, which are empty at first.
    """
    cut = distinct if 0 < len(distinct) <= FEW_VALUES else deciles
    kept = {float(edge) for edge in cut if math.isfinite(edge) and edge <= high} | {_above(float(high), found)}
    if family(found) == "time":
        kept = {edge for edge in kept if _FIRST <= edge <= _LAST}
    return sorted(edge for edge in kept if math.isfinite(edge))


def count_parts(alias_prefix: str, column: str, found: str, bins: NumericBins | CategoricalBins) -> dict[str, str]:
    """Aggregates, by alias, that count a column of type `found` into frozen bins. Read their row by `read_counts`.

    Give each column its own `alias_prefix`. A column whose type cannot be held against the bins raises ValueError.
    """
    counted = {f"{alias_prefix}_n": "count(*)", f"{alias_prefix}_c": f"count({value(column, found)})"}
    if isinstance(bins, CategoricalBins):
        text = quote(column) if found == "varchar" else f"CAST({quote(column)} AS VARCHAR)"
        tests = [f"{text} = {literal(item)}" for item in bins.values]
    else:
        tests = [_below(column, found, edge) for edge in bins.edges]
    return counted | {f"{alias_prefix}_{index}": f"count_if({test})" for index, test in enumerate(tests)}


def read_counts(
    row: Mapping[str, Any], alias_prefix: str, bins: NumericBins | CategoricalBins
) -> NumericBins | CategoricalBins:
    """The counts of the current data in the same bins. An aggregate over no rows may be NULL, which is none."""

    def of(name: str | int) -> int:
        return int(row[f"{alias_prefix}_{name}"] or 0)

    nulls = of("n") - of("c")
    if isinstance(bins, CategoricalBins):
        counts = [of(index) for index in range(len(bins.values))]
        return CategoricalBins(values=bins.values, counts=counts, other=of("c") - sum(counts), nulls=nulls)
    below = [0, *(of(index) for index in range(len(bins.edges))), of("c")]
    return NumericBins(edges=bins.edges, counts=[high - low for low, high in pairwise(below)], nulls=nulls)


def comparable(found: str, bins: NumericBins | CategoricalBins) -> bool:
    """Whether a column of this type can be counted into bins of this kind: numbers and times into the one, the rest into the other."""
    kind = family(found)
    if isinstance(bins, CategoricalBins):
        return kind in ("text", "boolean", "integer")
    return kind in ("integer", "float", "decimal", "time")


def _below(column: str, found: str, edge: float) -> str:
    kind = family(found)
    if kind == "time":
        # the column stays as it is, since a literal beside it is cheaper than to turn every row into seconds
        name, written = ("TIMESTAMPTZ", "+00:00") if "with time zone" in found else ("TIMESTAMP", "")
        side = f"CAST({quote(column)} AS TIMESTAMP)" if found == "date" else quote(column)
        return f"{side} < CAST('{_moment(edge)}{written}' AS {name})"
    if kind not in ("integer", "float", "decimal"):
        raise ValueError(f"a column of type {found} has no numeric bins")
    return f"{quote(column)} < {_number(edge)}"


def _number(edge: float) -> str:
    """A literal that is a double in every dialect: one without an exponent would be a decimal."""
    text = repr(float(edge))
    return text if "e" in text else f"{text}e0"


def _moment(edge: float) -> str:
    """Epoch seconds as an SQL timestamp in UTC, to the microsecond."""
    moment = _EPOCH + timedelta(microseconds=round(min(max(edge, _FIRST), _LAST) * 1e6))
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")


def _above(high: float, found: str) -> float:
    """The least edge that lies above a maximum and reads well."""
    next_up = math.nextafter(high, math.inf)
    if found == "date":
        return high + _DAY
    if family(found) == "time":
        return max(next_up, high + _MICROSECOND)
    return max(next_up, high + 1) if family(found) == "integer" else next_up
