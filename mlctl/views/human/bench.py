"""What a load test found, for people: a table, and how the P99 grows with the load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlctl.types.jobs.bench import LEAST_VALUES, STEADY_VALUES, BenchReport, Load, Point, Spread
from mlctl.types.requirement import Requirement
from mlctl.types.spoken import spoken_latency
from mlctl.views.human.style import Paint
from mlctl.views.human.table import table

Verdict = tuple[Requirement, Load, float | None, bool]
_BAR = 40
_SOURCES = {
    "synthetic": "made-up chats", "log": "prompts of the log", "file": "requests of a file", "zeros": "row of zeros",
}  # fmt: skip
_EIGHTHS = " ▏▎▍▌▋▊▉"


def text(address: str, report: BenchReport, verdicts: Sequence[Verdict], *, color: bool = False) -> str:
    """The table, a bar for each load when there are several, errors, verdicts."""
    return "\n".join(_lines(address, report, verdicts, Paint(color))) + "\n"


def measured(requirement: Requirement, value: float | None) -> str:
    """A value in the unit of what it is of."""
    if value is None:
        return "not enough measured to tell"
    if requirement.metric == "error_rate":
        return f"{value:.2%}"
    return f"{value:.1f}" if requirement.metric in ("qps", "tokens_per_second") else spoken_latency(value)


def _lines(address: str, report: BenchReport, verdicts: Sequence[Verdict], paint: Paint) -> Iterator[str]:
    yield f"{address} at {report.url}"
    streaming = any(point.ttft is not None for point in report.points)
    heads = ["LOAD", "REQUESTS", "ERRORS", "QPS", "MEAN", "P50", "P95", "P99", "MAX"]
    heads += ["TTFT P50", "TTFT P95", "TPOT P50", "TOKENS/S"] if streaming else []
    lengths = any(point.answer_tokens is not None for point in report.points)
    heads += ["PROMPT", "ANSWER"] if lengths else []
    rows = [_row(point, streaming=streaming, lengths=lengths) for point in report.points]
    yield table(heads, rows, right=heads[1:], color=paint.color).rstrip("\n")
    if lengths:
        yield f"prompts and answers in tokens, on average{_asked(report)}"
    if len(report.points) > 1:
        yield ""
        yield from _bars(report.points)
    yield from (paint(f"! {text}", "yellow") for text in cautions(report.points))
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


def cautions(points: Sequence[Point]) -> Iterator[str]:
    """Which quantiles are not to be trusted, and what it takes."""
    for point in points:
        found = point.latency
        if found is None or found.steady("p99"):
            continue
        if not found.known("p99"):
            few = f"the largest of {found.number:,} times is no P99" if found.number != 1 else "one time is no P99"
            yield f"{point.load}: {few}, which takes {LEAST_VALUES['p99']:,}; measure for longer (`--duration`)"
        else:
            yield f"{point.load}: ~ P99 of {found.number:,} times is that of the slowest few; {STEADY_VALUES['p99']:,} make it steady"


def quantile(spread: Spread | None, name: str) -> str:
    """A figure as it may be shown: nothing where it would be made up, and marked where it is unsteady."""
    if spread is None or not spread.known(name):
        return "-"
    return ("" if spread.steady(name) else "~") + spoken_latency(getattr(spread, name))


def _asked(report: BenchReport) -> str:
    """Where the prompts came from, and how long answers could be."""
    sent = report.sent
    if sent is None:
        return ""
    most = f", answers of at most {sent.max_tokens:,}" if sent.max_tokens is not None else ""
    return f": {sent.bodies:,} {_SOURCES[sent.source]}{most} ({sent.digest[:12]})"


def _row(point: Point, *, streaming: bool, lengths: bool) -> list[str]:
    cells = [str(point.load), f"{point.requests:,}", f"{point.errors:,}", f"{point.rate:,.1f}"]
    cells += _times(point.latency, ("mean", "p50", "p95", "p99", "max"))
    if streaming:
        cells += [*_times(point.ttft, ("p50", "p95")), *_times(point.tpot, ("p50",))]
        cells.append("-" if point.tokens_per_second is None else f"{point.tokens_per_second:,.1f}")
    if lengths:
        cells += [
            "-"
            if item is None
            else f"{item.mean:,.0f}" + (f" ({item.least:,} to {item.most:,})" if item.least != item.most else "")
            for item in (point.prompt_tokens, point.answer_tokens)
        ]
    return cells


def _times(spread: Spread | None, names: Sequence[str]) -> list[str]:
    return [quantile(spread, name) for name in names]


def _bars(points: Sequence[Point]) -> Iterator[str]:
    """P99 by load, as lying bars; the median where there is none."""
    name = "p99" if all(point.latency.known("p99") for point in points if point.latency) else "p50"
    highest = max((getattr(point.latency, name) for point in points if point.latency), default=0.0)
    widest = max(len(str(point.load)) for point in points)
    for point in points:
        value = getattr(point.latency, name) if point.latency else 0.0
        whole, rest = divmod(round(8 * _BAR * value / highest) if highest else 0, 8)
        bar = "█" * whole + (_EIGHTHS[rest] if rest else "")
        yield f"{name.upper()} at {point.load!s:<{widest}} {bar} {spoken_latency(value)}"
