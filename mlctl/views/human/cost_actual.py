"""What runs and deployments did cost, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from mlctl.estimate.actuals import STEP, Run, Service, known
from mlctl.types.spoken import spoken_dollars, spoken_seconds
from mlctl.views.human.cost_words import UNKNOWN
from mlctl.views.human.style import Paint
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

_RUNS = ("run", "made", "devices held", "foretold", "cost", "foretold", "times")
_SERVICES = ("deployment", "up", "an hour", "cost", "requests", "for 1,000", "tokens", "for a million")


def render(runs: Sequence[Run], services: Sequence[Service], since: datetime, *, color: bool) -> str:
    """Both tables, sums, and why something is not known."""
    if not runs and not services:
        return f"Nothing was made since {since:%Y-%m-%d}, and nothing is deployed.\n"
    paint = Paint(color)
    parts = []
    if runs:
        parts.append(table(_RUNS, [_run(item) for item in runs], right=_RUNS[2:], color=color))
    if services:
        parts.append(table(_SERVICES, [_service(item) for item in services], right=_SERVICES[1:], color=color))
    notes = [f"{safe(where)}: {paint(safe(text), 'dim')}\n" for where, text in _notes(runs, services)]
    if notes:
        parts.append("".join(notes))
    return "\n".join([*parts, _summed(runs, services, since)])


def _run(item: Run) -> list[str]:
    foretold = item.foretold
    took = UNKNOWN if item.seconds is None else spoken_seconds(item.seconds)
    thought = None if foretold is None or foretold.seconds is None else foretold.seconds.mid
    usd = None if foretold is None or foretold.usd is None else foretold.usd.mid
    return [
        item.address,
        item.at[:10],
        took,
        "" if thought is None else spoken_seconds(thought),
        _dollars(item.usd),
        "" if usd is None else spoken_dollars(usd),
        "" if item.ratio is None else f"{item.ratio:.2f}",
    ]


def _service(item: Service) -> list[str]:
    counts, tokens = item.counts, None if item.counts is None else item.counts.total
    answered = UNKNOWN if counts is None else f"{counts.answered:,}"
    return [
        item.address,
        UNKNOWN if item.hours is None else spoken_seconds(item.hours * 3600),
        _dollars(item.hourly),
        _dollars(item.usd),
        answered,
        _dollars(item.per_thousand),
        ""
        if counts is not None and tokens is None
        else UNKNOWN
        if tokens is None
        else f"{tokens.prompt + tokens.answer:,}",
        "" if tokens is None else _dollars(item.per_million),
    ]


def _notes(runs: Sequence[Run], services: Sequence[Service]) -> Iterator[tuple[str, str]]:
    for run in runs:
        if run.why:
            yield run.address, f"its cost is unknown: {run.why}"
        elif run.basis == STEP:
            yield run.address, "by the time of the whole step, with its waits"
    for service in services:
        for text in service.notes:
            yield service.address, text
        if service.counts is not None and service.counts.requests > service.counts.answered:
            yield (
                service.address,
                f"{service.counts.requests - service.counts.answered:,} requests had no answer, and are in no price of one",
            )
        api = service.api
        if api is not None and api.usd is None:
            yield service.address, f"{api.provider}/{api.model}: {UNKNOWN}, {api.why}"
        elif api is not None:
            each = "" if api.per_million is None else f", {spoken_dollars(api.per_million)} for a million"
            yield (
                service.address,
                f"{api.provider}/{api.model} would cost {spoken_dollars(api.usd or 0.0)} for the same tokens{each} ({api.source})",
            )


def _summed(runs: Sequence[Run], services: Sequence[Service], since: datetime) -> str:
    told = []
    for what, values in (("runs", [item.usd for item in runs]), ("deployments", [item.usd for item in services])):
        usd, unknown = known(values)
        if values:
            told.append(f"{what} {_dollars(usd)}" + (f", {unknown} unknown" if 0 < unknown < len(values) else ""))
    return f"Since {since:%Y-%m-%d}: {'; '.join(told)}.\n"


def _dollars(value: float | None) -> str:
    return UNKNOWN if value is None else spoken_dollars(value)
