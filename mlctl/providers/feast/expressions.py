"""What can be told of the SQL in a feature view before there is any data: its shape. The worker checks the rest with DuckDB.

A refusal here must be one there too; what sqlglot reads otherwise than DuckDB, or does not know, is left to the worker.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.providers.feast.spec import FeatureViewSpec
from mlctl.types.diagnostic import Diagnostic

_FIX = "write for example `price * quantity`, or as a filter `country = 'DE' AND price > 0`"


def expression_problems(spec: FeatureViewSpec) -> Iterator[Diagnostic]:
    """Expressions and filters that are not one value of one row. sqlglot is imported only if there are any."""
    written: list[tuple[tuple[str, ...], str]] = [(("columns", name), text) for name, text in spec.columns.items()]
    written += [] if spec.where is None else [(("where",), spec.where)]
    written += [
        (("features", name, "where"), feature.where)
        for name, feature in spec.features.items()
        if feature.where is not None
    ]
    for path, text in written:
        why = shape_problem(text)
        if why is not None:
            yield Diagnostic("features.bad-expression", f"`{'.'.join(path)}` cannot be used", why, _FIX, path=path)


def shape_problem(text: str) -> str | None:
    """Why a text cannot be an expression over one row; None when it may be, or when sqlglot is not installed."""
    try:
        import sqlglot
        from sqlglot import exp
        from sqlglot.errors import SqlglotError
    except ImportError:
        return None
    try:
        found = sqlglot.parse(f"SELECT\n{text}\n", read="duckdb")
    except SqlglotError as error:
        return str(error).partition(". Line")[0] or "it cannot be read"
    first = found[0] if found else None
    if len(found) != 1 or not isinstance(first, exp.Select) or len(first.expressions) != 1:
        return "it is not one value"
    item = first.expressions[0]
    if isinstance(item, exp.Alias) or any(value for name, value in first.args.items() if name != "expressions"):
        return "it is not one value"
    refused = (
        (exp.Query, "it has a query in it"),
        (exp.Window, "it has a window function in it"),
        (exp.AggFunc, "it looks at many rows: aggregate in a feature, over its window"),
        (exp.Star, "`*` stands for many columns"),
        ((exp.Rand, exp.Uuid, exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp), "it is not always the same"),
    )
    for kind, why in refused:
        if item.find(*(kind if isinstance(kind, tuple) else (kind,))) is not None:
            return why
    return None
