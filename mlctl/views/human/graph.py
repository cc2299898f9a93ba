"""The graph of a project as Graphviz DOT and as Mermaid."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from mlctl.types.address import Address
from mlctl.types.change import EdgeKind

Edges = Mapping[Address, Mapping[Address, Collection[EdgeKind]]]


def dot(edges: Edges) -> str:
    """Graphviz: arrows go from a resource to what is made with it."""
    styles = {EdgeKind.INPUT: "solid", EdgeKind.GATE: "dashed", EdgeKind.ORDER: "dotted"}
    lines = [f'  "{address}";' for address in sorted(edges)]
    lines += [f'  "{source}" -> "{target}" [style={styles[kind]}];' for source, target, kind in _arrows(edges)]
    return "\n".join(["digraph mlctl {", "  rankdir=LR;", "  node [shape=box, fontname=sans];", *lines, "}"])


def mermaid(edges: Edges) -> str:
    """Mermaid, as code hosts render it inside Markdown."""
    arrows = {EdgeKind.INPUT: "-->", EdgeKind.GATE: "-.->|gate|", EdgeKind.ORDER: "-.->"}
    names = {address: f"n{number}" for number, address in enumerate(sorted(edges))}
    lines = [f'  {name}["{address}"]' for address, name in names.items()]
    lines += [f"  {names[source]} {arrows[kind]} {names[target]}" for source, target, kind in _arrows(edges)]
    return "\n".join(["graph LR", *lines])


def _arrows(edges: Edges) -> list[tuple[Address, Address, EdgeKind]]:
    """Each dependency once, by its strongest kind."""
    strength = [EdgeKind.INPUT, EdgeKind.GATE, EdgeKind.ORDER]
    return sorted(
        (source, target, min(kinds, key=strength.index))
        for target, sources in edges.items()
        for source, kinds in sources.items()
    )


FORMATS: dict[str, Callable[[Edges], str]] = {"dot": dot, "mermaid": mermaid}
