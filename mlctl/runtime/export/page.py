"""The report of an export as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from mlctl.types.spoken import spoken_bytes

_STYLE = (
    "body{font:15px system-ui;margin:2em;max-width:60em}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child,.text td{text-align:left}.failed{color:#b00020}.passed{color:#00701a}"
)


def page(title: str, found: Mapping[str, Any]) -> str:
    """The verdict, sizes and latencies side by side, how far the scores are apart, and answers that differ."""
    gate = found["gate"]
    verdict = "passed" if gate["passed"] else "failed"
    reasons = "".join(f"<li>{escape(item)}</li>" for item in gate["details"])
    model = found["model"]
    about = f"{escape(model['name'])} version {escape(model['version'])} as {escape(found['format'])}, {found['rows']:,} rows of {escape(found['dataset'])}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style></head><body>'
        f'<h1>{escape(title)}</h1><p class="{verdict}"><b>{verdict}</b>: {escape(gate["summary"])}</p><ul>{reasons}</ul><p>{about}</p>'
        f"{_sides(found)}{_parity(found['parity'])}{_samples(found.get('samples', ()))}</body></html>\n"
    )


def _sides(found: Mapping[str, Any]) -> str:
    rows = [("size", spoken_bytes(found["source_bytes"]), spoken_bytes(found["bytes"]))]
    latency, metrics = found["latency"], found["metrics"]
    for name in latency.get("source", {}):
        rows.append((name, f"{latency['source'][name]:g}", f"{latency['export'][name]:g}"))
    for name in metrics.get("source", {}):
        rows.append((name, f"{metrics['source'][name]:.6f}", f"{metrics['export'][name]:.6f}"))
    body = "".join(f"<tr><td>{escape(name)}</td><td>{one}</td><td>{other}</td></tr>" for name, one, other in rows)
    return f"<table><tr><th></th><th>source</th><th>export</th></tr>{body}</table>"


def _parity(parity: Mapping[str, float]) -> str:
    body = "".join(f"<tr><td>{escape(name)}</td><td>{value:.6g}</td></tr>" for name, value in parity.items())
    return f"<h2>How far they are apart</h2><table>{body}</table>"


def _samples(samples: Any) -> str:
    if not samples:
        return ""
    body = "".join(
        f"<tr><td>{'=' if item['same'] else '≠'}</td>"
        + "".join(f"<td>{escape(item[name])}</td>" for name in ("prompt", "source", "export"))
        + "</tr>"
        for item in samples
    )
    return f'<h2>Answers</h2><table class="text"><tr><th></th><th>prompt</th><th>source</th><th>export</th></tr>{body}</table>'
