"""The graph of a project as Graphviz DOT and as Mermaid, with the status of each resource as its class."""

from __future__ import annotations

from collections.abc import Callable

from mlctl.types.change import EdgeKind
from mlctl.views.graph import Graph, Status

# Fill and border of each status; both read on white and on black.
_COLORS = {
    Status.READY: ("#dcfce7", "#15803d"), Status.RUNNING: ("#dbeafe", "#1d4ed8"), Status.UNFINISHED: ("#fef3c7", "#b45309"),
    Status.GATE: ("#ffe4e6", "#be123c"), Status.BROKEN: ("#fee2e2", "#b91c1c"), Status.GONE: ("#fee2e2", "#b91c1c"),
    Status.MISSING: ("#f8fafc", "#64748b"), Status.REMOVED: ("#e2e8f0", "#475569"),
}  # fmt: skip


def dot(graph: Graph) -> str:
    """Graphviz: arrows go from a resource to what is made with it."""
    styles = {EdgeKind.INPUT: "solid", EdgeKind.GATE: "dashed", EdgeKind.ORDER: "dotted"}
    lines = []
    for address, node in graph.nodes.items():
        fill, border = _COLORS[node.status]
        lines.append(
            f'  {quoted(str(address))} [class="{node.status.css}", tooltip="{node.status}", fillcolor="{fill}", color="{border}"];'
        )
    lines += [
        f"  {quoted(str(source))} -> {quoted(str(target))} [style={styles[kind]}];"
        for source, target, kind in graph.arrows
    ]
    head = ["digraph mlctl {", "  rankdir=LR;", '  node [shape=box, fontname=sans, style="filled,rounded"];']
    return "\n".join([*head, *lines, "}"])


def mermaid(graph: Graph) -> str:
    """Mermaid, as code hosts render it inside Markdown."""
    arrows = {EdgeKind.INPUT: "-->", EdgeKind.GATE: "-.->|gate|", EdgeKind.ORDER: "-.->"}
    names = {address: f"n{number}" for number, address in enumerate(graph.nodes)}
    lines = [
        f'  {names[address]}["{str(address).replace(chr(34), "#quot;")}"]:::{node.status.css}'
        for address, node in graph.nodes.items()
    ]
    lines += [f"  {names[source]} {arrows[kind]} {names[target]}" for source, target, kind in graph.arrows]
    used = [status for status in Status if any(node.status is status for node in graph.nodes.values())]
    classes = [
        f"  classDef {status.css} fill:{fill},stroke:{border},color:#0f172a"
        for status in used
        for fill, border in [_COLORS[status]]
    ]
    return "\n".join(["graph LR", *lines, *classes])


def quoted(text: str) -> str:
    """A name in DOT's own quotes: the key of an instance brings some."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


FORMATS: dict[str, Callable[[Graph], str]] = {"dot": dot, "mermaid": mermaid}
