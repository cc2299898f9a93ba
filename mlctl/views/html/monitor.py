"""The runs of a monitor over time, as a page: how each verdict came about, and one plot for each thing that is watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.providers.evidently.trend import Point, Series
from mlctl.types.units import counted
from mlctl.views.html.plots import text
from mlctl.views.html.profile import page
from mlctl.views.human.style import figure

_WIDTH, _HEIGHT, _LEFT, _FOOT, _TOP = 640, 170, 70, 26, 14
MOST_PLOTS = 60
_MARKS = {"alarm": "#c0392b", "ok": "currentColor", "no_data": "none"}


def render(monitor: str, runs: Sequence[Mapping[str, Any]], found: Sequence[Series]) -> str:
    """The page. `runs` are the outputs of all runs, oldest first."""
    rows = "".join(
        f"<tr><th scope='row'>{text(str(item['run']))}</th><td>{text(str(item['verdict']).replace('_', ' '))}</td>"
        f"<td>{text(str(item['summary']))}</td></tr>"
        for item in reversed(runs)
    )
    shown = [item for item in found if sum(point.value is not None for point in item.points)]
    plots = "".join(_plot(item) for item in shown[:MOST_PLOTS])
    more = f"<p>… and {len(shown) - MOST_PLOTS:,} more, which are in `--json`</p>" if len(shown) > MOST_PLOTS else ""
    counts = {name: sum(item["verdict"] == name for item in runs) for name in _MARKS}
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    return page(
        f"{monitor} over time",
        f"<h1>{text(monitor)} over time</h1><p class='soft'>{counted(len(runs), 'run')}: {told}. Red is an alarm; the dashed line is the "
        f"margin that an effect has to reach.</p>{plots}{more}"
        f"<h2>Runs</h2><div class='wide'><table><thead><tr><th>Run</th><th>Verdict</th><th>Summary</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>",
    )


def _plot(series: Series) -> str:
    """Values over the runs, with the margin where there is one."""
    points = series.points
    known = [value for point in points for value in (point.value, point.margin) if value is not None]
    low, high = min(0.0, *known), max(known)
    high = high if high > low else low + 1.0
    places = [_place(index, len(points), point.value, low, high) for index, point in enumerate(points)]
    drawn = _line([place for place in places if place is not None], "")
    edges = [_place(index, len(points), point.margin, low, high) for index, point in enumerate(points)]
    margin = [place for place in edges if place is not None]
    if len(margin) == 1:  # of a single run: across the whole plot
        margin = [(_LEFT, margin[0][1]), (_WIDTH, margin[0][1])]
    drawn += _line(margin, " stroke-dasharray='4 4' opacity='.5'")
    for place, point in zip(places, points, strict=True):
        if place is not None:
            drawn += (
                f"<circle cx='{place[0]:.1f}' cy='{place[1]:.1f}' r='3.5' fill='{_MARKS.get(point.verdict, 'currentColor')}' "
                f"stroke='currentColor' stroke-width='.6'><title>{text(_told(point))}</title></circle>"
            )
    title = " · ".join(item for item in (series.part, series.name, series.measure) if item)
    ground = _HEIGHT - _FOOT
    frame = (
        f"<path d='M{_LEFT} {_TOP}V{ground}H{_WIDTH}' fill='none' stroke='currentColor' opacity='.4'/>"
        f"<text x='{_LEFT - 6}' y='{_TOP + 8}' text-anchor='end' fill='currentColor'>{text(figure(float(f'{high:.4g}')))}</text>"
        f"<text x='{_LEFT - 6}' y='{ground}' text-anchor='end' fill='currentColor'>{text(figure(float(f'{low:.4g}')))}</text>"
        f"<text x='{_LEFT}' y='{_HEIGHT - 6}' fill='currentColor'>{text(points[0].at[:16])}</text>"
        f"<text x='{_WIDTH}' y='{_HEIGHT - 6}' text-anchor='end' fill='currentColor'>{text(points[-1].at[:16])}</text>"
    )
    return (
        f"<figure><svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img'><title>{text(title)}</title>{frame}{drawn}</svg>"
        f"<figcaption>{text(title)}: {counted(series.alarms, 'alarm')} in {counted(len(points), 'run')}</figcaption></figure>"
    )


def _place(index: int, count: int, value: float | None, low: float, high: float) -> tuple[float, float] | None:
    if value is None:
        return None
    across = _LEFT + 8 + (_WIDTH - _LEFT - 16) * (index / (count - 1) if count > 1 else 0.5)
    ground = _HEIGHT - _FOOT
    return across, ground - (ground - _TOP) * (value - low) / (high - low)


def _line(places: Sequence[tuple[float, float]], style: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f"<polyline fill='none' stroke='currentColor'{style} points='{path}'/>" if len(places) > 1 else ""


def _told(point: Point) -> str:
    p = "" if point.p_adjusted is None else f", adjusted p {point.p_adjusted:.2g}"
    margin = "" if point.margin is None else f" (margin {point.margin:g})"
    value = "nothing" if point.value is None else f"{point.value:.4g}"
    return f"{point.at}: {point.verdict.replace('_', ' ')}, {value}{margin}{p}"
