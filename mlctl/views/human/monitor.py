"""Monitors over time on a terminal: the trend of what is watched, and what a backtest found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.providers.evidently.trend import Series
from mlctl.views.human.sparkline import sparkline
from mlctl.views.human.table import table

_MOST = 40


def trend(monitor: str, runs: Sequence[Mapping[str, Any]], found: Sequence[Series], *, color: bool) -> str:
    """A line for each series: the last value, how it went, how often it alarmed."""
    if not runs:
        return f"{monitor}: no run is kept yet; run `mlctl monitor run {monitor}`\n"
    counts = ", ".join(
        f"{sum(item['verdict'] == name for item in runs)} {name.replace('_', ' ')}"
        for name in ("alarm", "ok", "no_data")
    )
    rows = [_row(item) for item in found[:_MOST]]
    more = f"… and {len(found) - _MOST} more; see --html or --json\n" if len(found) > _MOST else ""
    heads = ("part", "what", "by", "alarms", "last", "margin", "adjusted p", "trend")
    lines = table(heads, rows, right=("alarms", "last", "margin", "adjusted p"), color=color) if rows else ""
    return f"{monitor}: {len(runs)} runs, {counts}\n\n{lines}{more}"


def _row(series: Series) -> list[str]:
    last = series.points[-1]
    return [
        series.part,
        series.name,
        series.measure,
        f"{series.alarms} of {len(series.points)}",
        "-" if last.value is None else f"{last.value:.4g}",
        "-" if last.margin is None else f"{last.margin:g}",
        "-" if last.p_adjusted is None else f"{last.p_adjusted:.2g}",
        sparkline([point.value for point in series.points]),
    ]


def backtest(monitor: str, runs: Sequence[Mapping[str, Any]], alarms: Mapping[str, int], *, color: bool) -> str:
    """A line for each run that would have alarmed, and how often each thing would have."""
    alarmed = [item for item in runs if item["verdict"] == "alarm"]
    silent = sum(item["verdict"] == "no_data" for item in runs)
    head = f"{monitor}: {len(alarmed)} of {len(runs)} runs would have alarmed"
    head += f" ({silent} had too little data)\n" if silent else "\n"
    rows = [[str(item["until"])[:19], str(item["summary"])] for item in alarmed]
    told = "\n" + table(("at", "alarm"), rows, color=color) if rows else ""
    counts = "\n" + table(
        ("what", "runs"), [[name, str(count)] for name, count in alarms.items()], right=("runs",), color=color
    )
    return head + told + (counts if alarms else "")
