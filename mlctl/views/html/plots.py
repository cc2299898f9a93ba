"""Plots of columns as inline SVG: nothing to load, no script, with a title for each so that they can be read out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise
from typing import Any

from mlctl.views.human.data import share
from mlctl.views.human.style import figure
from mlctl.views.human.text import safe

_WIDTH, _HEIGHT, _FOOT, _HEAD = 340, 150, 18, 14
_ROW, _LABEL = 20, 110
_MOST_BARS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text(value: str) -> str:
    """Text of the data as HTML holds it, with escapes for what is not seen or steers."""
    return escape(safe(value))


def histogram(name: str, shown: Mapping[str, Any], *, times: bool) -> str:
    """Bars of equal width, with what lies outside of the range that is shown said below."""
    counts = shown["counts"]
    low, high = shown["low"], shown["high"]
    width = (high - low) / len(counts)
    bars = [
        (count, f"{edge(low + width * index, times)} to {edge(low + width * (index + 1), times)}: {count:,}")
        for index, count in enumerate(counts)
    ]
    outside = [f"{shown[side]:,} {side}" for side in ("below", "above") if shown[side]]
    note = f"<figcaption>not shown: {' and '.join(outside)} this range</figcaption>" if outside else ""
    label = f"Histogram of {name}, from {edge(low, times)} to {edge(high, times)}"
    return f"<figure>{_upright(label, bars, (edge(low, times), edge(high, times)))}{note}</figure>"


def mini(name: str, counts: Sequence[int]) -> str:
    """A histogram in the width of a table."""
    highest, step = max(counts) or 1, 120 / len(counts)
    bars = "".join(_bar(i * step, 26, max(step - 0.6, 0.4), 24 * count / highest) for i, count in enumerate(counts) if count)  # fmt: skip
    return (
        f'<svg class="mini" viewBox="0 0 120 26" role="img"><title>{text(f"Histogram of {name}")}</title>{bars}</svg>'
    )


def categories(name: str, bins: Mapping[str, Any], total: int) -> str:
    """The most frequent values as lying bars, with the rest together."""
    rows = [(value, count, "bar") for value, count in zip(bins["values"], bins["counts"], strict=True)][:_MOST_BARS]
    rest = sum(bins["counts"][_MOST_BARS:]) + bins["other"]
    rows += [("all others", rest, "null")] if rest else []
    return _lying(f"Most frequent values of {name}", rows, total)


def ranked(name: str, top: Sequence[Mapping[str, Any]], total: int) -> str:
    """The same of a column without bins."""
    return _lying(f"Most frequent values of {name}", [(item["value"], item["count"], "bar") for item in top], total)


def pair(name: str, a: Mapping[str, Any], b: Mapping[str, Any], *, times: bool) -> str:
    """The shares of two sides in the same bins, beside each other."""
    labels, left, right = _labels(a, times), _shares(a), _shares(b)
    highest = max(*left, *right, 1e-9)
    drawn, step, height = "", _WIDTH / len(labels), _HEIGHT - _FOOT - _HEAD
    for index, label in enumerate(labels):
        for offset, value, css, side in ((0.08, left[index], "bar", "A"), (0.5, right[index], "other", "B")):
            told = f"{label}: {value:.1%} of {side}"
            drawn += _bar(step * (index + offset), _HEIGHT - _FOOT, step * 0.42, height * value / highest, css, told)
    frame = _frame((labels[0], labels[-1]), f"{highest:.0%}")
    return f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><title>{text(f"Shares of {name} in A and B")}</title>{frame}{drawn}</svg></figure>'


def edge(value: float, times: bool) -> str:
    """An edge of a bar as people read it."""
    if not times:
        return figure(float(f"{value:.6g}"))
    try:
        moment = _EPOCH + timedelta(seconds=round(value))
    except OverflowError:
        return figure(value)
    return moment.strftime("%Y-%m-%d") if moment.hour == moment.minute == 0 else moment.strftime("%Y-%m-%d %H:%M")


def _upright(label: str, bars: Sequence[tuple[int, str]], ends: tuple[str, str]) -> str:
    highest = max(count for count, _ in bars) or 1
    step, height = _WIDTH / len(bars), _HEIGHT - _FOOT - _HEAD
    drawn = "".join(
        _bar(index * step + 0.5, _HEIGHT - _FOOT, step - 1, max(height * count / highest, 0.8), "bar", told)
        for index, (count, told) in enumerate(bars)
        if count
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><title>{text(label)}</title>{_frame(ends, f"{highest:,}")}{drawn}</svg>'


def _frame(ends: tuple[str, str], highest: str) -> str:
    """The ground line, both ends below it, and the height of the highest bar."""
    ground = _HEIGHT - _FOOT
    return (
        f'<line class="axis" x1="0" y1="{ground}" x2="{_WIDTH}" y2="{ground}"/>'
        f'<line class="axis" x1="0" y1="{_HEAD}" x2="{_WIDTH}" y2="{_HEAD}" stroke-dasharray="2 3"/>'
        f'<text x="{_WIDTH}" y="10" text-anchor="end">{text(highest)}</text>'
        f'<text x="0" y="{_HEIGHT - 4}">{text(_cut(ends[0]))}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 4}" text-anchor="end">{text(_cut(ends[1]))}</text>'
    )


def _lying(label: str, rows: Sequence[tuple[str, int, str]], total: int) -> str:
    if not rows:
        return ""
    highest, room = max(count for _, count, _ in rows) or 1, _WIDTH - _LABEL - 60
    drawn = ""
    for index, (value, count, css) in enumerate(rows):
        y = index * _ROW
        told = f"{value}: {count:,}"
        drawn += (
            f'<text class="ink" x="{_LABEL - 6}" y="{y + 14}" text-anchor="end">{text(_cut(value or "(empty)"))}</text>'
        )
        drawn += _bar(_LABEL, y + 17, max(room * count / highest, 0.8), 13, css, told)
        drawn += f'<text x="{_WIDTH}" y="{y + 14}" text-anchor="end">{share(count, total)}</text>'
    return f'<figure><svg viewBox="0 0 {_WIDTH} {len(rows) * _ROW}" role="img"><title>{text(label)}</title>{drawn}</svg></figure>'


def _bar(x: float, foot: float, width: float, height: float, css: str = "bar", told: str = "") -> str:
    title = f"<title>{text(told)}</title>" if told else ""
    return f'<rect class="{css}" x="{x:.1f}" y="{foot - height:.1f}" width="{width:.1f}" height="{height:.1f}">{title}</rect>'


def _labels(bins: Mapping[str, Any], times: bool) -> list[str]:
    if bins["kind"] == "categorical":
        return [*bins["values"], "all others", "null"]
    edges = [edge(item, times) for item in bins["edges"]]
    if not edges:
        return ["all", "null"]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} and above", "null"]


def _shares(bins: Mapping[str, Any]) -> list[float]:
    counts = [*bins["counts"], *([bins["other"]] if bins["kind"] == "categorical" else []), bins["nulls"]]
    total = sum(counts) or 1
    return [count / total for count in counts]


def _cut(value: str) -> str:
    return value if len(value) <= 17 else f"{value[:16]}…"
