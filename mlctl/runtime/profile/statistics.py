"""Statistics of each column, in three passes over the data that hold a bounded part of it.

1. counts, distinct values (HyperLogLog, 1-2 % off), minimum and maximum;
2. mean, standard deviation and quartiles of numbers; the quartiles are of every row up to a million rows, and beyond
   that of a fixed pseudo-random choice of about so many;
3. the most frequent values of text and boolean columns that have few distinct ones.

NaN counts as null. Infinite values are counted, and left out of all the rest. The figures do not depend on the number
of threads: what adding in another order could move is rounded away.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mlctl.runtime.profile.database import all_rows, literal, one_row, quote

SAMPLE_ROWS = 1_000_000
_COLUMNS_PER_PASS = 16  # quartiles hold their sample of each column in memory
_TOP = 5
_TOP_MAX_DISTINCT = 10_000  # above it the most frequent values say little and cost a hash table of that size
_TOP_LENGTH = 100
_DIGITS = 10  # order of addition shows from about the 13th digit
_LARGE = 1e150  # squares of larger numbers overflow a double

_INTEGERS = frozenset(
    {"tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"}
)
_FLOATS = frozenset({"float", "double"})

Statistics = dict[str, dict[str, Any]]


def family(found: str) -> str:
    """What kind of values a DuckDB type (lower case) holds: integer, float, decimal, time, text, boolean or other."""
    if found in _INTEGERS:
        return "integer"
    if found in _FLOATS:
        return "float"
    if found.startswith("decimal") and not found.endswith("]"):
        return "decimal"
    if found == "date" or (found.startswith("timestamp") and not found.endswith("]")):
        return "time"
    if found == "varchar" or (found.startswith("enum") and not found.endswith("]")):
        return "text"
    return "boolean" if found == "boolean" else "other"


def value(name: str, found: str) -> str:
    """A column in SQL, with NaN as NULL."""
    column = quote(name)
    return f"CASE WHEN NOT isnan({column}) THEN {column} END" if family(found) == "float" else column


def count_query(relation: str, columns: Mapping[str, str]) -> str:
    """Pass 1. Column `i` gives `ci` (not null), `di` (distinct), and where they make sense `ii` (infinite), `li` and `hi`."""
    parts = ["count(*) AS rows"]
    for i, (name, found) in enumerate(columns.items()):
        column, kind = value(name, found), family(found)
        parts += [f"count({column}) AS c{i}", f"approx_count_distinct({column}) AS d{i}"]
        if kind == "float":
            parts.append(f"count(*) FILTER (isinf({quote(name)})) AS i{i}")
        if kind in ("integer", "float", "decimal"):
            parts += [f"min({_finite(name, kind)}) AS l{i}", f"max({_finite(name, kind)}) AS h{i}"]
        if kind == "time":  # as text, since not every such value fits a Python datetime
            parts += [f"min({column})::VARCHAR AS l{i}", f"max({column})::VARCHAR AS h{i}"]
    return f"SELECT {', '.join(parts)} FROM {relation}"


def moment_query(relation: str, columns: Mapping[str, tuple[str, float]], rows: int) -> str:
    """Pass 2, for numeric columns given as name to (family, scale). Column `i` gives `mi`, `si` (both over scale) and `qi`."""
    step = math.ceil(rows / SAMPLE_ROWS)
    chosen = "" if step <= 1 else " FILTER (sampled)"
    table = relation if step <= 1 else f"(SELECT *, hash(row_number() OVER ()) % {step} = 0 AS sampled FROM {relation})"
    parts = []
    for i, (name, (kind, scale)) in enumerate(columns.items()):
        number = f"({_finite(name, kind)})::DOUBLE"
        scaled = number if scale == 1 else f"{number} / {scale!r}"
        parts += [
            f"favg({scaled}) AS m{i}",
            f"stddev_samp({scaled}) AS s{i}",
            f"quantile_cont({number}, [0.25, 0.5, 0.75]){chosen} AS q{i}",
        ]
    return f"SELECT {', '.join(parts)} FROM {table}"


def top_query(relation: str, names: Sequence[str]) -> str:
    """Pass 3: the most frequent values of each column as rows of `name`, `value`, `n`; ties by value."""
    each = (
        f"(SELECT {literal(name)} AS name, left({quote(name)}::VARCHAR, {_TOP_LENGTH}) AS value, count(*) AS n FROM {relation} WHERE {quote(name)} IS NOT NULL"
        f" GROUP BY {quote(name)} ORDER BY n DESC, value LIMIT {_TOP})"
        for name in names
    )
    return " UNION ALL ".join(each)


def compute(
    connection: Any, relation: str, columns: Mapping[str, str], step: Callable[[str, int, int], None]
) -> tuple[int, Statistics]:
    """The number of rows and the statistics by column. `step` is told what comes next, and how many columns are done."""
    total = len(columns)
    step("counting rows and values", 0, total)
    counts = one_row(connection, count_query(relation, columns))
    rows = int(counts["rows"])
    statistics = {name: _counted(counts, i, found, rows) for i, (name, found) in enumerate(columns.items())}
    numeric = {
        name: family(found) for name, found in columns.items() if "min" in statistics[name] and family(found) != "time"
    }
    done = total - len(numeric)
    for names in _portions(list(numeric), _COLUMNS_PER_PASS):
        step("mean, deviation and quartiles", done, total)
        scaled = {name: (numeric[name], _scale(statistics[name])) for name in names}
        found = one_row(connection, moment_query(relation, scaled, rows))
        for i, (name, (_, scale)) in enumerate(scaled.items()):
            quartiles = found[f"q{i}"]
            statistics[name] |= {
                "mean": _rounded(found[f"m{i}"], scale),
                "std": _rounded(found[f"s{i}"], scale),
                "quartiles": None if quartiles is None else [_rounded(item, 1) for item in quartiles],
            }
        done += len(names)
    texts = [
        name
        for name, found in columns.items()
        if family(found) in ("text", "boolean") and 0 < statistics[name]["approx_distinct"] <= _TOP_MAX_DISTINCT
    ]
    if texts:
        step("most frequent values", total, total)
        for row in all_rows(connection, top_query(relation, texts)):
            statistics[row["name"]].setdefault("top", []).append({"value": row["value"], "count": row["n"]})
    return rows, statistics


def _counted(counts: Mapping[str, Any], i: int, found: str, rows: int) -> dict[str, Any]:
    """The statistics of one column that pass 1 gives."""
    known: dict[str, Any] = {"nulls": rows - counts[f"c{i}"], "approx_distinct": min(counts[f"d{i}"], counts[f"c{i}"])}
    if f"i{i}" in counts:
        known["infinite"] = counts[f"i{i}"]
    low, high = counts.get(f"l{i}"), counts.get(f"h{i}")
    if low is not None:
        known |= {"min": _plain(low, found), "max": _plain(high, found)}
    return known


def _finite(name: str, kind: str) -> str:
    return f"CASE WHEN isfinite({quote(name)}) THEN {quote(name)} END" if kind == "float" else quote(name)


def _scale(known: Mapping[str, Any]) -> float:
    largest = max(abs(known["min"]), abs(known["max"]))
    return 1.0 if largest < _LARGE else float(largest)


def _rounded(number: float | None, scale: float) -> float | None:
    """A figure to so many digits that threads cannot move it; None for what a double cannot hold."""
    if number is None or not math.isfinite(number * scale):
        return None
    return float(f"{number * scale:.{_DIGITS}g}")


def _plain(item: Any, found: str) -> Any:
    """A minimum or maximum as JSON holds it."""
    kind = family(found)
    if kind == "time":
        return item.replace(" ", "T", 1)
    return int(item) if kind == "integer" else float(item)


def _portions(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))
