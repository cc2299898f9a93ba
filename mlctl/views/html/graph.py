"""The graph of a project as a page: one file that asks nothing of a network, with what the state and a plan say of each resource."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.types.address import Address
from mlctl.types.change import Action, EdgeKind
from mlctl.types.state import Record
from mlctl.views.graph import Graph, Node, Status
from mlctl.views.html.layout import HEIGHT, WIDTH, Layout, Point, arrange
from mlctl.views.human import plan as human
from mlctl.views.human.style import seconds
from mlctl.views.human.text import safe

_HERE = Path(__file__).parent
_ICONS = {
    Status.READY: "✓", Status.RUNNING: "▶", Status.UNFINISHED: "◐", Status.GATE: "⊘", Status.BROKEN: "!", Status.GONE: "✗",
    Status.MISSING: "○", Status.REMOVED: "–",
}  # fmt: skip
_EDGES = {EdgeKind.INPUT: "input", EdgeKind.GATE: "gate", EdgeKind.ORDER: "order"}
_MARGIN, _HEAD, _NARROWEST = 44.0, 46.0, 1100.0
_NAME_COLUMNS, _UNDER_COLUMNS = 20, 26
_CROWD = 150  # resources; from there on lines are faint until one is looked at
_VALUE = 240  # characters of one output in the panel


def render(
    graph: Graph, *, title: str, environment: str, plan: str = "", hidden: Callable[[Any], Any] = lambda value: value
) -> str:
    """The page. `plan` is a plan's summary; `hidden` takes secrets out of what is shown."""
    names = {address: address.section for address in graph.nodes}
    layout = arrange(names, [(source, target) for source, target, _ in graph.arrows])
    told = hidden({safe(str(address)): _told(node) for address, node in graph.nodes.items()})
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    count = len(graph.nodes)
    head = f"{_text(title)} <small>{_text(environment)} · {count} resource{'' if count == 1 else 's'}</small>"
    body = [
        f'<header><h1>{head}</h1>{_chips(graph)}<span class="plan">{_text(plan)}</span>',
        '<div class="search" role="search">',
        '<output aria-live="polite"></output><label class="sr" for="find">Search resources</label>',
        '<input id="find" type="search" placeholder="Search  ( / )" autocomplete="off">',
        "</div></header>",
        f"<main>{_svg(graph, layout, title)}{_CONTROLS}</main>",
        '<aside hidden aria-live="polite" aria-label="The chosen resource"></aside>',
        f'<script type="application/json" id="told">{_json(told)}</script>',
        f"<script>{script}</script>",
    ]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}: graph</title>",
            f"<style>{(_HERE / 'page.css').read_text(encoding='utf-8')}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


_CONTROLS = (
    '<div class="zoom" role="group" aria-label="Zoom"><button data-zoom="in" aria-label="Closer">+</button>'
    '<button data-zoom="out" aria-label="Farther">−</button><button data-zoom="all" aria-label="Show all">⤢</button></div>'
    '<div class="key" aria-hidden="true"><span>inputs</span><span class="gates">gates</span><span class="orders">order</span></div>'
)


def _chips(graph: Graph) -> str:
    """One button for each status there is, with how many have it: the legend, and a filter."""
    items = []
    for status in Status:
        count = sum(1 for node in graph.nodes.values() if node.status is status)
        if count:
            items.append(
                f'<li><button class="chip {_tone(status)}" aria-pressed="false" data-status="{status}">'
                f'<i aria-hidden="true">{_ICONS[status]}</i>{count} {status}</button></li>'
            )
    return f'<ul class="statuses" aria-label="Statuses">{"".join(items)}</ul>'


def _svg(graph: Graph, layout: Layout, title: str) -> str:
    wide = max(layout.width + 2 * _MARGIN, _NARROWEST)  # a few boxes are not blown up to fill a screen
    box = ((layout.width - wide) / 2, -_HEAD - _MARGIN / 2, wide, layout.height + _HEAD + 2 * _MARGIN)
    lines = [
        f'<path class="edge {_EDGES[kind]}" data-from="{_text(source)}" data-to="{_text(target)}" '
        f'marker-end="url(#arrow)" d="{_curve(layout.lines[source, target])}"/>'
        for source, target, kind in graph.arrows
        if source != target
    ]
    heads = [f'<text class="stage" x="{x:g}" y="{-_HEAD / 2:g}">{_text(words)}</text>' for x, words in _stages(layout)]
    boxes = [_box(node, layout.boxes[address]) for address, node in graph.nodes.items()]
    crowded = " crowded" if len(graph.nodes) > _CROWD else ""
    label = f"Graph of {title}: arrows lead from a resource to what is made with it"
    return "".join(
        [
            f'<svg viewBox="{" ".join(f"{value:g}" for value in box)}" role="group" aria-label="{_text(label)}" data-wide="{WIDTH:g}" data-tall="{HEIGHT:g}" '
            'preserveAspectRatio="xMidYMid meet"><defs>',
            *(
                f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
                'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.6 7.6 4 0 7.4z"/></marker>'
                for name in ("arrow", "arrow-lit")
            ),
            f"</defs><g class='lines{crowded}' aria-hidden='true'>{''.join(heads)}{''.join(lines)}</g>{''.join(boxes)}</svg>",
        ]
    )


def _stages(layout: Layout) -> list[tuple[float, str]]:
    """The sections of each column, when it is not what stands over the column before."""
    found: list[tuple[float, str]] = []
    last = ""
    for x, layer in zip(layout.columns, layout.layers, strict=True):
        words = ", ".join(sorted({node.section for node in layer if isinstance(node, Address)})).replace("_", " ")
        if words != last:
            found.append((x, _cut(words, 30)))
        last = words
    return found


def _curve(points: Sequence[Point]) -> str:
    """A smooth line that leaves and enters level."""
    (x, y), *rest = points
    path = f"M{x:.1f} {y:.1f}"
    for a, b in rest:
        if abs(b - y) < 0.5:
            path += f"H{a:.1f}"
        else:
            bend = max(24.0, (a - x) / 2)
            path += f"C{x + bend:.1f} {y:.1f} {a - bend:.1f} {b:.1f} {a:.1f} {b:.1f}"
        x, y = a, b
    return path


def _box(node: Node, corner: Point) -> str:
    x, y = corner
    address, change = node.address, node.change
    under = str(node.status)
    if change is not None and change.effective:
        under = f"{human.action(change)}: {human.why(change)}"
    elif node.status is Status.READY and node.record is not None:
        under = _at(node.record)
    spoken = f"{address}, {node.status}" + (f", planned: {human.action(change)}" if change and change.effective else "")
    parts = [
        f'<g class="node {_tone(node.status)}" tabindex="0" role="button" data-address="{_text(address)}" '
        f'data-x="{x:g}" data-y="{y:g}" aria-label="{_text(spoken)}" transform="translate({x:.1f} {y:.1f})">',
        f"<title>{_text(spoken)}</title>",
        f'<rect class="box" width="{WIDTH:g}" height="{HEIGHT:g}" rx="10"/>',
        f'<path class="band" d="M5 1.2h-.2A4 4 0 0 0 1 5.4v{HEIGHT - 10.8:g}a4 4 0 0 0 3.8 4.2H5z"/>',
        f'<text class="icon" x="23" y="{HEIGHT / 2 + 5.5:g}">{_ICONS[node.status]}</text>',
        f'<text class="name" x="40" y="22">{_text(_cut(address.name, _NAME_COLUMNS))}</text>',
        f'<text class="under" x="40" y="39">{_text(_cut(under, _UNDER_COLUMNS))}</text>',
    ]
    if change is not None and change.effective:
        parts.append(
            f'<g class="do-{change.action.value}"><circle class="badge" cx="{WIDTH - 4:g}" cy="4" r="11"/>'
            f'<text class="act" x="{WIDTH - 4:g}" y="8">{_text(change.action.symbol)}</text></g>'
        )
    return "".join([*parts, "</g>"])


def _told(node: Node) -> dict[str, Any]:
    """What the panel tells of a resource, as lists of name and text, and the words that a search looks through."""
    lists = [("Plan", _planned(node)), ("Gate", _gate(node.record)), ("Outputs", _outputs(node.record)), ("Made", _made(node.record))]  # fmt: skip
    words = [str(node.address), node.status, *(value for _, pairs in lists[:3] for pair in pairs for value in pair)]
    return {
        "status": str(node.status),
        "tone": _tone(node.status),
        "lists": [[title, pairs] for title, pairs in lists if pairs],
        "text": safe(" ".join(words)).lower(),
    }


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
    return _cut(safe(text[: _VALUE + 1]), _VALUE)


def _tone(status: Status) -> str:
    return "gate-tone" if status is Status.GATE else status.css


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: columns - 1] + "…"


def _text(value: object) -> str:
    """Any text inside an element or an attribute."""
    return html.escape(safe(str(value)), quote=True)


def _json(value: Any) -> str:
    """JSON inside a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\u2028", "\\u2028")
