"""Statistics of rows that stay in their database: counted there, as far as every database can."""

# ruff: noqa: S608 (names go through quote())

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlctl.databases import look, postgres, sql
from mlctl.runtime.checks.dialect import translate_over
from mlctl.runtime.profile.database import quote
from mlctl.runtime.profile.types import NUMBERS, family
from mlctl.runtime.report import Report
from mlctl.types.jobs.copy import DatabaseCopy

_TABLE = "data"
_AT_ONCE = 100  # columns a query
Statistics = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Counted:
    """What is known of rows that stay, and the relation in which every column is of its type."""

    rows: int
    columns: dict[str, str]
    statistics: Statistics
    relation: str


def profile(source: DatabaseCopy, report: Report) -> Counted:
    """Count them. Raises MlctlError."""
    with look.extra(source.type):  # noqa: S610 (not Django's)
        if source.type == "postgres":
            with postgres.session(source.connection) as connection:
                columns = postgres.columns(connection, source.relation)
                source = source.model_copy(update={"relation": postgres.plain(connection, source.relation)})
                return _counted(source, columns, lambda query: connection.execute(query).fetchone(), report)
        from mlctl.databases.warehouses import warehouse

        with warehouse(look.server(source), source.connection) as opened:
            columns = opened.columns(sql.rows(source.type, source.relation, ()))
            return _counted(source, columns, opened.one, report)


def _counted(
    source: DatabaseCopy, columns: dict[str, str], ask: Callable[[str], Sequence[Any]], report: Report
) -> Counted:
    names, rows, statistics = list(columns), 0, Statistics()
    for start in range(0, len(names), _AT_ONCE):
        report.progress("counting in the database", start, len(names), "columns")
        part = {name: columns[name] for name in names[start : start + _AT_ONCE]}
        query, fields = count_query(part, exact=source.type == "postgres")
        answer = ask(translate_over(query, look.server(source), {_TABLE: names}, {_TABLE: source.relation}))
        rows = int(answer[0])
        for (name, field), value in zip(fields, answer[1:], strict=True):
            statistics.setdefault(name, {})[field] = _plain(value, columns[name], field)
        for name in part:
            known = statistics[name]
            known["nulls"] = rows - known.pop("known")
            for bound in ("min", "max"):
                if known.get(bound, 0) is None:
                    del known[bound]
    return Counted(rows, columns, statistics, source.relation)


def count_query(columns: Mapping[str, str], *, exact: bool) -> tuple[str, list[tuple[str, str]]]:
    """One row over `data` in DuckDB's SQL, and what its fields after the first are: column and figure.

    PostgreSQL has no approximate count of distinct values, so that there it is `exact`.
    """
    parts, fields = ["count(*) AS n"], []
    for i, (name, found) in enumerate(columns.items()):
        column, kind = quote(name), family(found)
        value = f"CASE WHEN NOT isnan({column}) THEN {column} END" if kind == "float" else column
        finite = f"CASE WHEN isfinite({column}) THEN {column} END" if kind == "float" else column
        asked = {"known": f"count({value})"}
        asked["approx_distinct"] = f"count(DISTINCT {value})" if exact else f"approx_count_distinct({value})"
        if kind in NUMBERS:
            asked |= {"min": f"min({finite})", "max": f"max({finite})"}
        elif kind == "time":
            asked |= {"min": f"CAST(min({value}) AS VARCHAR)", "max": f"CAST(max({value}) AS VARCHAR)"}
        for field, expression in asked.items():
            parts.append(f"{expression} AS {field}_{i}")
            fields.append((name, field))
    return f"SELECT {', '.join(parts)} FROM {_TABLE}", fields


def _plain(value: Any, found: str, field: str) -> Any:
    """A figure as JSON holds it."""
    if value is None or field in ("known", "approx_distinct"):
        return value if value is None else int(value)
    kind = family(found)
    if kind == "time":
        return str(value).replace(" ", "T", 1)
    return int(value) if kind == "integer" else float(value)
