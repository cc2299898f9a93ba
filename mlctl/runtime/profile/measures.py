"""The SQL of a profile: what each pass over the data asks, and how a column's answer is read."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlctl.runtime.profile.database import quote
from mlctl.runtime.profile.types import NUMBERS, family, nested, value

SAMPLE_ROWS = 1_000_000
BARS = 30  # of a histogram
LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
DECILES = tuple(step / 10 for step in range(1, 10))
DRAWN = "mlctl_drawn"  # the temporary table of the rows that quantiles are taken from


@dataclass(frozen=True, slots=True)
class Range:
    """What a histogram shows: `bars` of equal width from `low` to `high`, the last one with its upper edge."""

    low: float
    high: float
    bars: int


def select(parts: Mapping[str, str], relation: str) -> str:
    """One pass that gives aggregates by their aliases."""
    return f"SELECT {', '.join(f'{text} AS {alias}' for alias, text in parts.items())} FROM {relation}"


def number(name: str, found: str) -> str:
    """A numeric or time column as a finite double, times as epoch seconds, NULL where it is neither."""
    column, kind = quote(name), family(found)
    if kind == "time":
        return f"epoch({column})"  # NULL for an infinite time
    return f"CASE WHEN isfinite({column}) THEN {column}::DOUBLE END" if kind == "float" else f"({column})::DOUBLE"


def count_query(relation: str, columns: Mapping[str, str]) -> str:
    """Pass 1. Column `i` gives `ci` (not null), `di` (distinct), and where they make sense `ii` (infinite), `li` and `hi`."""
    parts = ["count(*) AS rows"]
    for i, (name, found) in enumerate(columns.items()):
        column, kind = value(name, found), family(found)
        parts += [
            f"count({column}) AS c{i}",
            f"approx_count_distinct({_text(name) if nested(found) else column}) AS d{i}",
        ]
        if kind == "float":
            finite = f"CASE WHEN isfinite({quote(name)}) THEN {quote(name)} END"
            parts += [
                f"count(*) FILTER (isinf({quote(name)})) AS i{i}",
                f"min({finite}) AS l{i}",
                f"max({finite}) AS h{i}",
            ]
        elif kind in NUMBERS:
            parts += [f"min({column}) AS l{i}", f"max({column}) AS h{i}"]
        elif kind == "time":  # as text, since not every such value fits a Python datetime
            parts += [f"min({column})::VARCHAR AS l{i}", f"max({column})::VARCHAR AS h{i}"]
            parts += [f"min(epoch({column})) AS el{i}", f"max(epoch({column})) AS eh{i}"]
    return f"SELECT {', '.join(parts)} FROM {relation}"


def draw_query(relation: str, columns: Mapping[str, str], rows: int) -> str:
    """Pass 2: the numbers of every row as `v0`, `v1`, ..., or of a fixed pseudo-random choice when there are many rows."""
    values = ", ".join(f"{number(name, found)} AS v{i}" for i, (name, found) in enumerate(columns.items()))
    step = math.ceil(rows / SAMPLE_ROWS)
    if step <= 1:
        return f"CREATE OR REPLACE TEMP TABLE {DRAWN} AS SELECT {values} FROM {relation}"
    names = ", ".join(f"v{i}" for i in range(len(columns)))
    numbered = f"SELECT {values}, row_number() OVER () AS place FROM {relation}"
    return f"CREATE OR REPLACE TEMP TABLE {DRAWN} AS SELECT {names} FROM ({numbered}) WHERE hash(place) % {step} = 0"


def quantile_query(count: int) -> str:
    """Over the drawn rows of so many columns. Column `i` gives `qi` (at LEVELS) and `ei` (values at DECILES)."""
    parts = ["count(*) AS drawn"]
    for i in range(count):
        parts += [f"quantile_cont(v{i}, {list(LEVELS)}) AS q{i}", f"quantile_disc(v{i}, {list(DECILES)}) AS e{i}"]
    return f"SELECT {', '.join(parts)} FROM {DRAWN}"


def distinct_query(places: Sequence[int]) -> str:
    """Over the drawn rows: the distinct values `v` of columns `i`, which have few."""
    return " UNION ALL ".join(
        f"SELECT {i} AS i, v{i} AS v FROM {DRAWN} WHERE v{i} IS NOT NULL GROUP BY 2" for i in places
    )


def moments(i: int, name: str, found: str, scale: float) -> dict[str, str]:
    """Pass 3: `mi` and `si`, mean and standard deviation over `scale`, beyond which squares would overflow."""
    scaled = number(name, found) if scale == 1 else f"{number(name, found)} / {scale!r}"
    return {f"m{i}": f"favg({scaled})", f"s{i}": f"stddev_samp({scaled})"}


def bars_query(ranges: Mapping[int, Range]) -> str:
    """Over the drawn rows: rows of `i`, `bar` and `n`, how many values of column `i` are in it; -1 is below the range, `bars` above."""
    return " UNION ALL ".join(
        f"SELECT {i} AS i, {_bar(i, shown)} AS bar, count(*) AS n FROM {DRAWN} WHERE v{i} IS NOT NULL GROUP BY 2"
        for i, shown in ranges.items()
    )


def _bar(i: int, shown: Range) -> str:
    """The bar of a value; the last one has its upper edge."""
    place = f"floor((v{i} - ({shown.low!r}::DOUBLE)) / {(shown.high - shown.low) / shown.bars!r}::DOUBLE)"
    below, above = f"v{i} < {shown.low!r}::DOUBLE THEN -1", f"v{i} > {shown.high!r}::DOUBLE THEN {shown.bars}"
    return f"CASE WHEN {below} WHEN {above} ELSE least({shown.bars - 1}, {place})::INTEGER END"


def copy_query(relation: str, columns: Mapping[str, str]) -> str:
    """Some columns as text in a temporary table: a wide file is slow to open, and is then not opened for each of them."""
    values = ", ".join(f"{_value_text(name, found)} AS v{i}" for i, (name, found) in enumerate(columns.items()))
    return f"CREATE OR REPLACE TEMP TABLE {DRAWN} AS SELECT {values} FROM {relation}"


def top_query(
    relation: str, columns: Mapping[str, str], places: Sequence[int], most: int, *, copied: bool = False
) -> str:
    """Pass 4: the most frequent values of the columns at these places, as rows of `i`, `value`, `n`; ties by value."""
    listed, each = list(columns.items()), []
    for i in places:
        name, found = listed[i]
        column, text, table = (f"v{i}", f"v{i}", DRAWN) if copied else (quote(name), _value_text(name, found), relation)
        each.append(
            f"(SELECT {i} AS i, {text} AS value, count(*) AS n FROM {table} WHERE {column} IS NOT NULL"
            f" GROUP BY 2 ORDER BY n DESC, value LIMIT {most})"
        )
    return " UNION ALL ".join(each)


def _value_text(name: str, found: str) -> str:
    return _text(name) if nested(found) else f"{quote(name)}::VARCHAR"


def _text(name: str) -> str:
    """A nested value as JSON text."""
    return f"to_json({quote(name)})::VARCHAR"
