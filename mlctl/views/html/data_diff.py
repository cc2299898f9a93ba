"""What differs between two versions of a dataset as a page: schema, keys, and both distributions of each column that moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.views.html import plots
from mlctl.views.html.plots import text
from mlctl.views.html.profile import MOST_CARDS, page
from mlctl.views.human.data import moments, share


def render(found: Mapping[str, Any]) -> str:
    """The page."""
    a, b = found["a"], found["b"]
    moved = sorted((item for item in found["columns"] if item["changed"]), key=lambda item: -(item["psi"] or 0.0))
    cards = "".join(_card(item) for item in moved[:MOST_CARDS] if item["bins"] is not None)
    sides = "".join(
        f"<tr><th scope='row'><span class='key {css}'></span>{side}</th><td class='mono'>{text(item['key'])}</td>"
        f"<td>{text(item['at'])}</td><td class='n'>{item['rows']:,}</td></tr>"
        for side, css, item in (("A", "a", a), ("B", "b", b))
    )
    key = f"Shares over the bins of {str(found['bins_of']).upper()}, nulls last."
    return page(
        f"{a['key']} against {b['key']}",
        f"<h1>What differs</h1><table><thead><tr><th></th><th>Version</th><th>Made</th><th class='n'>Rows</th></tr></thead><tbody>{sides}</tbody></table>"
        f"{_schema(found)}{_keys(found)}<h2>Columns</h2>{_table(found, moved)}"
        + (f"<h2>Distributions</h2><p class='soft'>{key}</p><div class='cards'>{cards}</div>" if cards else ""),
    )


def _schema(found: Mapping[str, Any]) -> str:
    lines = [f"added <code>{text(item['name'])}</code> {text(item['type'])}" for item in found["added"]]
    lines += [f"removed <code>{text(item['name'])}</code> {text(item['type'])}" for item in found["removed"]]
    lines += [
        f"<code>{text(item['name'])}</code> was {text(item['a'])} and is {text(item['b'])}" for item in found["retyped"]
    ]
    return "<h2>Schema</h2>" + (_list(lines) if lines else "<p>The same columns and types.</p>")


def _keys(found: Mapping[str, Any]) -> str:
    lines = [text(note) for note in found["notes"]]
    keys = found["keys"]
    if keys is not None:
        counted = ", ".join(f"{keys[name]:,} {name}" for name in ("added", "removed", "changed", "same"))
        lines.append(f"{counted}, by {text(', '.join(keys['key']))}")
    return "<h2>Keys</h2>" + _list(lines) if lines else ""


def _list(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def _table(found: Mapping[str, Any], moved: list[Mapping[str, Any]]) -> str:
    if not moved:
        return "<p>All columns have the same figures.</p>"
    heads = "".join(f"<th class='n'>{name}</th>" for name in ("Nulls A", "Nulls B", "Mean A", "Mean B", "PSI", "JS"))
    rows = ""
    for item in moved:
        a, b = item["a"], item["b"]
        cells = [share(a["nulls"], found["a"]["rows"]) or "0", share(b["nulls"], found["b"]["rows"]) or "0"]
        cells += moments([a["mean"], b["mean"]])
        cells += ["" if item[name] is None else f"{item[name]:.3f}" for name in ("psi", "jensen_shannon")]
        rows += f"<tr><td class='name'>{text(item['name'])}</td>{''.join(f'<td class=n>{text(cell)}</td>' for cell in cells)}</tr>\n"
    still = len(found["columns"]) - len(moved)
    rest = f"<p class='soft'>{still:,} more columns have the same figures.</p>" if still else ""
    return f"<div class='wide'><table><thead><tr><th>Column</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{rest}"


def _card(item: Mapping[str, Any]) -> str:
    times = isinstance(item["a"]["min"], str)
    psi = "" if item["psi"] is None else f"PSI {item['psi']:.3f}, Jensen-Shannon distance {item['jensen_shannon']:.3f}"
    plot = plots.pair(item["name"], item["bins"]["a"], item["bins"]["b"], times=times)
    return f"<section class='card'><h3>{text(item['name'])}</h3><p class='soft'>{psi}</p>{plot}</section>\n"
