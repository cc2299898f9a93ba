"""The report of an evaluation as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_SIDE = 260
_STYLE = (
    "body{font:15px system-ui;margin:2em;max-width:60em}figure{display:inline-block;margin:1em 2em 0 0}"
    "td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
    ".failed{color:#b00020}.passed{color:#00701a}"
)


def page(title: str, results: Mapping[str, Any]) -> str:
    """A page of the verdict, the metrics beside the champion's, and the curves, if there are any."""
    gate = results["gate"]
    verdict = "passed" if gate["passed"] else "failed"
    reasons = "".join(f"<li>{escape(item)}</li>" for item in gate["details"])
    curves = results.get("curves") or {}
    plots = "".join(
        _plot(label, [(name, points, colour) for name, points, colour in lines])
        for label, lines in (
            ("ROC: true over false positive rate", _lines(curves, "roc")),
            ("Calibration: share of positives over mean score", _lines(curves, "calibration")),
        )
        if lines
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style></head><body>'
        f'<h1>{escape(title)}</h1><p class="{verdict}"><b>{verdict}</b>: {escape(gate["summary"])}</p><ul>{reasons}</ul>'
        f"<p>{results['rows']:,} rows of {escape(results['dataset'])}</p>{_table(results)}{plots}</body></html>\n"
    )


def _table(results: Mapping[str, Any]) -> str:
    others = [
        (name, results.get(field)) for name, field in (("champion", "champion_metrics"), ("base", "base_metrics"))
    ]
    beside = [(name, found or {}) for name, found in others if found is not None or name == "champion"]
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{value:.4f}</td>"
        + "".join(f"<td>{f'{found[name]:.4f}' if name in found else ''}</td>" for _, found in beside)
        + "</tr>"
        for name, value in results["metrics"].items()
    )
    heads = "".join(f"<th>{name}</th>" for name, _ in beside)
    return f"<table><tr><th>metric</th><th>candidate</th>{heads}</tr>{rows}</table>"


def _lines(curves: Mapping[str, Any], kind: str) -> list[tuple[str, Sequence[Sequence[float]], str]]:
    named = (("candidate", "#1565c0"), ("champion", "#9e9e9e"))
    return [(name, curves[name][kind], colour) for name, colour in named if name in curves]


def _plot(label: str, lines: Sequence[tuple[str, Sequence[Sequence[float]], str]]) -> str:
    drawn = f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0" stroke="#ddd"/>'
    for index, (name, points, colour) in enumerate(lines):
        path = " ".join(f"{point[0] * _SIDE:.1f},{(1 - point[1]) * _SIDE:.1f}" for point in points)
        drawn += f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        drawn += f'<text x="{_SIDE - 8}" y="{_SIDE - 10 - 16 * index}" text-anchor="end" fill="{colour}" font-size="12">{escape(name)}</text>'
    frame = f'<rect width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#999"/>'
    return f'<figure><svg width="{_SIDE}" height="{_SIDE}">{drawn}{frame}</svg><figcaption>{escape(label)}</figcaption></figure>'
