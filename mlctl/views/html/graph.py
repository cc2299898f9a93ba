"""The graph of a project as a page, with what the state and a plan say of each resource."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mlctl.types.change import Action, EdgeKind
from mlctl.types.state import Record
from mlctl.views.graph import Graph, Node, Status
from mlctl.views.html.drawing import Badge, Box, Drawing, cut, page
from mlctl.views.human import plan as human
from mlctl.views.human.style import seconds
from mlctl.views.human.text import safe

_ICONS = {
    Status.READY: "✓", Status.RUNNING: "▶", Status.UNFINISHED: "◐", Status.GATE: "⊘", Status.BROKEN: "!", Status.GONE: "✗",
    Status.MISSING: "○", Status.REMOVED: "–",
}  # fmt: skip
_EDGES = {EdgeKind.INPUT: "input", EdgeKind.GATE: "gate", EdgeKind.ORDER: "order"}
_LEGEND = {"": "inputs", "gate": "gates", "order": "order"}
_VALUE = 240  # characters of one output in the panel


def render(
    graph: Graph, *, title: str, environment: str, plan: str = "", hidden: Callable[[Any], Any] = lambda value: value
) -> str:
    """The page. `plan` is a plan's summary; `hidden` takes secrets out of what is shown."""
    count = len(graph.nodes)
    drawing = Drawing(
        boxes={address: _box(node) for address, node in graph.nodes.items()},
        arrows=[(source, target, _EDGES[kind]) for source, target, kind in graph.arrows],
        title=title,
        head=f"{environment} · {count} resource{'' if count == 1 else 's'}",
        label=f"Graph of {title}: arrows lead from a resource to what is made with it",
        groups=[(str(status), _tone(status), _ICONS[status]) for status in Status],
        note=plan,
        legend=_LEGEND,
    )
    return page(drawing, hidden)


def _box(node: Node) -> Box:
    address, change = node.address, node.change
    planned = change is not None and change.effective
    under = str(node.status)
    if change is not None and change.effective:
        under = f"{human.action(change)}: {human.why(change)}"
    elif node.status is Status.READY and node.record is not None:
        under = _at(node.record)
    lists = [("Plan", _planned(node)), ("Gate", _gate(node.record)), ("Outputs", _outputs(node.record)), ("Made", _made(node.record))]  # fmt: skip
    words = [str(address), node.status, *(value for _, pairs in lists[:3] for pair in pairs for value in pair)]
    return Box(
        name=address.name,
        under=under,
        spoken=f"{address}, {node.status}" + (f", planned: {human.action(change)}" if change and planned else ""),
        group=str(node.status),
        tone=_tone(node.status),
        icon=_ICONS[node.status],
        lists=lists,
        words=" ".join(words),
        badge=Badge(f"do-{change.action.value}", change.action.symbol) if change and planned else None,
    )


def _planned(node: Node) -> list[tuple[str, str]]:
    change = node.change
    if change is None or not change.effective:
        return []
    rows = [("action", f"{change.action.symbol} {human.action(change)}"), ("because", human.why(change))]
    if change.action is Action.DELETE:
        rows.append(("object", safe(str(change.key))))
    if change.blocked_by is not None:
        rows.append(("held back by", safe(str(change.blocked_by))))
    rows += [("", line) for line in human.remarks(change)]
    return rows + [("", line) for item in change.fields[:20] for line in human.field(item)]


def _gate(record: Record | None) -> list[tuple[str, str]]:
    gate = record.gate if record is not None else None
    if gate is None:
        return []
    word = "passed" if gate.passed else "approved" if gate.open else "not passed"
    return [(word, human.verdict(gate)), *(("", safe(line)) for line in gate.details[:12])]


def _outputs(record: Record | None) -> list[tuple[str, str]]:
    return [] if record is None else [(safe(name), _value(value)) for name, value in sorted(record.outputs.items())]


def _made(record: Record | None) -> list[tuple[str, str]]:
    if record is None:
        return []
    facts = record.provenance
    rows = [("at", _at(record)), ("by", str(facts.get("by", "")))]
    took = facts.get("seconds")
    if isinstance(took, int | float):
        rows.append(("took", seconds(float(took))))
    commit = facts.get("git")
    if isinstance(commit, Mapping):
        rows.append(("commit", str(commit.get("commit", ""))[:12] + (" and changes" if commit.get("dirty") else "")))
    rows += [("identity", record.key.identity), ("id", record.id or "")]
    return [(name, safe(value)) for name, value in rows if value]


def _at(record: Record) -> str:
    return str(record.provenance.get("at", "")).replace("T", " ").removesuffix("Z")


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return cut(safe(text[: _VALUE + 1]), _VALUE)


def _tone(status: Status) -> str:
    return "gate-tone" if status is Status.GATE else status.css
