"""A drawing of boxes and arrows as a page: one file that asks nothing of a network, with a search, a filter and a panel."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mlctl.views.html.layout import HEIGHT, WIDTH, Layout, Point, arrange
from mlctl.views.human.text import safe

_HERE = Path(__file__).parent
_MARGIN, _HEAD, _NARROWEST = 44.0, 46.0, 1100.0
_NAME_COLUMNS, _UNDER_COLUMNS = 18, 26
_CROWD = 150  # boxes; from there on lines are faint until one is looked at


class Named(Hashable, Protocol):
    """What a box stands for: its text is what it is found by, and its section is the stage it belongs to."""

    @property
    def section(self) -> str:
        """The stage."""
        ...


@dataclass(frozen=True, slots=True)
class Badge:
    """A mark on the corner of a box: a class and a sign."""

    css: str
    sign: str


@dataclass(frozen=True, slots=True)
class Box:
    """One box: two lines of text, an icon in the tone of its group, what is read out, and the lists that the panel shows."""

    name: str
    under: str
    spoken: str
    group: str
    tone: str
    icon: str
    lists: Sequence[tuple[str, Sequence[tuple[str, str]]]] = ()
    words: str = ""  # what a search looks through
    badge: Badge | None = None


@dataclass(frozen=True)
class Drawing:
    """Boxes, arrows with their class, and the words around them. `groups` are the buttons of the filter, in order."""

    boxes: Mapping[Any, Box]
    arrows: Sequence[tuple[Any, Any, str]]
    title: str
    head: str  # what stands beside the title
    label: str  # what the drawing is, for who cannot see it
    groups: Sequence[tuple[str, str, str]]  # name, tone, icon
    note: str = ""
    legend: Mapping[str, str] = field(default_factory=dict)  # class of an arrow to what it means


def page(drawing: Drawing, hidden: Callable[[Any], Any] = lambda value: value) -> str:
    """The page. `hidden` takes secrets out of what the panel shows."""
    layout = arrange(
        {key: key.section for key in drawing.boxes}, [(source, target) for source, target, _ in drawing.arrows]
    )
    told = hidden({safe(str(key)): _told(box) for key, box in drawing.boxes.items()})
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = [
        f"<header><h1>{text(drawing.title)} <small>{text(drawing.head)}</small></h1>{_chips(drawing)}"
        f'<span class="plan">{text(drawing.note)}</span>',
        '<div class="search" role="search">',
        '<output aria-live="polite"></output><label class="sr" for="find">Search</label>',
        '<input id="find" type="search" placeholder="Search  ( / )" autocomplete="off">',
        "</div></header>",
        f"<main>{_svg(drawing, layout)}{_controls(drawing)}</main>",
        '<aside hidden aria-live="polite" aria-label="What was chosen"></aside>',
        f'<script type="application/json" id="told">{_json(told)}</script>',
        f"<script>{script}</script>",
    ]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(drawing.title)}: graph</title>",
            f"<style>{(_HERE / 'page.css').read_text(encoding='utf-8')}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def _controls(drawing: Drawing) -> str:
    key = "".join(
        f'<span class="{css}s">{text(words)}</span>' if css else f"<span>{text(words)}</span>"
        for css, words in drawing.legend.items()
    )
    return (
        '<div class="zoom" role="group" aria-label="Zoom"><button data-zoom="in" aria-label="Closer">+</button>'
        '<button data-zoom="out" aria-label="Farther">−</button><button data-zoom="all" aria-label="Show all">⤢</button></div>'
        f'<div class="key" aria-hidden="true">{key}</div>'
    )


def _chips(drawing: Drawing) -> str:
    """One button for each group there is, with how many are in it: the legend, and a filter."""
    items = []
    for group, tone, icon in drawing.groups:
        count = sum(1 for box in drawing.boxes.values() if box.group == group)
        if count:
            items.append(
                f'<li><button class="chip {tone}" aria-pressed="false" data-status="{text(group)}">'
                f'<i aria-hidden="true">{icon}</i>{count} {text(group)}</button></li>'
            )
    return f'<ul class="statuses" aria-label="Filter">{"".join(items)}</ul>'


def _svg(drawing: Drawing, layout: Layout) -> str:
    wide = max(layout.width + 2 * _MARGIN, _NARROWEST)  # a few boxes are not blown up to fill a screen
    box = ((layout.width - wide) / 2, -_HEAD - _MARGIN / 2, wide, layout.height + _HEAD + 2 * _MARGIN)
    lines = [
        f'<path class="edge {css}" data-from="{text(source)}" data-to="{text(target)}" '
        f'marker-end="url(#arrow)" d="{_curve(layout.lines[source, target])}"/>'
        for source, target, css in drawing.arrows
        if source != target
    ]
    heads = [
        f'<text class="stage" x="{x:g}" y="{-_HEAD / 2:g}">{text(words)}</text>'
        for x, words in _stages(layout, drawing.boxes)
    ]
    boxes = [_box(key, item, layout.boxes[key]) for key, item in drawing.boxes.items()]
    crowded = " crowded" if len(drawing.boxes) > _CROWD else ""
    return "".join(
        [
            f'<svg viewBox="{" ".join(f"{value:g}" for value in box)}" role="group" aria-label="{text(drawing.label)}" data-wide="{WIDTH:g}" data-tall="{HEIGHT:g}" '
            'preserveAspectRatio="xMidYMid meet"><defs>',
            *(
                f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
                'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.6 7.6 4 0 7.4z"/></marker>'
                for name in ("arrow", "arrow-lit")
            ),
            f"</defs><g class='lines{crowded}' aria-hidden='true'>{''.join(heads)}{''.join(lines)}</g>{''.join(boxes)}</svg>",
        ]
    )


def _stages(layout: Layout, boxes: Mapping[Any, Box]) -> list[tuple[float, str]]:
    """The sections of each column, when it is not what stands over the column before."""
    found: list[tuple[float, str]] = []
    last = ""
    for x, layer in zip(layout.columns, layout.layers, strict=True):
        words = ", ".join(sorted({key.section for key in boxes if key in layer})).replace("_", " ")
        if words != last:
            found.append((x, cut(words, 30)))
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


def _box(key: Named, box: Box, corner: Point) -> str:
    x, y = corner
    parts = [
        f'<g class="node {box.tone}" tabindex="0" role="button" data-address="{text(key)}" '
        f'data-x="{x:g}" data-y="{y:g}" aria-label="{text(box.spoken)}" transform="translate({x:.1f} {y:.1f})">',
        f"<title>{text(box.spoken)}</title>",
        f'<rect class="box" width="{WIDTH:g}" height="{HEIGHT:g}" rx="10"/>',
        f'<path class="band" d="M5 1.2h-.2A4 4 0 0 0 1 5.4v{HEIGHT - 10.8:g}a4 4 0 0 0 3.8 4.2H5z"/>',
        f'<text class="icon" x="23" y="{HEIGHT / 2 + 5.5:g}">{box.icon}</text>',
        f'<text class="name" x="40" y="22">{text(cut(box.name, _NAME_COLUMNS))}</text>',
        f'<text class="under" x="40" y="39">{text(cut(box.under, _UNDER_COLUMNS))}</text>',
    ]
    if box.badge is not None:
        parts.append(
            f'<g class="{box.badge.css}"><circle class="badge" cx="{WIDTH - 4:g}" cy="4" r="11"/>'
            f'<text class="act" x="{WIDTH - 4:g}" y="8">{text(box.badge.sign)}</text></g>'
        )
    return "".join([*parts, "</g>"])


def _told(box: Box) -> dict[str, Any]:
    """What the panel tells of a box, and the words that a search looks through."""
    return {
        "status": box.group,
        "tone": box.tone,
        "lists": [[title, pairs] for title, pairs in box.lists if pairs],
        "text": safe(box.words).lower(),
    }


def cut(words: str, columns: int) -> str:
    """A text of at most so many characters."""
    return words if len(words) <= columns else words[: columns - 1] + "…"


def text(value: object) -> str:
    """Any text inside an element or an attribute."""
    return html.escape(safe(str(value)), quote=True)


def _json(value: Any) -> str:
    """JSON inside a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\u2028", "\\u2028")
