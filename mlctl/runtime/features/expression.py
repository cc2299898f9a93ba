"""Row-level expressions of a project, in DuckDB's SQL: which are allowed, and what they read.

An expression is one scalar over the columns of one row, and gives the same value whenever it is asked for: no query, no
aggregate or window, no clock, chance, file or setting. DuckDB's own parser reads it, so what is checked is what runs.
"""

# ruff: noqa: S608 (expressions are parsed here before they stand in a query; names go through quote())

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from mlctl.runtime.profile.database import quote, shorten
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean

# Ready-made macros of DuckDB that are plain functions of their arguments; the others ask for the clock or the catalog.
_MACROS = frozenset(
    {"nullif", "if", "fmod", "fdiv", "date_add", "days_in_month", "split_part", "array_to_string", "json"}
)
_MACRO_PREFIXES = ("list_", "array_", "map_contains_", "md5_number_")
# DuckDB calls these functions of their arguments alone, and they are not.
_UNSTEADY = frozenset({"version", "current_localtime", "current_localtimestamp", "index_key", "json_serialize_plan"})
_CLOCK_WORDS = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"})
_REFUSED = {
    "SUBQUERY": "it has a query in it",
    "WINDOW": "it has a window function in it",
    "STAR": "`*` stands for many columns",
    "PARAMETER": "it has a placeholder in it",
    "POSITIONAL_REFERENCE": "it names a column by its place",
    "DEFAULT": "it has no value",
}
_RULE = "an expression is one value computed from the columns of one row, and always the same for the same row"
_HOW = "write for example `price * quantity`, or as a filter `country = 'DE' AND price > 0`"


class ExpressionError(ValueError):
    """Why an expression is refused, and what may help."""

    def __init__(self, why: str, fix: str = _HOW) -> None:
        """Hold both."""
        super().__init__(why)
        self.fix = fix


def columns_read(expression: str, columns: Iterable[str]) -> list[str]:
    """The columns that an expression reads, in the order in which they come up. Raises ExpressionError for what is not allowed."""
    names = {name.lower(): name for name in columns}
    found: dict[str, None] = {}
    for reference, bound in _references(_parse(expression), frozenset()):
        first = reference[0]
        if first.lower() in bound:
            continue
        if first.lower() not in names:
            raise _unknown(first, names.values())
        found[names[first.lower()]] = None
    return list(found)


def embed(expression: str) -> str:
    """A checked expression as part of a larger one. The line breaks end a comment at its end."""
    return f"(\n{expression}\n)"


def type_of(connection: Any, table: str, expression: str) -> str:
    """The type of an expression over a table, in lower case. Raises ExpressionError when its parts do not fit together."""
    import duckdb

    try:
        rows = connection.execute(f"DESCRIBE SELECT {embed(expression)} AS value FROM {table}").fetchall()
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ConversionException) as error:
        raise ExpressionError(shorten(str(error)), "mend it, for example by a CAST") from None
    return str(rows[0][1]).lower()


def check_expressions(
    connection: Any, table: str, columns: Mapping[str, str], expressions: Mapping[str, str], filters: Mapping[str, str]
) -> None:
    """Check the columns a view computes and its filters, given by the place each is written at.

    Expressions read the table; filters read the expressions as well. Raises MlctlError with every problem.
    """
    problems, types = [], dict(columns)
    for name, expression in expressions.items():
        if name.lower() in {column.lower() for column in columns}:
            problems.append(
                _problem(f"columns.{name}", f"the source has a column `{name}` already", "choose another name")
            )
            continue
        try:
            columns_read(expression, columns)
            types[name] = type_of(connection, table, expression)
        except ExpressionError as error:
            problems.append(_problem(f"columns.{name}", str(error), error.fix))
    if problems:
        raise MlctlError(problems)
    extended = f"({with_expressions(table, expressions)})"
    for place, expression in filters.items():
        try:
            columns_read(expression, types)
            kind = type_of(connection, extended, expression)
        except ExpressionError as error:
            problems.append(_problem(place, str(error), error.fix))
            continue
        if kind != "boolean":
            problems.append(_problem(place, f"it is {kind}, and a filter is true or false", "compare with something"))
    if problems:
        raise MlctlError(problems)


def with_expressions(table: str, expressions: Mapping[str, str]) -> str:
    """A query over a table that adds the computed columns to its own."""
    added = "".join(f", {embed(expression)} AS {quote(name)}" for name, expression in expressions.items())
    return f"SELECT *{added} FROM {table}"


def _problem(place: str, why: str, fix: str) -> Diagnostic:
    return Diagnostic("features.bad-expression", f"`{place}` cannot be used", why, fix)


@lru_cache(maxsize=256)
def _parse(expression: str) -> Any:
    """The syntax tree of one expression. Raises ExpressionError."""
    if not expression.strip():
        raise ExpressionError("it is empty")
    tree = _tree(f"SELECT\n{expression}\n")
    (statement,) = tree["statements"] if len(tree["statements"]) == 1 else (None,)
    node = statement["node"] if statement is not None else {}
    clauses = ("modifiers", "where_clause", "group_expressions", "having", "sample", "qualify")
    if (
        node.get("type") != "SELECT_NODE"
        or len(node["select_list"]) != 1
        or node["select_list"][0]["alias"]
        or node["from_table"]["type"] != "EMPTY"
        or node["cte_map"]["map"]
        or any(node[clause] for clause in clauses)
    ):
        raise ExpressionError(_RULE)
    _tree(f"SELECT {embed(expression)}")  # as it will stand in a query
    return node["select_list"][0]


def _tree(query: str) -> Any:
    connection, _ = _parser()
    (text,) = connection.cursor().execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    tree = json.loads(text)
    if tree["error"]:
        raise ExpressionError(str(tree["error_message"]))
    return tree


@lru_cache(maxsize=1)
def _parser() -> tuple[Any, dict[str, set[tuple[str, str | None]]]]:
    """A connection of its own to ask DuckDB's parser, and for each function DuckDB knows the kinds it comes in."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    functions: dict[str, set[tuple[str, str | None]]] = {}
    for name, kind, stability in connection.execute(
        "SELECT DISTINCT function_name, function_type, stability FROM duckdb_functions()"
    ).fetchall():
        functions.setdefault(name.lower(), set()).add((kind, stability))
    return connection, functions


def _references(node: Any, bound: frozenset[str]) -> Iterator[tuple[list[str], frozenset[str]]]:
    """Every column reference below a node with the names that lambdas bind there. Raises ExpressionError for what is not allowed."""
    if isinstance(node, list):
        for item in node:
            yield from _references(item, bound)
        return
    if not isinstance(node, dict):
        return
    what = node.get("class")
    if what in _REFUSED:
        raise ExpressionError(f"{_REFUSED[what]}; {_RULE}")
    if what == "COLUMN_REF":
        yield node["column_names"], bound
        return
    if what == "LAMBDA":
        inside = bound | {names[-1].lower() for names, _ in _references(node["lhs"], frozenset())}
        yield from _references(node["expr"], inside)
        return
    if what == "OPERATOR" and node["type"] == "GROUPING_FUNCTION":
        raise ExpressionError(f"`grouping` belongs to aggregates; {_RULE}")
    if what == "FUNCTION":
        _check_function(node["function_name"].lower(), len(node["arguments"]))
    for value in node.values():
        yield from _references(value, bound)


def _check_function(name: str, arguments: int) -> None:
    """Raise ExpressionError for a function that is more than a function of its arguments."""
    known = _parser()[1].get(name)
    if known is None:
        scalars = [other for other, kinds in _parser()[1].items() if any(kind == "scalar" for kind, _ in kinds)]
        raise ExpressionError(f"there is no function `{name}`", did_you_mean(name, scalars))
    kinds = {kind for kind, _ in known}
    if "scalar" in kinds:
        steady = {stability for kind, stability in known if kind == "scalar"} == {"CONSISTENT"}
        if not steady or name in _UNSTEADY or (name == "age" and arguments == 1):
            raise ExpressionError(f"`{name}` does not always give the same value; {_RULE}")
    elif kinds & {"aggregate", "window"}:
        raise ExpressionError(f"`{name}` looks at many rows; {_RULE}", "aggregate in a feature, over its window")
    elif not ("macro" in kinds and (name in _MACROS or name.startswith(_MACRO_PREFIXES))):
        raise ExpressionError(f"`{name}` is no function of a row's values; {_RULE}")


def _unknown(name: str, columns: Iterable[str]) -> ExpressionError:
    if name.lower() in _CLOCK_WORDS:
        return ExpressionError(f"`{name}` does not always give the same value; {_RULE}")
    return ExpressionError(f"there is no column `{name}`", did_you_mean(name, columns))
