"""A5: an experiment decides by one number, too early, or on a broken split."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from mlctl.audit.case import Case, Subject
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import Severity

PATTERN = Pattern("A5", "single-metric A/B test", "one figure improves at the cost of all others, or by chance")
_OPERATIONAL = ("error_rate", "_seconds", "latency", "cost", "tokens")
_WEEK_DAYS = 7


def check(case: Case) -> Iterator[Finding]:
    """Guardrails with margins, one of them operational; whole weeks; the planned number of units; an even split."""
    for experiment in case.all("experiments"):
        guardrails = [item.get("metric", "") for item in experiment.get("guardrails") or []]
        if not any(part in metric for metric in guardrails for part in _OPERATIONAL):
            yield Finding(
                PATTERN,
                Severity.ERROR,
                f"{experiment.address} would ship something slow, failing or dear",
                (f"{experiment.address} guardrails: {', '.join(guardrails) or 'none'}",),
                "add one of them, for example `{metric: error_rate, margin: 0.002}` or `{metric: p95_seconds, max_ratio: 1.1}`",
                experiment.address,
                ("guardrails",),
            )
        made = case.last("experiment", experiment.address)
        if made is not None:
            yield from _decided(experiment, made)


def _decided(experiment: Subject, made: Decision) -> Iterator[Finding]:
    if made.verdict == "invalid":
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"the split of {experiment.address} is broken, so nothing follows from it",
            (f"decision {made.id}: {made.rule}",),
            f"find the cause (mlctl decisions show {made.id}), then begin anew with another `salt`",
            experiment.address,
        )
        return
    arms, planned = made.outputs.get("units"), experiment.output("n_total")
    units = sum(arms.values()) if isinstance(arms, dict) else 0
    early = isinstance(planned, int) and units < planned
    if early and made.verdict in ("ship", "stop") and experiment.get("design.sequential") == "fixed":
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"{experiment.address} was decided with {units:,} of {planned:,} units, and its design allows one look at the end",
            (f"decision {made.id}: {made.verdict}", f"{experiment.evidence}: n_total {planned:,}"),
            "let it run to its size, or design it with `sequential: obrien_fleming`",
            experiment.address,
        )
    days = _days(made)
    if made.verdict == "ship" and days is not None and days < _WEEK_DAYS:
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"{experiment.address} was shipped after {days:.1f} days",
            (f"decision {made.id}: from {made.outputs['first']} until {made.outputs['until']}",),
            "let it run for whole weeks: weekdays differ",
            experiment.address,
        )


def _days(made: Decision) -> float | None:
    """From the first exposure to the last that counted."""
    first, until = made.outputs.get("first"), made.outputs.get("until")
    if not isinstance(first, str) or not isinstance(until, str):
        return None
    return (datetime.fromisoformat(until) - datetime.fromisoformat(first)).total_seconds() / 86400
