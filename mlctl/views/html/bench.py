"""What a load test found, as a page: the table, latency against throughput, and the distribution at each load."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from mlctl.types.jobs.bench import BenchReport, Point
from mlctl.types.spoken import spoken_latency
from mlctl.views.html.plots import text
from mlctl.views.html.profile import page
from mlctl.views.human.bench import Verdict, cautions, measured, quantile

_WIDTH, _HEIGHT, _LEFT, _FOOT = 640, 260, 60, 34
_LINES = (("p50", "P50"), ("p95", "P95"), ("p99", "P99"))
_LEAST, _PER_DECADE = 1e-4, 10


def render(address: str, report: BenchReport, verdicts: Sequence[Verdict]) -> str:
    """The page."""
    heads = "".join(f"<th class='n'>{head}</th>" for head in ("Requests", "Errors", "QPS", "P50", "P95", "P99", "Max"))
    rows = "".join(_row(point) for point in report.points)
    required = "".join(
        f"<li>{'✓' if met else '✗'} {text(item.text)}: {text(measured(item, value))} at {text(str(load))}</li>"
        for item, load, value, met in verdicts
    )
    plots = "".join(_distribution(point) for point in report.points if point.latency)
    return page(
        f"{address} under load",
        f"<h1>{text(address)} under load</h1><p class='soft'>{text(report.url)}</p>"
        f"<div class='wide'><table><thead><tr><th>Load</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        + "".join(f"<p>{text(item)}</p>" for item in cautions(report.points))
        + (f"<h2>Required</h2><ul>{required}</ul>" if required else "")
        + (f"<h2>Latency against throughput</h2>{_curve(report.points)}" if len(report.points) > 1 else "")
        + (f"<h2>How many answers came within a time</h2>{plots}" if plots else ""),
    )


def _row(point: Point) -> str:
    times = [quantile(point.latency, name) for name in ("p50", "p95", "p99", "max")]
    cells = [f"{point.requests:,}", f"{point.errors:,}", f"{point.rate:,.1f}", *times]
    told = "".join(f"<td class='n'>{cell}</td>" for cell in cells)
    return f"<tr><th scope='row'>{point.load}</th>{told}</tr>"


def _curve(points: Sequence[Point]) -> str:
    """A line for each quantile over good answers a second."""
    shown = sorted((point for point in points if point.latency), key=lambda point: point.rate)
    if len(shown) < 2:
        return "<p>Too few loads were answered.</p>"
    known = [item for item in _LINES if all(point.latency is None or point.latency.known(item[0]) for point in shown)]
    most = max(point.rate for point in shown) or 1.0
    highest = max(getattr(point.latency, known[-1][0]) for point in shown if point.latency) or 1.0
    drawn = ""
    for number, (name, label) in enumerate(known):
        places = [_place(point.rate / most, getattr(point.latency, name) / highest) for point in shown]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        marks = "".join(
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3'><title>{label} at {point.load}: {spoken_latency(getattr(point.latency, name))}</title></circle>"
            for (x, y), point in zip(places, shown, strict=True)
        )
        drawn += f"<g class='line l{number}' fill='none' stroke='currentColor' opacity='{1 - 0.3 * number:.1f}'><polyline points='{path}'/>{marks}"
        drawn += f"<text x='{places[-1][0] + 6:.1f}' y='{places[-1][1]:.1f}' stroke='none' fill='currentColor'>{label}</text></g>"
    return _figure("Latency against good answers a second", drawn, spoken_latency(highest), f"{most:,.0f} a second")


def _distribution(point: Point) -> str:
    """The cumulative share of the answers over time, on a logarithmic axis."""
    total = sum(point.histogram)
    last = max(index for index, count in enumerate(point.histogram) if count) + 1
    first = next(index for index, count in enumerate(point.histogram) if count)
    shares = [count / total for count in accumulate(point.histogram[:last])][first:]
    places = [_place((index + 1) / len(shares), share) for index, share in enumerate(shares)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in [_place(0.0, 0.0), *places])
    drawn = f"<polyline fill='none' stroke='currentColor' points='{path}'/>"
    low, high = (_LEAST * 10 ** (edge / _PER_DECADE) for edge in (first, last))
    return _figure(f"{point.load}: from {spoken_latency(low)}", drawn, "100 %", spoken_latency(high))


def _place(x: float, y: float) -> tuple[float, float]:
    room = _WIDTH - _LEFT - 60
    return _LEFT + room * x, (_HEIGHT - _FOOT) - (_HEIGHT - _FOOT - 16) * y


def _figure(title: str, drawn: str, top: str, right: str) -> str:
    axes = f"<path d='M{_LEFT} 16V{_HEIGHT - _FOOT}H{_WIDTH - 60}' fill='none' stroke='currentColor' opacity='.4'/>"
    labels = (
        f"<text x='{_LEFT - 6}' y='22' text-anchor='end' fill='currentColor'>{text(top)}</text>"
        f"<text x='{_WIDTH - 60}' y='{_HEIGHT - 12}' text-anchor='end' fill='currentColor'>{text(right)}</text>"
    )
    return (
        f"<figure><svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img'><title>{text(title)}</title>{axes}{labels}{drawn}</svg>"
        f"<figcaption>{text(title)}</figcaption></figure>"
    )
