"""The rules as SQL, in DuckDB's dialect: what counts the rows that break one, and what finds them.

Pure: rules and column types in, text out. Written so that it can be translated: plain functions, quoted names, no order but
that of the key where there is one.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from mlctl.runtime.checks.executor import ROW
from mlctl.runtime.profile.database import literal, quote
from mlctl.runtime.profile.types import family, value
from mlctl.types.jobs.checks import Bound, ForeignKey, Length, NotNull, Range, Regex, Rule, Set, Unique

SAMPLE = 5
_AS_IS = frozenset({"integer", "text", "boolean"})

Columns = Mapping[str, str]


def table_query(table: str, parts: Mapping[str, str]) -> str:
    """One pass over a table: aggregates by alias."""
    return f"SELECT {', '.join(f'{part} AS {name}' for name, part in parts.items())} FROM {table}"


def counted(column: str, columns: Columns) -> str:
    """How many rows have a value there."""
    return f"count({value(column, columns[column])})"


def count_if(condition: str) -> str:
    """How many rows meet a condition."""
    return f"count_if({condition})"


def offending(rule: Rule, columns: Columns) -> str:
    """The condition that a row which breaks a rule about single values meets. For several columns: a null in any of them."""
    if isinstance(rule, NotNull):
        return any_of(f"{value(name, columns[name])} IS NULL" for name in rule.columns)
    if isinstance(rule, Range):
        found = columns[rule.column]
        sides = (("<", rule.min), (">", rule.max))
        return any_of(
            f"{value(rule.column, found)} {sign} {bound(limit, found)}" for sign, limit in sides if limit is not None
        )
    if isinstance(rule, Set):
        return _outside(rule, columns[rule.column])
    if isinstance(rule, Regex):
        return f"NOT regexp_full_match({_text(rule.column, columns)}, {literal(rule.pattern)})"
    if isinstance(rule, Length):
        sides = (("<", rule.min), (">", rule.max))
        return any_of(
            f"length({_text(rule.column, columns)}) {sign} {limit}" for sign, limit in sides if limit is not None
        )
    raise TypeError(f"{type(rule).__name__} is no rule about single values")


def bound(limit: Bound, found: str) -> str:
    """A bound as SQL. Times with an offset are put in UTC, which the stored times are taken to be in."""
    if isinstance(limit, float):  # not as a decimal, which would be rounded in another way than the values
        return f"CAST({literal(repr(limit))} AS {'FLOAT' if found == 'float' else 'DOUBLE'})"
    if isinstance(limit, int):
        return repr(limit)
    return moment(datetime.fromisoformat(limit), found)


def moment(when: datetime, found: str) -> str:
    """A time as SQL, of the kind that a column of this type is compared with."""
    if when.tzinfo is not None:
        when = when.astimezone(UTC).replace(tzinfo=None)
    text = when.isoformat(sep=" ")
    return f"TIMESTAMPTZ {literal(text + '+00')}" if "zone" in found else f"TIMESTAMP {literal(text)}"


def distinct_query(table: str, column: str, columns: Columns) -> str:
    """How many distinct values there are, exactly, as `n`."""
    return f"SELECT count(DISTINCT {value(column, columns[column])}) AS n FROM {table}"


def duplicates_query(table: str, rule: Unique, columns: Columns) -> str:
    """How many rows share their values with another, as `failing`."""
    names = ", ".join(_values(rule.columns, columns))
    return (
        "SELECT coalesce(sum(n), 0) AS failing FROM"
        f" (SELECT count(*) AS n FROM {table} WHERE {whole(rule, columns)} GROUP BY {names} HAVING count(*) > 1) AS groups"
    )


def duplicated(table: str, rule: Unique, columns: Columns) -> str:
    """The condition of rows that share their values with another."""
    names = ", ".join(_values(rule.columns, columns))
    one = names if len(rule.columns) == 1 else f"({names})"
    groups = f"SELECT {one} FROM {table} WHERE {whole(rule, columns)} GROUP BY {names} HAVING count(*) > 1"
    return f"{whole(rule, columns)} AND {one} IN ({groups})"


def whole(rule: Unique, columns: Columns) -> str:
    """The condition of rows that a rule of uniqueness is about: those without a null in its columns."""
    return " AND ".join(f"{item} IS NOT NULL" for item in _values(rule.columns, columns))


def orphaned(rule: ForeignKey, columns: Columns, others: Columns) -> str:
    """The condition of rows that refer to nothing."""
    mine, theirs = value(rule.column, columns[rule.column]), value(rule.referenced, others[rule.referenced])
    keys = f"SELECT {theirs} FROM {quote(rule.dataset)} WHERE {theirs} IS NOT NULL"
    return f"{mine} IS NOT NULL AND {mine} NOT IN ({keys})"


def failing_query(table: str, where: str) -> str:
    """How many rows meet a condition, as `failing`."""
    return f"SELECT count(*) AS failing FROM {rows_of(table, where)} WHERE {where}"


def sample_query(table: str, where: str, key: Sequence[str], columns: Columns, *, once: bool = False) -> str:
    """The keys of the first rows, in the order of the key, that meet a condition; with `once` no key twice.

    Where the dataset has no key it is the number of the row in file order, from 1, as `row`.
    """
    names = [quote(name) for name in key] or [ROW]
    shown = [_shown(name, columns) for name in key] or [f'{ROW} AS "row"']
    order = ", ".join(f"{name} NULLS LAST" for name in names)
    rows = rows_of(table, where, numbered=not key)
    select = "SELECT DISTINCT" if once and key else "SELECT"
    inner = f"{select} {', '.join(names)} FROM {rows} WHERE {where} ORDER BY {order} LIMIT {SAMPLE}"
    return f"SELECT {', '.join(shown)} FROM ({inner}) AS sample"


def rows_query(table: str, positions: Sequence[int], key: Sequence[str], columns: Columns) -> str:
    """The keys of the rows at these positions, counted from 0."""
    return sample_query(table, f"{ROW} IN ({', '.join(str(position + 1) for position in positions)})", key, columns)


def rows_of(table: str, where: str, *, numbered: bool = False) -> str:
    """The table to put a condition to: with the number of each row where the condition or the caller looks at it."""
    if numbered or ROW in where:
        return f"(SELECT *, row_number() OVER () AS {ROW} FROM {table}) AS numbered"
    return table


def any_of(conditions: Iterable[str]) -> str:
    """At least one of them holds."""
    return " OR ".join(conditions)


def _outside(rule: Set, found: str) -> str:
    values = [_member(item, found) for item in rule.values]
    members = ", ".join(item for item in values if item)
    mine = value(rule.column, found)
    # of an integer column no value is a fraction, and of a set of nothing else every value lies outside
    return f"{mine} NOT IN ({members})" if members else f"{mine} IS NOT NULL"


def _member(item: str | int | float | bool, found: str) -> str:
    """A member of a set as a value of the column's type, or nothing when the type has no such value."""
    kind = family(found)
    if isinstance(item, bool):
        return "TRUE" if item else "FALSE"
    if isinstance(item, str):
        return bound(item, found) if kind == "time" else literal(item)
    if kind == "float":
        return bound(float(item), found)
    exact = Decimal(repr(item))
    if exact == exact.to_integral_value():
        return str(int(exact))
    return f"{exact:f}" if kind == "decimal" else ""


def _text(name: str, columns: Columns) -> str:
    return quote(name) if columns[name] == "varchar" else f"CAST({quote(name)} AS VARCHAR)"


def _values(names: Sequence[str], columns: Columns) -> list[str]:
    return [value(name, columns[name]) for name in names]


def _shown(name: str, columns: Columns) -> str:
    """A key column as a value that JSON holds."""
    return quote(name) if family(columns[name]) in _AS_IS else f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}"
