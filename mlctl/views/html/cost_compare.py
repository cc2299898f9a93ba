"""What workloads would take elsewhere, as a page: time against money for each, and the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlctl.estimate.comparing import Comparison, Row, figures
from mlctl.types.spoken import spoken_dollars, spoken_seconds
from mlctl.views.html.cost_plots import Axis, Dot, Line, around, chart, colour
from mlctl.views.html.plots import text
from mlctl.views.html.profile import page
from mlctl.views.human import cost_compare as words
from mlctl.views.human.cost_words import devices

_NAMED = 12  # points with a name beside them
_ROUND = (1, 2, 5, 10, 20, 30)  # of seconds and minutes
_TIMES = (
    *(float(number) for number in _ROUND),
    *(60.0 * number for number in _ROUND),
    *(3600.0 * number for number in (1, 2, 3, 4, 6, 8, 12)),
    *(86400.0 * number for number in (1, 2, 3, 5, 7, 14, 30, 60, 120, 365)),
)


def render(project: str, found: Sequence[Comparison]) -> str:
    """The page."""
    body = "".join(part for item in found for part in _one(item))
    return page(
        f"{project}: what it would take elsewhere", f"<h1>{text(project)}: what it would take elsewhere</h1>{body}"
    )


def _one(found: Comparison) -> Iterator[str]:
    yield f"<h2>{text(found.workload.address)}</h2><p class='soft'>{text(words.now(found))}</p>"
    if not found.rows:
        yield "<p>Nothing of what has a price will do.</p>"
    else:
        yield _plot(found)
        yield _table(found)
    if found.others:
        reasons = "".join(f"<li>{text(line)}</li>" for line in words.reasons(found))
        yield f"<details><summary>{len(found.others)} that will not do</summary><ul>{reasons}</ul></details>"


def _plot(found: Comparison) -> str:
    """Each option as a point; what nothing beats is joined by a line."""
    tiers = list(dict.fromkeys(row.option.tier for row in found.rows))
    points = [(row, place) for row in found.rows if (place := _figures(row, found)) is not None]
    if len(points) < 2:
        return ""
    x = Axis(_x_label(found), *around([place[0] for _, place in points]), spoken_seconds, log=True, marks=_TIMES)
    y = Axis(_y_label(found), *around([place[1] for _, place in points]), spoken_dollars, log=True)
    named = [row for row, _ in points if row.best or row.here][:_NAMED]
    dots = [
        Dot(
            *place,
            _title(row, found),
            tiers.index(row.option.tier),
            devices(row.option.device) if row in named else "",
            row.best,
        )
        for row, place in points
    ]
    front = sorted(place for row, place in points if row.best)
    key = "".join(
        f"<span class='key' style='background:{colour(number)}'></span>{text(tier)}"
        for number, tier in enumerate(tiers)
    )
    title = f"{found.workload.address}: {_x_label(found)} against {_y_label(found)}"
    line = [Line("", front, 4, dashed=True)] if len(front) > 1 else []
    return chart(title, x, y, line, dots) + f"<p class='soft'>{key}; filled: {text(words.best(found))}</p>"


def _figures(row: Row, found: Comparison) -> tuple[float, float] | None:
    """Time and money of a point, by which it is beaten or not; None where one of both is not known."""
    money, time = figures(row.judged, by_hour=found.by_hour)
    return None if not time or not money else (time, money)


def _x_label(found: Comparison) -> str:
    return "a million tokens in" if found.workload.lasting else "done in"


def _y_label(found: Comparison) -> str:
    return "$ an hour" if found.workload.lasting else "$ in all"


def _title(row: Row, found: Comparison) -> str:
    """All of a line of the table, in one sentence."""
    _, *cells = words.cells(row, found)
    return ", ".join(cell for cell in cells if cell)


def _table(found: Comparison) -> str:
    heads = words.HEADS_HOURLY if found.workload.lasting else words.HEADS
    head = "".join(f"<th>{text(name)}</th>" for name in heads)
    rows = "".join(
        "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in words.cells(row, found)) + "</tr>" for row in found.rows
    )
    caption = f"<caption>The cheapest first; {words.BEST}: {text(words.best(found))}</caption>"
    return f"<div class='wide'><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
