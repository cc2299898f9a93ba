"""The parts about outcomes in the report: tables, and one line over the days. Plain HTML, which loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mlctl.types.jobs.labels import EstimatedPart, LabelsPart
from mlctl.types.spoken import spoken_seconds

_WIDTH, _HEIGHT, _EDGE = 760, 180, 30


def labels_section(part: LabelsPart, figures: Mapping[str, Any]) -> str:
    """Metrics, what became of labels, and the days."""
    measured = [
        [
            name,
            found["verdict"],
            *(_number(found[key]) for key in ("value", "reference", "margin", "p_adjusted")),
            str(found["rows"]),
        ]
        for name, found in figures["metrics"].items()
    ]
    lag = figures["lag_seconds"]
    took = (
        ""
        if lag["p50"] is None
        else f" Half of the labels took up to {spoken_seconds(lag['p50'])}, 95 % up to {spoken_seconds(lag['p95'])}."
    )
    counts = [
        *figures["labels"].items(),
        *((f"refused: {name}", count) for name, count in figures["refused"].items() if count),
    ]
    days = [
        [day["day"], day["version"], *(str(day[key]) for key in ("predictions", "labelled", "pending", "missing")), f"{day['maturity']:.0%}",
         *(_number(day["metrics"][name]) for name in part.metrics)]
        for day in figures["cohorts"]
    ]  # fmt: skip
    watched = part.metrics[0]
    points = [
        (day["day"], day["metrics"][watched]) for day in figures["cohorts"] if day["metrics"][watched] is not None
    ]
    return (
        f"<p>Detector: {escape(figures['detector']['says'])}.{took}</p>"
        + _table(["metric", "verdict", "now", "held out", "margin", "p adjusted", "rows"], measured)
        + f"<h3>{escape(watched)} by day of the prediction</h3>"
        + line(points, figures["metrics"][watched]["reference"])
        + "<p>Only ripe predictions are measured: those older than the wait for labels, whatever label they have by now.</p>"
        + _table(["day", "version", "predictions", "labelled", "pending", "missing", "ripe", *part.metrics], days)
        + _table(["labels", "rows"], [[name.replace("_", " "), str(count)] for name, count in counts])
    )


def estimated_section(part: EstimatedPart, figures: Mapping[str, Any]) -> str:
    """The estimate, how it was calibrated, and what it cannot see."""
    rows = [
        [
            part.metric,
            *(_number(figures[key]) for key in ("value", "low", "high", "reference", "margin")),
            str(figures["rows"]),
        ]
    ]
    return (
        _table(["metric", "estimated", "low", "high", "held out", "margin", "rows"], rows)
        + f"<p>Scores were calibrated by {escape(figures['calibration'])} on {figures['held_out_rows']} held-out rows; {figures['outside']:.1%} of the scores of now lie "
        f"outside theirs.</p><p><b>{escape(figures['cannot_see'])}</b></p>"
    )


def proxies_section(proxies: Mapping[str, Mapping[str, Any]]) -> str:
    """Each figure now and before."""
    heads = [
        "proxy",
        "verdict",
        "now",
        "before",
        "worse by",
        "low",
        "high",
        "margin",
        "p adjusted",
        "units",
        "units before",
    ]
    keys = ("value", "before", "effect", "low", "high", "margin", "p_adjusted")
    rows = [
        [
            name,
            found["verdict"],
            *(_number(found[key]) for key in keys),
            str(found["units"]),
            str(found["units_before"]),
        ]
        for name, found in proxies.items()
    ]
    return _table(heads, rows)


def line(points: Sequence[tuple[str, float]], level: float | None) -> str:
    """A line over days, with the level that it is compared with."""
    if len(points) < 2:
        return ""
    values = [value for _, value in points] + ([level] if level is not None else [])
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    step = (_WIDTH - 2 * _EDGE) / (len(points) - 1)

    def place(value: float) -> float:
        return _HEIGHT - _EDGE - (value - low) / spread * (_HEIGHT - 2 * _EDGE)

    path = " ".join(f"{_EDGE + index * step:.1f},{place(value):.1f}" for index, (_, value) in enumerate(points))
    drawn = f'<polyline points="{path}" fill="none" stroke="#2563eb" stroke-width="2"/>'
    if level is not None:
        height = f"{place(level):.1f}"
        drawn += (
            f'<line x1="{_EDGE}" x2="{_WIDTH - _EDGE}" y1="{height}" y2="{height}" stroke="#888" stroke-dasharray="4"/>'
        )
    texts = [
        (_EDGE, _HEIGHT - 8, points[0][0]),
        (_WIDTH - 100, _HEIGHT - 8, points[-1][0]),
        (2, 16, f"{high:.4g}"),
        (2, _HEIGHT - _EDGE, f"{low:.4g}"),
    ]
    drawn += "".join(f'<text x="{x}" y="{y}" font-size="11">{escape(text)}</text>' for x, y, text in texts)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">{drawn}</svg>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(item)}</th>" for item in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
