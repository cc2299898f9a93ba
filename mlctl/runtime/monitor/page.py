"""The report of a run as one HTML file: the verdict and the alarms on top, what each part draws below. It loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from mlctl.files import atomic

_STYLE = (
    "<style>.mlctl{font:14px/1.5 system-ui,sans-serif;margin:24px auto;max-width:1100px;padding:0 16px}.mlctl table{border-collapse:collapse;width:100%}"
    ".mlctl td,.mlctl th{border-bottom:1px solid #ddd;padding:4px 10px;text-align:left;font-variant-numeric:tabular-nums}.mlctl .alarm{color:#b00020;font-weight:600}</style>"
)
_HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'


def write_page(path: Path, monitor: str, outputs: Mapping[str, Any], drawn: Mapping[str, str]) -> None:
    """Write the page; `drawn` is the HTML of each part that has some, a fragment or a whole page."""
    heads, bodies = [], []
    for name, html in drawn.items():
        head, body = _apart(html)
        heads.append(head)
        summary = escape(outputs["parts"][name]["summary"])
        bodies.append(
            f'<section class="mlctl" id="{escape(name)}"><h2>{escape(name)}</h2><p>{summary}</p>{body}</section>'
        )
    title = f"{escape(monitor)}: {escape(outputs['verdict'].replace('_', ' '))}"
    top = (
        f'<section class="mlctl" id="mlctl"><h1>{title}</h1><p>{escape(outputs["summary"])}</p>'
        f"<p>Until {escape(outputs['until'])}.</p>{_alarms(outputs)}</section>"
    )
    page = [_HEAD.format(title=title), _STYLE, *heads, "</head><body>", top, *bodies, "</body></html>"]
    atomic.write_bytes(path, "".join(page).encode())


def _alarms(outputs: Mapping[str, Any]) -> str:
    if not outputs["alarms"]:
        return ""
    rows = "".join(f'<li class="alarm">{escape(alarm["says"])}</li>' for alarm in outputs["alarms"])
    return f"<ul>{rows}</ul>"


def _apart(html: str) -> tuple[str, str]:
    """What is in the head and what is in the body of a page; a fragment is all body."""
    before, found, rest = html.partition("<body>")
    if not found:
        return "", html
    head = before.partition("<head>")[2].rpartition("</head>")[0]
    return head, rest.rpartition("</body>")[0]
