"""The short rules as DuckDB SQL: one aggregate over the table for all of them, and one query more for each that needs it.

Pure: rules and column types in, text out.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mlctl.runtime.profile.database import literal, quote
from mlctl.runtime.profile.statistics import family, value
from mlctl.types.jobs.checks import Bound, Expectation, ForeignKey, NotNull, Range, Rule, Unique

SAMPLE = 5
_ROW = '"mlctl row"'  # no column is named so, and if one is, the error says it
_AS_IS = frozenset({"integer", "text", "boolean"})


def aggregates(index: int, rule: Rule, columns: Mapping[str, str]) -> dict[str, str]:
    """What the one pass over the table counts for a rule, alias to expression; every alias holds the rule's index."""
    if isinstance(rule, NotNull):
        parts = {
            f"n{index}_{i}": f"count(*) FILTER ({value(name, columns[name])} IS NULL)"
            for i, name in enumerate(rule.columns)
        }
        return parts | {f"f{index}": f"count(*) FILTER ({offending(rule, columns)})"}
    if isinstance(rule, Range):
        return {
            f"c{index}": f"count({value(rule.column, columns[rule.column])})",
            f"f{index}": f"count(*) FILTER ({offending(rule, columns)})",
        }
    if isinstance(rule, ForeignKey):
        return {f"c{index}": f"count({value(rule.column, columns[rule.column])})"}
    if isinstance(rule, Unique):
        return {f"c{index}": f"count(*) FILTER ({_whole(rule, columns)})"}
    if isinstance(rule, Expectation) and not rule.null_aware:
        return {f"e{index}_{i}": f"count({value(name, columns[name])})" for i, name in enumerate(rule.columns)}
    return {}


def table_query(relation: str, parts: Mapping[str, str]) -> str:
    """The one pass: all counts, and the number of rows as `rows`."""
    return f"SELECT {', '.join(['count(*) AS rows', *(f'{part} AS {name}' for name, part in parts.items())])} FROM {relation}"


def offending(rule: NotNull | Range, columns: Mapping[str, str]) -> str:
    """The condition that a row which breaks the rule meets. For several columns: a null in any of them."""
    if isinstance(rule, NotNull):
        return " OR ".join(f"{value(name, columns[name])} IS NULL" for name in rule.columns)
    found = columns[rule.column]
    sides = [
        f"{value(rule.column, found)} {sign} {bound(limit, found)}"
        for sign, limit in (("<", rule.min), (">", rule.max))
        if limit is not None
    ]
    return " OR ".join(sides)


def duplicates_query(relation: str, rule: Unique, columns: Mapping[str, str]) -> str:
    """How many rows share their values with another, as `failing`."""
    names = _values(rule.columns, columns)
    return f"SELECT coalesce(sum(n), 0) AS failing FROM (SELECT count(*) AS n FROM {relation} WHERE {_whole(rule, columns)} GROUP BY {', '.join(names)} HAVING count(*) > 1)"


def failing_query(relation: str, where: str) -> str:
    """How many rows meet a condition, as `failing`."""
    return f"SELECT count(*) AS failing FROM {relation} WHERE {where}"


def sample_query(relation: str, where: str, key: Sequence[str], columns: Mapping[str, str]) -> str:
    """The keys of the first rows, in file order, that meet a condition; `row` (from 1) where the dataset has no key."""
    shown = [_shown(name, columns) for name in key] or [f'{_ROW} AS "row"']
    numbered = f"(SELECT *, row_number() OVER () AS {_ROW} FROM {relation})"
    return f"SELECT {', '.join(shown)} FROM {numbered} WHERE {where} ORDER BY {_ROW} LIMIT {SAMPLE}"


def duplicated(relation: str, rule: Unique, columns: Mapping[str, str]) -> str:
    """The condition of rows that share their values with another."""
    names = ", ".join(_values(rule.columns, columns))
    groups = f"SELECT ({names}) FROM {relation} WHERE {_whole(rule, columns)} GROUP BY {names} HAVING count(*) > 1"
    return f"{_whole(rule, columns)} AND ({names}) IN ({groups})"


def orphaned(references: str, rule: ForeignKey, columns: Mapping[str, str], others: Mapping[str, str]) -> str:
    """The condition of rows that refer to nothing."""
    mine, theirs = value(rule.column, columns[rule.column]), value(rule.referenced, others[rule.referenced])
    return f"{mine} IS NOT NULL AND {mine} NOT IN (SELECT {theirs} FROM {references} WHERE {theirs} IS NOT NULL)"


def rows_query(relation: str, positions: Sequence[int], key: Sequence[str], columns: Mapping[str, str]) -> str:
    """The keys of the rows at these positions, counted from 0."""
    return sample_query(relation, f"{_ROW} IN ({', '.join(str(position + 1) for position in positions)})", key, columns)


def bound(limit: Bound, found: str) -> str:
    """A bound of a range as SQL. Times with an offset are put in UTC, which the stored times are taken to be in."""
    if isinstance(limit, float):  # not as a decimal, which would be rounded in another way than the values
        return f"{literal(repr(limit))}::{'FLOAT' if found == 'float' else 'DOUBLE'}"
    if isinstance(limit, int):
        return repr(limit)
    moment = datetime.fromisoformat(limit)
    zoned = "zone" in found or found.startswith("timestamptz")
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    text = moment.isoformat(sep=" ")
    return f"TIMESTAMPTZ {literal(text + '+00')}" if zoned else f"TIMESTAMP {literal(text)}"


def _values(names: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    return [value(name, columns[name]) for name in names]


def _whole(rule: Unique, columns: Mapping[str, str]) -> str:
    return " AND ".join(f"{item} IS NOT NULL" for item in _values(rule.columns, columns))


def _shown(name: str, columns: Mapping[str, str]) -> str:
    """A key column as a value that JSON holds."""
    return quote(name) if family(columns[name]) in _AS_IS else f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}"
