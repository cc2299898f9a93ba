"""The SQL of the rule compiler, which is DuckDB's, in the words of another engine.

sqlglot reads and writes it. What it would hand on unchanged although the other engine means something else by it, or has no
such thing, is put right in the tree first (`dialect_fixes`); what cannot be raises `Untranslatable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlctl.runtime.checks.dialect_fixes import Dialect, Untranslatable, fix

if TYPE_CHECKING:
    from sqlglot import exp

Tables = Mapping[str, Sequence[str]]  # the only tables a query may read, with the names of their columns


def translate(sql: str, dialect: Dialect, tables: Tables) -> str:
    """One SELECT in another dialect, with every name quoted. Raises Untranslatable."""
    return _written(parse(sql, dialect, tables), dialect)


def translate_over(sql: str, dialect: Dialect, tables: Tables, relations: Mapping[str, str]) -> str:
    """The same, with each table standing for a relation in the database's own SQL: a quoted name, or a query in brackets."""
    from sqlglot import exp

    tree = parse(sql, dialect, tables)
    read = {table.name for table in tree.find_all(exp.Table)}
    # Else PostgreSQL would write a table that is read twice out in full.
    kept = "AS NOT MATERIALIZED" if dialect == "postgres" else "AS"
    parts = [
        f"{_written(exp.to_identifier(name, quoted=True), dialect)} {kept} (SELECT * FROM {relation} AS t)"  # noqa: S608 (as the dataset has it)
        for name, relation in relations.items()
        if name in read
    ]
    own = tree.args.get("with_")
    recursive = ""
    if own is not None:
        recursive = "RECURSIVE " if own.args.get("recursive") else ""
        parts += [_written(item, dialect) for item in own.expressions]
        tree.set("with_", None)
    return (f"WITH {recursive}{', '.join(parts)} " if parts else "") + _written(tree, dialect)


def readable(query: str, tables: Tables) -> str:
    """A query that a person wrote, still in DuckDB's dialect, without comments. Raises Untranslatable when it is no SELECT of these tables."""
    return str(_select(query, tables).sql(dialect="duckdb", comments=False))


def parse(sql: str, dialect: Dialect, tables: Tables) -> exp.Query:
    """The tree of one SELECT, put right for a dialect. Raises Untranslatable."""
    from sqlglot import exp

    tree = _select(sql, tables)
    _spell(tree, tables)
    for node in reversed(list(tree.walk())):  # the inner ones first
        fixed = fix(node, dialect)
        if fixed is not node:
            node.replace(fixed)
    if dialect == "postgres":
        _name_subqueries(tree)
    unknown = sorted({item.name for item in tree.find_all(exp.Anonymous) if not item.meta.get("ours")})
    if unknown:
        raise Untranslatable(f"nobody knows what the function `{unknown[0]}` of DuckDB is there")
    return tree


def _name_subqueries(tree: exp.Query) -> None:
    """PostgreSQL wants a name for every query that is read from."""
    from sqlglot import exp

    for index, item in enumerate(tree.find_all(exp.Subquery)):
        if isinstance(item.parent, exp.From | exp.Join) and not item.alias:
            item.set("alias", exp.TableAlias(this=exp.to_identifier(f"q{index}", quoted=True)))


def _select(sql: str, tables: Tables) -> exp.Query:
    """The tree of one SELECT that reads these tables only."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        statements = sqlglot.parse(sql, read="duckdb")
    except SqlglotError as error:
        raise Untranslatable(f"it cannot be read: {str(error).splitlines()[0]}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise Untranslatable("it is not one SELECT")
    _only(statements[0], tables)
    return statements[0]


def _only(tree: exp.Query, tables: Tables) -> None:
    """Raise Untranslatable for a query that reads anything but the tables, or that gives another answer each time."""
    from sqlglot import exp

    known = {name.lower() for name in tables}
    for table in tree.find_all(exp.Table):
        plain = isinstance(table.this, exp.Identifier) and not table.args.get("db")
        if not plain or table.name.lower() not in known | _own(table):
            raise Untranslatable(f"it reads `{table.sql(dialect='duckdb')}`, and only {_listed(tables)} can be read")
    for kind, what in (
        (exp.TableSample, "a sample is another one each time"),
        (exp.Into, "it writes"),
        (exp.Lock, "it locks"),
    ):
        if tree.find(kind) is not None:
            raise Untranslatable(what)


def _own(table: exp.Table) -> set[str]:
    """The names that `WITH` gives where a table is read: elsewhere in the query the same name is the database's."""
    found: set[str] = set()
    inside: Any = table  # the part of each query on the way out that the table stands in
    while inside.parent is not None:
        around = inside.parent
        own = around.args.get("with_")
        if own is not None and own is not inside:
            found |= {item.alias.lower() for item in own.expressions}
        elif inside.key == "cte":  # one table of a WITH knows those before it, and itself only if that is recursive
            [*each] = around.expressions
            seen = each if around.args.get("recursive") else each[: each.index(inside)]
            found |= {item.alias.lower() for item in seen}
        inside = around
    return found


def _spell(tree: exp.Query, tables: Tables) -> None:
    """Names as the tables have them: to DuckDB `Id` and `"ID"` are one column, to most others they are not."""
    from sqlglot import exp

    exact = {name for name in tables} | {column for columns in tables.values() for column in columns}
    known = {name.lower(): name for name in exact}
    for item in tree.find_all(exp.Identifier):
        if item.this not in exact:
            item.set("this", known.get(item.this.lower(), item.this.lower()))


def _written(tree: Any, dialect: Dialect) -> str:
    from sqlglot.errors import ErrorLevel, UnsupportedError

    try:
        return str(tree.sql(dialect=dialect, identify=True, unsupported_level=ErrorLevel.RAISE))
    except UnsupportedError as error:
        raise Untranslatable(str(error)) from None


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names)
