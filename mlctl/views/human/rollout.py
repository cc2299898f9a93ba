"""How a rollout stands, for people: who answers how much, what was measured of each, what its gate says, and what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from mlctl.types.spoken import spoken_latency
from mlctl.views.human.sparkline import sparkline
from mlctl.views.human.style import Paint, seconds
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

_PHASES = {
    "empty": ("nothing was asked for yet", "dim"), "starting": ("starting", "cyan"), "stepping": ("rolling out", "cyan"),
    "done": ("done", "green"), "held": ("held", "red"), "ended": ("ended", "green"),
}  # fmt: skip
_SAYS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_HEADS = ["VARIANT", "VERSION", "SHARE", "STATE", "REQUESTS", "ERRORS", "P50", "P95", "P99"]
_FIGURES = _HEADS[2:3] + _HEADS[4:]


def text(report: Mapping[str, Any], *, color: bool = False, now: float) -> str:
    """The whole of it."""
    paint = Paint(color)
    return "\n".join(_lines(report, paint, now)) + "\n"


def line(report: Mapping[str, Any]) -> str:
    """One line, for where nothing can be redrawn."""
    gate = report["gate"]
    said = f"; gate {gate['name']}: {gate['says']}, {gate['why']}" if gate is not None and gate["says"] else ""
    return safe(f"{report['address']}: {report['says'] or report['reason']}{said}")


def history(lines: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each thing that happened."""
    for line in lines:
        rest = " ".join(str(value) for name, value in line.items() if name not in ("at", "what"))
        yield safe(f"{str(line.get('at', ''))[:19]}Z  {line.get('what', '')!s:<10} {rest}".rstrip())


def _lines(report: Mapping[str, Any], paint: Paint, now: float) -> Iterator[str]:
    words, style = _PHASES.get(str(report["phase"]), (str(report["phase"]), "dim"))
    for_how_long = f" for {seconds(max(0.0, now - report['since']))}" if report["since"] else ""
    yield f"{paint(str(report['address']), 'bold')}  {paint(words, style)}{for_how_long}"
    if report["controller"] is not None and not report["controller"]["running"]:
        yield paint("the controller is not running; `mlctl apply` starts it again", "red")
    for item in (report.get("gateway") or {}).get("problem") or []:
        yield paint(safe(f"the gateway: {item['summary']} ({item['code']})"), "red")
    if report["reason"]:
        yield safe(str(report["reason"]))
    if report["paused"] is not None:
        yield paint(safe(f"paused by {report['paused']['who'] or 'somebody'}: {report['paused']['why']}"), "yellow")
    if report["step"] is not None:
        yield _step(report["step"])
    if report["variants"]:
        yield ""
        yield _variants(report["variants"], paint)
        yield from _plots(report["variants"])
    if report["gate"] is not None:
        yield ""
        yield from _gate(report["gate"], paint)
    yield from _shadow(report.get("shadow"))
    yield from _bandit(report.get("bandit"), paint)
    yield from _held(report["held"], paint)


def _step(step: Mapping[str, Any]) -> str:
    """What the step gives the candidate, and for how long. What it waits for is the reason of the phase."""
    parts = [str(step["name"])] if step["name"] else []
    parts.append(f"{step['weight']:g} % of the requests" + (f", {step['mirror']:g} % copied" if step["mirror"] else ""))
    length = seconds(step["seconds"])
    parts.append(f"{length} of {seconds(step['pause_seconds'])}" if step["pause_seconds"] else length)
    if not step["in_effect"]:
        parts.append("not in effect yet")
    return safe("; ".join(parts))


def _variants(variants: Iterable[Mapping[str, Any]], paint: Paint) -> str:
    rows = [
        [
            str(item["name"]),
            f"{item['model']} v{item['version']}",
            f"{item['percent']:g} %",
            str(item["condition"]) + (f", died {item['deaths']}×" if item["deaths"] else ""),
            f"{item.get('requests', 0):,}",
            _rate(item),
            *(_time(item.get(name)) for name in ("p50", "p95", "p99")),
        ]
        for item in variants
    ]
    return table(_HEADS, rows, right=_FIGURES, color=paint.color).rstrip("\n")


def _plots(variants: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Errors and P99 of the last two minutes, on one scale for all variants, so that they can be compared."""
    measured = [item for item in variants if (item.get("series") or {}).get("rate")]
    for name, title, show in (("error_rate", "errors", _percent), ("p99", "P99", _time)):
        known = [value for item in measured for value in item["series"][name] if value is not None]
        if not known:
            continue
        top = max(known)
        yield ""
        for item in measured:
            plot = sparkline(item["series"][name], top=top, width=60)
            yield f"{title:<7}{safe(str(item['name'])):<11}{plot}  {_last(item['series'][name], show)}"


def _gate(gate: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    says = gate["says"] or "no verdict yet"
    counted = f"{gate['requests']:,} requests of {gate['min_requests']:,}"
    if gate["baseline_requests"]:
        counted += f", {gate['baseline_requests']:,} of the baseline"
    yield f"gate {safe(str(gate['name']))}: {paint(says, _SAYS.get(says, 'dim'))} ({counted})"
    for finding in gate["findings"]:
        yield safe(f"  {finding['says']:<13}{finding['why']}")
    if not gate["findings"] and gate["why"]:
        yield safe(f"  {gate['why']}")


def _shadow(shadow: Mapping[str, Any] | None) -> Iterator[str]:
    if not shadow:
        return
    yield ""
    yield f"copies: {shadow.get('compared', 0):,} answers compared, {shadow.get('mismatches', 0):,} differ"
    for item in list(shadow.get("examples") or [])[:10]:
        yield safe(f"  {item}")


def _bandit(bandit: Mapping[str, Any] | None, paint: Paint) -> Iterator[str]:
    if not bandit:
        return
    yield ""
    if bandit["problem"]:
        yield paint(safe(str(bandit["problem"])), "red")
    rows = [
        [
            str(name),
            f"{arm['rewards']:,}",
            _figure(arm["mean"]),
            f"{_figure(arm['weighted_mean'])} ± {_figure(arm['weighted_error'])}",
            f"{arm['missing']:,}" if arm["missing"] else "",
        ]
        for name, arm in bandit["arms"].items()
    ]
    heads = ["ARM", "REWARDS", "MEAN", "WEIGHTED MEAN", "STILL NEEDS"]
    if rows:
        yield table(heads, rows, right=heads[1:], color=paint.color).rstrip("\n")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _held(held: Iterable[Mapping[str, Any]], paint: Paint) -> Iterator[str]:
    rows = list(held)
    if not rows:
        return
    yield ""
    for item in rows:
        at = datetime.fromtimestamp(item["at"], UTC).strftime("%Y-%m-%d %H:%M")
        yield f"{paint('held', 'red')} {safe(str(item['model']))} v{safe(str(item['version']))} since {at}: {safe(str(item['why']))}"


def _rate(item: Mapping[str, Any]) -> str:
    requests = item.get("requests", 0)
    return _percent(item.get("errors", 0) / requests) if requests else "-"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f} %"


def _time(value: float | None) -> str:
    return "-" if value is None else spoken_latency(value)


def _last(values: list[float | None], show: Any) -> str:
    known = [value for value in values if value is not None]
    return str(show(known[-1])) if known else "-"
