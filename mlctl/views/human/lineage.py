"""The lineage of columns as Graphviz DOT and as Mermaid: a cluster for each object, a node for each of its columns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from mlctl.views.human.graph import quoted
from mlctl.views.lineage import Lineage


def dot(lineage: Lineage) -> str:
    """Graphviz: arrows go from a column to what is computed from it."""
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [shape=box, fontname=sans, style="rounded"];']
    for number, (address, columns) in enumerate(groupby(lineage.columns, key=lambda column: column.address)):
        lines.append(f"  subgraph cluster_{number} {{ label={quoted(str(address))};")
        lines += [
            f"    {quoted(str(column))} [label={quoted(column.name)}, tooltip={quoted(lineage.columns[column] or column.name)}];"
            for column in columns
        ]
        lines.append("  }")
    lines += [f"  {quoted(str(source))} -> {quoted(str(target))};" for source, target in lineage.arrows]
    return "\n".join([*lines, "}"])


def mermaid(lineage: Lineage) -> str:
    """Mermaid, as code hosts render it inside Markdown."""
    names = {column: f"c{number}" for number, column in enumerate(lineage.columns)}
    lines = ["graph LR"]
    for number, (address, columns) in enumerate(groupby(lineage.columns, key=lambda column: column.address)):
        lines.append(f'  subgraph s{number}["{_inside(str(address))}"]')
        lines += [f'    {names[column]}["{_inside(column.name)}"]' for column in columns]
        lines.append("  end")
    lines += [f"  {names[source]} --> {names[target]}" for source, target in lineage.arrows]
    return "\n".join(lines)


def _inside(text: str) -> str:
    return text.replace('"', "#quot;")


FORMATS: dict[str, Callable[[Lineage], str]] = {"dot": dot, "mermaid": mermaid}
