"""The part `cost`: what requests cost now and before, and which of volume, models, tokens and prices made the difference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from html import escape
from typing import Any

from mlctl.runtime.monitor import exchanges
from mlctl.runtime.monitor.exchanges import Span, Spans
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.prices import model_of, prices_of, tokens_of
from mlctl.runtime.monitor.told import Tested, decided, table, tests_table
from mlctl.runtime.report import Report
from mlctl.stats.decomposition import FACTORS, ModelUse, decompose, shown, total
from mlctl.stats.drift import Verdict
from mlctl.stats.ratio_change import change
from mlctl.types.jobs.monitor import Alarm, Impact, MonitorJob
from mlctl.types.jobs.monitor_llm import CostPart

PER_REQUEST = "cost_per_request"
_FIELDS = ("model", "request_model", "response_model", "prompt_tokens", "completion_tokens", "cached_tokens", "cached")
_PLACES, _CENTS = 6, 2  # of a dollar
_TOLERATED = 0.01  # of the requests: a few without a known price are told, and no reason to doubt the others


class Spent:
    """A span of time, priced. Answers out of a cache of ours cost nothing more and are counted apart."""

    def __init__(self, part: CostPart, span: Span) -> None:
        self.days = span.days
        self.from_cache = sum(row["cached"] is True for row in span.rows)
        asked = [row for row in span.rows if row["cached"] is not True]
        counted = [(row, tokens) for row in asked if (tokens := tokens_of(row)) is not None]
        prices = prices_of(part, span.days, sum(sum(tokens.values()) for _, tokens in counted))
        self.source = prices.source
        self.rows: list[dict[str, Any]] = []
        self.use: dict[str, ModelUse] = {}
        for row, tokens in counted:
            cost = prices.cost(row)
            if cost is not None:
                self.use.setdefault(model_of(row), ModelUse()).add(tokens, cost)
                self.rows.append({**row, "usd": float(sum(cost.values()))})
        self.unknown = prices.unknown + Counter({"tokens were not counted": len(asked) - len(counted)})

    def per_day(self) -> Fraction:
        """US dollars."""
        return total(self.use) / Fraction(self.days)

    def figures(self) -> dict[str, Any]:
        """As JSON, rounded to what is shown."""
        return {
            "days": round(self.days, 6), "usd": round(float(total(self.use)), _PLACES), "usd_per_day": round(float(self.per_day()), _PLACES),
            "priced": len(self.rows), "unpriced": self.unknown.total(), "from_cache": self.from_cache,
            "models": {
                name: {
                    "requests": one.requests, "tokens": dict(one.tokens),
                    "usd": round(float(sum(one.cost.values(), Fraction(0))), _PLACES),
                }
                for name, one in sorted(self.use.items())
            },
        }  # fmt: skip


def watch(job: MonitorJob, part: CostPart, report: Report) -> Found:
    """Price, take the difference apart, and test what a request costs."""
    report.progress("pricing requests")
    spans: Spans = exchanges.read(job, part.window_seconds, part.baseline_window_seconds, _FIELDS)
    before, now = Spent(part, spans.before), Spent(part, spans.now)
    unknown = before.unknown + now.unknown
    asked = len(before.rows) + len(now.rows) + unknown.total()
    lacking = _lacking(part, before, now) or _unpriced(unknown, asked)
    tests = [] if lacking else _tests(part, before, now)
    tested, alarms = decided("cost", tests, part.alpha)
    alarms = [_with_impact(alarm, tested[alarm.name], len(now.rows) / now.days) for alarm in alarms]
    terms = (
        decompose(before.use, now.use, Fraction(before.days), Fraction(now.days)) if before.use and now.use else None
    )
    figures = {
        "now": now.figures(), "before": before.figures(), "prices": now.source, "unknown_prices": dict(sorted(unknown.items())),
        "change_per_day": None if terms is None else _sum(terms), "because_of": None if terms is None else shown(terms, _PLACES),
        "tests": tested,
    }  # fmt: skip
    verdict = Verdict.ALARM if alarms else Verdict.NO_DATA if lacking else Verdict.OK
    summary = _summary(lacking, figures, [alarm.says for alarm in alarms])
    return Found(verdict, summary, figures, tuple(alarms), lambda: _draw(figures))


def _tests(part: CostPart, before: Spent, now: Spent) -> list[Tested]:
    """Whether a request costs more than before, times one and the margin."""
    units = exchanges.by_unit(now.rows, lambda row: row["usd"])
    old = exchanges.by_unit(before.rows, lambda row: row["usd"])
    raised = exchanges.by_unit(before.rows, lambda row: row["usd"], 1 + part.margin)
    found = change(units, raised, 0.0, higher_is_better=False)
    if found is None or not old.value or units.value is None:
        return []
    says = f"a request costs {units.value:.3g} USD where it cost {old.value:.3g}"
    scale = 1 / old.value
    low, high = (((end + part.margin * old.value) * scale) for end in (found.low, found.high))
    return [
        Tested(
            PER_REQUEST, "delta", units.value * scale - 1, part.margin, found.p_value, says, units.value, old.value,
            low if math.isfinite(low) else None, high if math.isfinite(high) else None, beyond=True,
        )
    ]  # fmt: skip


def _with_impact(alarm: Alarm, told: Mapping[str, Any], per_day: float) -> Alarm:
    """What it comes to in a day, with as many requests as there are now."""
    if told["low"] is None or told["high"] is None:
        return alarm
    change_, low, high = (told[key] * told["before"] * per_day for key in ("effect", "low", "high"))
    impact = Impact(metric="usd_per_day", change=change_, low=low, high=high, basis="measured, against the time before")
    return alarm.model_copy(update={"impact": impact})


def _sum(terms: Mapping[str, Fraction]) -> float:
    return shown({"sum": sum(terms.values(), Fraction(0))}, _PLACES)["sum"]


def _lacking(part: CostPart, before: Spent, now: Spent) -> str:
    if min(len(before.rows), len(now.rows)) >= part.min_rows:
        free = not total(before.use) and total(now.use)
        return "requests cost nothing before, and something now: that is no share of what they cost" if free else ""
    unknown = before.unknown + now.unknown
    why = f"; {unknown.total()} cost an unknown sum: {', '.join(sorted(unknown))}" if unknown else ""
    return f"{len(now.rows)} requests with a price in the window and {len(before.rows)} before, and {part.min_rows} of each are needed{why}"


def _unpriced(unknown: Counter[str], asked: int) -> str:
    """What is not known is never nothing: too much of it, and there is no verdict."""
    if unknown.total() <= _TOLERATED * asked:
        return ""
    return f"{unknown.total()} of {asked} requests cost an unknown sum: {', '.join(sorted(unknown))}"


def _summary(lacking: str, figures: Mapping[str, Any], says: list[str]) -> str:
    because = figures["because_of"]
    told = ""
    if because is not None:
        places = _CENTS if abs(figures["change_per_day"]) >= 1 else _PLACES
        told_terms = shown({name: Fraction(str(value)) for name, value in because.items()}, places)
        parts = ", ".join(f"{name} {told_terms[name]:+.{places}f}" for name in FACTORS)
        told = f"{sum(told_terms.values()):+.{places}f} USD a day ({parts})"
    if says:
        return f"{'; '.join(says)}; {told}"
    return lacking or f"a request costs as much as before; {told}"


def _draw(figures: Mapping[str, Any]) -> str:
    because = figures["because_of"] or {}
    parts = table(["because of", "USD a day"], [[name, f"{value:+.6f}"] for name, value in because.items()])
    rows = [
        [when, name, str(one["requests"]), str(one["tokens"].get("input", 0)), str(one["tokens"].get("output", 0)), f"{one['usd']:.6f}"]
        for when in ("now", "before") for name, one in figures[when]["models"].items()
    ]  # fmt: skip
    unknown = "".join(
        f"<p>Unknown price: {escape(text)} ({count} requests).</p>" for text, count in figures["unknown_prices"].items()
    )
    head = ["", "model", "requests", "input tokens", "output tokens", "USD"]
    return tests_table(figures["tests"]) + parts + table(head, rows) + unknown
