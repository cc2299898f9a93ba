"""What a load test found, for people: a table, and how the P99 grows with the load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlctl.types.jobs.bench import BenchReport, Load, Point, Spread
from mlctl.types.requirement import Requirement
from mlctl.types.spoken import spoken_latency
from mlctl.views.human.style import Paint
from mlctl.views.human.table import table

Verdict = tuple[Requirement, Load, float | None, bool]
_BAR = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"


def text(address: str, report: BenchReport, verdicts: Sequence[Verdict], *, color: bool = False) -> str:
    """The table, a bar for each load when there are several, errors, verdicts."""
    return "\n".join(_lines(address, report, verdicts, Paint(color))) + "\n"


def measured(requirement: Requirement, value: float | None) -> str:
    """A value in the unit of what it is of."""
    if value is None:
        return "nothing measured"
    if requirement.metric == "error_rate":
        return f"{value:.2%}"
    return f"{value:.1f}" if requirement.metric in ("qps", "tokens_per_second") else spoken_latency(value)


def _lines(address: str, report: BenchReport, verdicts: Sequence[Verdict], paint: Paint) -> Iterator[str]:
    yield f"{address} at {report.url}"
    streaming = any(point.ttft is not None for point in report.points)
    heads = ["LOAD", "REQUESTS", "ERRORS", "QPS", "MEAN", "P50", "P95", "P99", "MAX"]
    heads += ["TTFT P50", "TTFT P95", "TPOT P50", "TOKENS/S"] if streaming else []
    rows = [_row(point, streaming=streaming) for point in report.points]
    yield table(heads, rows, right=heads[1:], color=paint.color).rstrip("\n")
    if len(report.points) > 1:
        yield ""
        yield from _bars(report.points)
    for point in report.points:
        bad = {name: count for name, count in point.statuses.items() if name != "200"}
        if bad:
            yield paint(f"! {point.load}: " + ", ".join(f"{count:,} x {name}" for name, count in bad.items()), "yellow")
        if point.unsent:
            yield paint(
                f"! {point.load}: {point.unsent:,} requests were due and not sent: too many were under way", "yellow"
            )
    for requirement, load, value, met in verdicts:
        mark = paint("✓", "green") if met else paint("✗", "red")
        yield f"{mark} {requirement.text}: {measured(requirement, value)}" + ("" if requirement.load else f" at {load}")


def _row(point: Point, *, streaming: bool) -> list[str]:
    cells = [str(point.load), f"{point.requests:,}", f"{point.errors:,}", f"{point.rate:,.1f}"]
    cells += _times(point.latency, ("mean", "p50", "p95", "p99", "max"))
    if streaming:
        cells += [*_times(point.ttft, ("p50", "p95")), *_times(point.tpot, ("p50",))]
        cells.append("-" if point.tokens_per_second is None else f"{point.tokens_per_second:,.1f}")
    return cells


def _times(spread: Spread | None, names: Sequence[str]) -> list[str]:
    return ["-" if spread is None else spoken_latency(getattr(spread, name)) for name in names]


def _bars(points: Sequence[Point]) -> Iterator[str]:
    """P99 by load, as lying bars."""
    highest = max((point.latency.p99 for point in points if point.latency), default=0.0)
    widest = max(len(str(point.load)) for point in points)
    for point in points:
        p99 = point.latency.p99 if point.latency else 0.0
        whole, rest = divmod(round(8 * _BAR * p99 / highest) if highest else 0, 8)
        bar = "█" * whole + (_EIGHTHS[rest] if rest else "")
        yield f"P99 at {point.load!s:<{widest}} {bar} {spoken_latency(p99)}"
