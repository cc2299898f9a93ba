"""Statistics of each column, in four passes over the data that hold a bounded part of it.

1. counts, distinct values (HyperLogLog, 1-2 % off), minimum and maximum;
2. a choice of rows for quantiles and histograms: every row up to a million, beyond that a fixed pseudo-random choice of
   about so many (`quantile_rows` says how many it was);
3. mean, standard deviation and frozen bins of numbers and times, of all rows;
4. the most frequent values of text, boolean and nested columns that have few distinct ones.

A table of many columns is gone through in portions. NaN counts as null. Infinite values are counted, and left out of all the
rest but the outermost bins. The figures do not depend on the number of threads: what adding in another order could move is
rounded away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from mlctl.runtime.profile import measures
from mlctl.runtime.profile.bins import FEW_VALUES, MOST_VALUES, count_parts, edges, read_counts
from mlctl.runtime.profile.database import all_rows, one_row
from mlctl.runtime.profile.measures import BARS, LEVELS, SAMPLE_ROWS, Range
from mlctl.runtime.profile.types import family as family
from mlctl.runtime.profile.types import nested
from mlctl.runtime.profile.types import value as value
from mlctl.types.jobs.contract import CategoricalBins, NumericBins

FORMAT = 1
SUMMARY_COLUMNS = 200  # with more columns than this the state holds no statistics: only the file does
_COUNTED_AT_ONCE = 500  # columns in pass 1
_DRAWN_VALUES = 16_000_000  # held at once for quantiles, over all columns of a portion
_MEASURED_AT_ONCE = 250
_RANKED_AT_ONCE = 50
_GROUPED_AT_ONCE = 100  # each has a hash table of its own
_TOP = 5
_TOP_MAX_DISTINCT = 10_000  # above it the most frequent values say little and cost a hash table of that size
_TOP_LENGTH, _BIN_LENGTH = 100, 200
_DIGITS = 10  # order of addition shows from about the 13th digit
_LARGE = 1e150  # squares of larger numbers overflow a double
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Statistics = dict[str, dict[str, Any]]
_Item = TypeVar("_Item")
Step = Callable[[str, int, int], None]


def compute(connection: Any, relation: str, columns: Mapping[str, str], step: Step) -> tuple[int, Statistics]:
    """The number of rows and the statistics by column. `step` is told what comes next, and how many columns are done."""
    total = len(columns)
    rows, statistics = 0, Statistics()
    spans: dict[str, tuple[float, float]] = {}  # of columns that have finite values
    for names in portions(list(columns), _COUNTED_AT_ONCE):
        step("counting rows and values", len(statistics), total)
        counts = one_row(connection, measures.count_query(relation, {name: columns[name] for name in names}))
        rows = int(counts["rows"])
        for i, name in enumerate(names):
            statistics[name], span = _counted(counts, i, columns[name], rows)
            spans |= {name: span} if span is not None else {}
    done = total - len(spans)
    width = max(16, min(_MEASURED_AT_ONCE, _DRAWN_VALUES // max(1, min(rows, SAMPLE_ROWS))))
    for names in portions(list(spans), width):
        step("mean, deviation and quantiles", done, total)
        found = {name: (columns[name], *spans[name]) for name in names}
        _measure(connection, relation, found, statistics, rows)
        done += len(names)
    ranked = {name: found for name, found in columns.items() if _ranks(found, statistics[name])}
    for names in portions(list(ranked), max(width, _RANKED_AT_ONCE)):
        step("most frequent values", total, total)
        _rank(connection, relation, {name: ranked[name] for name in names}, statistics, rows)
    return rows, statistics


def document(rows: int, columns: Mapping[str, str], statistics: Statistics) -> dict[str, Any]:
    """What profile.json holds: everything, column by column in the order of the data."""
    listed = [{"name": name, "type": found, **_COLUMN, **statistics[name]} for name, found in columns.items()]
    return {"format": FORMAT, "rows": rows, "columns": listed}


def summary(statistics: Statistics) -> Statistics:
    """The part that outputs hold, and with them the state; nothing for a table so wide that it would swell it."""
    if len(statistics) > SUMMARY_COLUMNS:
        return {}
    kept = ("nulls", "approx_distinct", "infinite", "min", "max")
    return {
        name: {field: known[field] for field in kept if field in known} | _quartiles(known) | _top(known)
        for name, known in statistics.items()
    }


# Every column of the file has these, so that its readers need not ask which kind of column it is.
_COLUMN: dict[str, Any] = {
    "nulls": 0, "approx_distinct": 0, "min": None, "max": None, "mean": None, "std": None, "quantiles": None,
    "quantile_rows": None, "histogram": None, "top": [], "bins": None,
}  # fmt: skip


def _quartiles(known: Mapping[str, Any]) -> dict[str, Any]:
    if "mean" not in known or isinstance(known["min"], str):
        return {}
    levels = known["quantiles"]
    return {
        "mean": known["mean"],
        "std": known["std"],
        "quartiles": None if levels is None else [levels[level] for level in ("0.25", "0.5", "0.75")],
    }


def _top(known: Mapping[str, Any]) -> dict[str, Any]:
    return {"top": known["top"]} if "top" in known else {}


def _counted(
    counts: Mapping[str, Any], i: int, found: str, rows: int
) -> tuple[dict[str, Any], tuple[float, float] | None]:
    """The statistics of one column that pass 1 gives, and its finite range as numbers."""
    known: dict[str, Any] = {"nulls": rows - counts[f"c{i}"], "approx_distinct": min(counts[f"d{i}"], counts[f"c{i}"])}
    if f"i{i}" in counts:
        known["infinite"] = counts[f"i{i}"]
    low, high = counts.get(f"l{i}"), counts.get(f"h{i}")
    if low is None or high is None:
        return known, None
    known |= {"min": _plain(low, found), "max": _plain(high, found)}
    if family(found) == "time":
        ends = counts[f"el{i}"], counts[f"eh{i}"]
        return known, None if None in ends else ends
    return known, (float(low), float(high))


def _measure(
    connection: Any,
    relation: str,
    columns: Mapping[str, tuple[str, float, float]],
    statistics: Statistics,
    rows: int,
) -> None:
    """Passes 2 and 3 over some numeric and time columns, given as name to (type, lowest, highest)."""
    types = {name: found for name, (found, _, _) in columns.items()}
    connection.execute(measures.draw_query(relation, types, rows))
    drawn = one_row(connection, measures.quantile_query(len(columns)))
    few = [i for i, name in enumerate(columns) if statistics[name]["approx_distinct"] <= 2 * FEW_VALUES]
    distinct = _distinct(connection, few)
    histograms = _histograms(connection, columns, drawn)
    connection.execute(f"DROP TABLE {measures.DRAWN}")
    parts: dict[str, str] = {}
    frozen: dict[int, NumericBins] = {}
    for i, (name, (found, low, high)) in enumerate(columns.items()):
        parts |= measures.moments(i, name, found, _scale(low, high))
        cut = edges([low, *(drawn[f"e{i}"] or ())], sorted({low, *distinct[i]}) if i in distinct else [], high, found)
        frozen[i] = NumericBins(edges=cut, counts=[], nulls=0)
        parts |= count_parts(f"k{i}", name, found, frozen[i])
    row = one_row(connection, measures.select(parts, relation))
    for i, (name, (found, low, high)) in enumerate(columns.items()):
        scale = _scale(low, high)
        written: Callable[[float | None], Any] = _moment if family(found) == "time" else _itself
        levels = drawn[f"q{i}"] and [written(_rounded(item, 1)) for item in drawn[f"q{i}"]]
        statistics[name] |= {
            "mean": written(_rounded(row[f"m{i}"], scale)),
            "std": _rounded(row[f"s{i}"], scale),
            "quantiles": levels and {str(level): item for level, item in zip(LEVELS, levels, strict=True)},
            "quantile_rows": drawn["drawn"],
            "histogram": histograms.get(i),
            "bins": read_counts(row, f"k{i}", frozen[i]).model_dump(mode="json"),
        }


def _distinct(connection: Any, places: Sequence[int]) -> dict[int, set[float]]:
    """The values of columns that have few. The lowest of all rows may not be among those drawn."""
    found: dict[int, set[float]] = {i: set() for i in places}
    for some in portions(places, _GROUPED_AT_ONCE):
        for row in all_rows(connection, measures.distinct_query(some)):
            found[row["i"]].add(row["v"])
    return found


def _shown(found: str, low: float, high: float, levels: Sequence[float] | None) -> Range | None:
    """The range that a histogram shows: all of it, unless few far values would leave the rest one bar wide."""
    if levels is not None and high - low > 5 * (levels[-1] - levels[0]) > 0:
        low, high = levels[0], levels[-1]
    if not low < high or not math.isfinite(high - low):
        return None
    if family(found) == "integer":  # bars of whole widths, or some would hold one value more than others
        first, values = math.floor(low), math.ceil(high) - math.floor(low) + 1
        width = -(-values // BARS)
        bars = -(-values // width)
        return Range(float(first), float(first + bars * width), bars)
    return Range(low, high, BARS)


def _histograms(
    connection: Any, columns: Mapping[str, tuple[str, float, float]], drawn: Mapping[str, Any]
) -> dict[int, dict[str, Any]]:
    """The histogram of each column that has a range, of the drawn rows."""
    ranges = {
        i: span
        for i, (found, low, high) in enumerate(columns.values())
        if (span := _shown(found, low, high, drawn[f"q{i}"])) is not None
    }
    counts: dict[int, dict[int, int]] = {i: {} for i in ranges}
    for some in portions(list(ranges), _GROUPED_AT_ONCE):
        for row in all_rows(connection, measures.bars_query({i: ranges[i] for i in some})):
            counts[row["i"]][row["bar"]] = row["n"]
    return {i: _bars(counts[i], span) for i, span in ranges.items()}


def _bars(counts: Mapping[int, int], shown: Range) -> dict[str, Any]:
    return {
        "low": shown.low,
        "high": shown.high,
        "counts": [counts.get(bar, 0) for bar in range(shown.bars)],
        "below": counts.get(-1, 0),
        "above": counts.get(shown.bars, 0),
    }


def _ranks(found: str, known: Mapping[str, Any]) -> bool:
    """Whether the most frequent values of a column are worth having."""
    return (family(found) in ("text", "boolean") or nested(found)) and 0 < known["approx_distinct"] <= _TOP_MAX_DISTINCT


def _rank(connection: Any, relation: str, columns: Mapping[str, str], statistics: Statistics, rows: int) -> None:
    """Pass 4 over some columns."""
    copied = rows <= SAMPLE_ROWS
    if copied:
        connection.execute(measures.copy_query(relation, columns))
    seen: list[list[tuple[str, int]]] = [[] for _ in columns]
    for places in portions(list(range(len(columns))), _RANKED_AT_ONCE):
        for row in all_rows(connection, measures.top_query(relation, columns, places, MOST_VALUES, copied=copied)):
            seen[row["i"]].append((row["value"], row["n"]))
    if copied:
        connection.execute(f"DROP TABLE {measures.DRAWN}")
    for (name, found), ranked in zip(columns.items(), seen, strict=True):
        known = statistics[name]
        known["top"] = [{"value": item[:_TOP_LENGTH], "count": count} for item, count in ranked[:_TOP]]
        if not nested(found):
            kept = [(item, count) for item, count in ranked if len(item) <= _BIN_LENGTH]
            rest = rows - known["nulls"] - sum(count for _, count in kept)
            bins = CategoricalBins(
                values=[item for item, _ in kept], counts=[count for _, count in kept], other=rest, nulls=known["nulls"]
            )
            known["bins"] = bins.model_dump(mode="json")


def _scale(low: float, high: float) -> float:
    largest = max(abs(low), abs(high))
    return 1.0 if largest < _LARGE else largest


def _rounded(item: float | None, scale: float) -> float | None:
    """A figure to so many digits that threads cannot move it; None for what a double cannot hold."""
    if item is None or not math.isfinite(item * scale):
        return None
    return float(f"{item * scale:.{_DIGITS}g}")


def _moment(seconds: float | None) -> str | None:
    """Epoch seconds as ISO 8601, to the second; None for what no calendar of ours holds."""
    if seconds is None:
        return None
    try:
        return (_EPOCH + timedelta(seconds=round(seconds))).replace(tzinfo=None).isoformat()
    except OverflowError:
        return None


def _itself(number: float | None) -> float | None:
    return number


def _plain(item: Any, found: str) -> Any:
    """A minimum or maximum as JSON holds it."""
    kind = family(found)
    if kind == "time":
        return item.replace(" ", "T", 1)
    return int(item) if kind == "integer" else float(item)


def portions(names: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Names in runs of so many, so that what is held for each of them at once has a bound."""
    return (names[start : start + size] for start in range(0, len(names), size))
