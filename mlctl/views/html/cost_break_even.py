"""Rent, reserve or buy as a page: what was paid until each month, and what an hour of work costs at each use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlctl.types.spoken import spoken_dollars
from mlctl.views.html.cost_plots import Axis, Line, chart
from mlctl.views.html.plots import text
from mlctl.views.html.profile import page
from mlctl.views.human import cost_break_even as words
from mlctl.views.human.cost_words import share

_LEAST_USE = 0.1
_STEPS = 90
_MARKS = 10  # of an axis at most


def render(found: Mapping[str, Any]) -> str:
    """The page."""
    return page(words.heading(found), "".join(_parts(found)))


def _parts(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h1>{text(words.heading(found))}</h1><p>{text(words.verdict(found))}</p><p>Decides: {text(words.decides(found))}</p>"
    yield f"<h2>Paid until a month</h2>{_months(found)}<h2>An hour of work</h2>{_uses(found)}"
    yield f"<h2>What an hour is made of</h2>{_table(('', '$/hour', 'share', 'of'), list(words.terms(found)))}"
    yield f"<h2>Rents</h2>{_table(words.rent_heads(found), [words.rent_row(item) for item in found['rents']])}"
    yield "".join(f"<p class='soft'>{text(line)}</p>" for line in words.remarks(found))
    yield f"<h2>What hangs on each assumption</h2>{_table(('a tenth more of', 'buying costs less from', ''), list(words.moves(found)))}"


def _months(found: Mapping[str, Any]) -> str:
    points = found["months"]
    lines = [Line("own", [(point["month"], point["own"]) for point in points], 0)]
    for number, item in enumerate(found["rents"], 1):
        monthly = item["monthly"]
        lines.append(Line(words.TIER_WORDS[item["tier"]], [(point["month"], point["month"] * monthly) for point in points], number))  # fmt: skip
    most = max(value for line in lines for _, value in line.points)
    last = points[-1]["month"]
    step = next((size for size in (1, 3, 6, 12, 24, 60) if last <= size * _MARKS), last)
    x = Axis("months", 0.0, float(last), lambda value: f"{value:g}", marks=range(0, last + 1, step))
    return chart(f"Dollars paid in all, at work {share(found['utilisation'])} of the time", x, Axis("$", 0.0, most * 1.05, spoken_dollars), lines)  # fmt: skip


def _uses(found: Mapping[str, Any]) -> str:
    whole = sum(found["terms"].values())
    uses = [_LEAST_USE + (1 - _LEAST_USE) * step / _STEPS for step in range(_STEPS + 1)]
    most = 2.5 * max(whole, *(item["usd"] for item in found["rents"]))
    lines = [Line("own", [(use, whole / use) for use in uses], 0)]
    for number, item in enumerate(found["rents"], 1):
        level = [(use, item["usd"] / use if item["all_hours"] else item["usd"]) for use in uses]
        lines.append(Line(words.TIER_WORDS[item["tier"]], level, number, dashed=not item["all_hours"]))
    x = Axis("of all hours at work", _LEAST_USE, 1.0, share)
    return chart("Dollars for an hour of work, by use", x, Axis("$ an hour", 0.0, most, spoken_dollars), lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{text(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
