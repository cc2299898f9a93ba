"""The profile of a dataset as a page: an overview, what is worth a look, and a plot of each column. One file, without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.providers.local.profile import Remark
from mlctl.types.units import counted
from mlctl.views.html import plots
from mlctl.views.html.plots import text
from mlctl.views.human.data import distinct, moments, share, short_type
from mlctl.views.human.style import figure

MOST_CARDS = 300  # of columns; more of them make a page that no browser likes
_CSS = Path(__file__).with_name("data.css")


def render(shown: Mapping[str, Any], found: Sequence[Remark], *, title: str, version: str = "", at: str = "") -> str:
    """The page."""
    columns, rows = shown["columns"], shown["rows"]
    sampled = max((item["quantile_rows"] or 0 for item in columns), default=0)
    drawn = (
        f" Quantiles and histograms are of {sampled:,} rows, chosen by a fixed rule; all else is of every row."
        if 0 < sampled < rows
        else ""
    )
    made = f"{'Version <code>' + text(version) + '</code>' if version else ''}{', made ' + text(at) if at else ''}"
    by_column: dict[str, list[str]] = {}
    for item in found:
        by_column.setdefault(item.column, []).append(item.text)
    cards = "".join(
        _card(index, item, rows, by_column.get(item["name"], ())) for index, item in enumerate(columns[:MOST_CARDS])
    )
    rest = len(columns) - MOST_CARDS
    more = (
        f'<p class="soft">Plots of the first {MOST_CARDS} columns; the table above has all {len(columns):,}.</p>'
        if rest > 0
        else ""
    )
    return page(
        f"Profile of {title}",
        f"<h1>{text(title)}</h1><p class='soft'>{counted(rows, 'row')}, {counted(len(columns), 'column')}. {made}{'.' if made else ''}{drawn}</p>"
        f"{_remarks(found)}<h2>Overview</h2>{_overview(columns, rows)}<h2>Columns</h2>{more}<div class='cards'>{cards}</div>",
    )


def page(title: str, body: str) -> str:
    """A whole page of this look."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>\n{_CSS.read_text()}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def _remarks(found: Sequence[Remark]) -> str:
    if not found:
        return ""
    items = "".join(f"<li><b>{text(item.column)}</b>: {text(item.text)}</li>" for item in found[:MOST_CARDS])
    more = f"<li>... and {len(found) - MOST_CARDS:,} more</li>" if len(found) > MOST_CARDS else ""
    return f"<h2>Worth a look</h2><ul class='remarks'>{items}{more}</ul>"


def _overview(columns: Sequence[Mapping[str, Any]], rows: int) -> str:
    figures = "".join(f"<th class='n'>{head}</th>" for head in ("Nulls", "Distinct", "Min", "Median", "Max"))
    heads = f"<th>Column</th><th>Type</th>{figures}<th>Distribution</th>"
    body = "".join(_line(index, item, rows) for index, item in enumerate(columns))
    return f"<div class='wide'><table><caption>Distinct values are counted to 1-2 %.</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _line(index: int, column: Mapping[str, Any], rows: int) -> str:
    name = text(column["name"])
    linked = f"<a href='#c{index}'>{name}</a>" if index < MOST_CARDS else name
    ends = moments([column["min"], (column["quantiles"] or {}).get("0.5"), column["max"]])
    figures = "".join(f"<td class='n'>{text(item)}</td>" for item in ends)
    shown = column["histogram"]
    plot = plots.mini(column["name"], shown["counts"]) if shown is not None and index < MOST_CARDS else ""
    return (
        f"<tr><td class='name'>{linked}</td><td class='mono'>{text(short_type(column['type']))}</td>"
        f"<td class='n'>{share(column['nulls'], rows) or '0'}</td><td class='n'>{distinct(column['approx_distinct'])}</td>{figures}<td>{plot}</td></tr>\n"
    )


def _card(index: int, column: Mapping[str, Any], rows: int, told: Sequence[str]) -> str:
    warned = "".join(f"<p class='warn'>! {text(item)}</p>" for item in told)
    return (
        f"<section class='card' id='c{index}'><h3>{text(column['name'])}</h3><p class='soft mono'>{text(column['type'][:200])}</p>"
        f"{_plot(column, rows)}{_figures(column, rows)}{warned}</section>\n"
    )


def _plot(column: Mapping[str, Any], rows: int) -> str:
    name, bins, values = column["name"], column["bins"], rows - column["nulls"]
    if column["histogram"] is not None:
        return plots.histogram(name, column["histogram"], times=isinstance(column["min"], str))
    if bins is not None and bins["kind"] == "categorical":
        return plots.categories(name, bins, values)
    return plots.ranked(name, column["top"], values)


def _figures(column: Mapping[str, Any], rows: int) -> str:
    levels = column["quantiles"] or {}
    pairs = [("nulls", f"{column['nulls']:,} ({share(column['nulls'], rows)})" if column["nulls"] else "0")]
    pairs.append(("distinct", f"{distinct(column['approx_distinct'])}"))
    names = ["min", "max", "mean", *levels]
    found = moments([column["min"], column["max"], column["mean"], *levels.values()])
    pairs += [(_level(name), item) for name, item in zip(names, found, strict=True) if item]
    if column["std"] is not None:
        std = column["std"]
        pairs.append(("std", f"{std / 86_400:.4g} days" if isinstance(column["min"], str) else figure(std)))
    if column.get("infinite"):
        pairs.append(("infinite", f"{column['infinite']:,}"))
    return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{text(item)}</dd>" for name, item in pairs) + "</dl>"


def _level(name: str) -> str:
    """The name of a quantile: `0.25` is 25 %."""
    return f"{float(name):.0%}".replace("%", " %") if name[0] == "0" else name
