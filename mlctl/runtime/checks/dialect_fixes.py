"""Where sqlglot alone would write something that another engine does not know or takes to mean something else.

Each fix takes a node of the tree whose children are done, and gives what stands there instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from mlctl.types.jobs.patterns import Flavour, flavoured

Dialect = Literal["spark", "postgres", "bigquery", "snowflake"]

_FLAVOURS: dict[Dialect, Flavour] = {
    "spark": "java", "postgres": "postgres", "bigquery": "re2", "snowflake": "snowflake",
}  # fmt: skip


class Untranslatable(Exception):
    """A query that another engine cannot answer; the text says why."""


def fix(node: Any, dialect: Dialect) -> Any:
    """The node as the dialect needs it, often itself."""
    if (found := _FIXES.get(type(node).__name__)) is not None:
        return found(node, dialect)
    return node


def _not_a_number(node: Any, dialect: Dialect) -> Any:
    """PostgreSQL and Snowflake have no function for it: there a NaN equals itself."""
    from sqlglot import exp

    if dialect in ("spark", "bigquery"):
        return node
    return exp.Paren(this=exp.EQ(this=node.this.copy(), expression=_double("NaN")))


def _infinite(node: Any, dialect: Dialect) -> Any:
    from sqlglot import exp

    if dialect == "bigquery":
        return node
    return exp.Paren(this=exp.EQ(this=exp.Abs(this=node.this.copy()), expression=_double("inf")))


def _anonymous(node: Any, dialect: Dialect) -> Any:
    """Functions of DuckDB that sqlglot does not know."""
    from sqlglot import exp

    if node.name.lower() == "isfinite" and len(node.expressions) == 1:
        # A NaN is above infinity, or for BigQuery neither above nor below anything.
        item = node.expressions[0]
        above = exp.GT(this=item.copy(), expression=_double("-inf"))
        return exp.Paren(this=exp.and_(above, exp.LT(this=item.copy(), expression=_double("inf"))))
    if node.name.lower() == "now" and not node.expressions:
        return exp.CurrentTimestamp()
    return node


def _full_match(node: Any, dialect: Dialect) -> Any:
    """All others look for the pattern anywhere in the text, or have another flavour of patterns."""
    from sqlglot import exp

    pattern = node.args.get("expression")
    if not isinstance(pattern, exp.Literal) or node.args.get("options") is not None:
        raise Untranslatable("a regular expression must be a plain text, without options")
    try:
        text = flavoured(pattern.this, _FLAVOURS[dialect])
    except ValueError as error:
        raise Untranslatable(f"the regular expression `{pattern.this}`: {error}") from None
    return exp.RegexpLike(this=node.this.copy(), expression=exp.Literal.string(text))


def _quantile(node: Any, dialect: Dialect) -> Any:
    """Exact, and interpolated as DuckDB does it."""
    if node.args.get("expression") is None or dialect in ("postgres", "snowflake"):
        return node
    if dialect == "bigquery":
        raise Untranslatable("BigQuery has no exact quantile among its aggregates")
    return _call("PERCENTILE", node.this.copy(), node.expression.copy())


def _epoch(node: Any, dialect: Dialect) -> Any:
    """Seconds with their fraction; Spark and Snowflake would cut it off."""
    from sqlglot import exp

    if dialect == "postgres":
        return node
    item = node.this.copy()
    micros = _call("UNIX_MICROS", exp.cast(item.copy(), exp.DType.TIMESTAMPTZ))
    if dialect == "snowflake":
        micros = _call("DATE_PART", exp.var("EPOCH_MICROSECOND"), item)
    return exp.Paren(
        this=exp.Div(this=exp.cast(micros, exp.DType.DOUBLE), expression=exp.Literal.number("1e6"), typed=False)
    )


def _try_cast(node: Any, dialect: Dialect) -> Any:
    """sqlglot would write a cast that fails instead of giving null."""
    if dialect in ("postgres", "snowflake"):
        raise Untranslatable("TRY_CAST has no equal there for every type")
    return node


def _cast(node: Any, dialect: Dialect) -> Any:
    """A moment with its offset written out in full: not every engine reads `+00`."""
    from sqlglot import exp

    text = node.this
    if (
        isinstance(text, exp.Literal)
        and text.is_string
        and node.to.this == exp.DType.TIMESTAMPTZ
        and text.this.endswith("+00")
    ):
        return exp.cast(exp.Literal.string(f"{text.this}:00"), exp.DType.TIMESTAMPTZ)
    return node


def _data_type(node: Any, dialect: Dialect) -> Any:
    """Integers of 128 bits, and unsigned ones."""
    from sqlglot import exp

    if node.this in (exp.DType.INT128, exp.DType.UINT128):
        return exp.DataType.build("BIGNUMERIC" if dialect == "bigquery" else "DECIMAL(38, 0)", dialect=dialect)
    return node


def _row_number(node: Any, dialect: Dialect) -> Any:
    """Only the rows of a file have an order of their own."""
    from sqlglot import exp

    if isinstance(node.this, exp.RowNumber) and node.args.get("order") is None:
        raise Untranslatable("it numbers rows without an ORDER BY, and there they have no order")
    return node


def _in(node: Any, dialect: Dialect) -> Any:
    """`(a, b) IN (SELECT (a, b) ...)`: a row is one value to DuckDB and BigQuery, and several columns to the others."""
    from sqlglot import exp

    query = node.args.get("query")
    select = query.this if isinstance(query, exp.Subquery) else query
    if dialect == "bigquery" or not isinstance(select, exp.Select) or len(select.expressions) != 1:
        return node
    [only] = select.expressions
    if isinstance(only, exp.Tuple):
        select.set("expressions", [item.copy() for item in only.expressions])
    return node


def _double(text: str) -> Any:
    from sqlglot import exp

    return exp.cast(exp.Literal.string(text), exp.DType.DOUBLE)


def _call(name: str, *arguments: Any) -> Any:
    """A function of the other engine that sqlglot has no node for; marked as written by us."""
    from sqlglot import exp

    made = exp.Anonymous(this=name, expressions=list(arguments))
    made.meta["ours"] = True
    return made


_FIXES: dict[str, Callable[[Any, Dialect], Any]] = {
    "IsNan": _not_a_number,
    "IsInf": _infinite,
    "Anonymous": _anonymous,
    "RegexpFullMatch": _full_match,
    "PercentileCont": _quantile,
    "TimeToUnix": _epoch,
    "TryCast": _try_cast,
    "Cast": _cast,
    "DataType": _data_type,
    "Window": _row_number,
    "In": _in,
}
