"""The part `proxies`: figures that move with the outcome, over the window and over the time before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.joining import Finder, events, observations, read_predictions
from mlctl.runtime.monitor.window import seconds_before
from mlctl.runtime.report import Report
from mlctl.stats.drift import Verdict, overall
from mlctl.stats.multiple import holm
from mlctl.stats.ratio_change import Change, Ratio, change
from mlctl.types.jobs.labels import ProxiesPart, Proxy
from mlctl.types.jobs.monitor import Alarm, Impact, MonitorJob


def watch(job: MonitorJob, part: ProxiesPart, report: Report) -> Found:
    """Read, compare, and decide over all of them together."""
    until = datetime.fromisoformat(job.until)
    figures: dict[str, dict[str, Any]] = {}
    changes: dict[str, Change] = {}
    for number, proxy in enumerate(part.proxies):
        report.progress("comparing proxies", number, len(part.proxies), "proxies")
        now, before, refused = _sums(job, proxy, until, report)
        figures[proxy.metric] = {
            "value": now.value, "before": before.value, "units": now.units, "units_before": before.units, "rows": int(now.n), "rows_before": int(before.n),
            "margin": proxy.margin, "refused": {name: count for name, count in sorted(refused.items()) if count}, "effect": None, "low": None, "high": None,
            "p_value": None, "p_adjusted": None, "verdict": Verdict.NO_DATA.value,
        }  # fmt: skip
        found = change(now, before, proxy.margin, proxy.higher_is_better)
        if found is not None and min(now.units, before.units) >= proxy.min_units:
            changes[proxy.metric] = found
    adjusted = dict(zip(changes, holm([item.p_value for item in changes.values()]), strict=True))
    alarms = []
    for proxy in part.proxies:
        found = changes.get(proxy.metric)
        if found is not None:
            p = adjusted[proxy.metric]
            told = figures[proxy.metric]
            told |= {
                "effect": found.worse,
                "low": found.low,
                "high": found.high,
                "p_value": found.p_value,
                "p_adjusted": p,
            }
            told["verdict"] = (Verdict.ALARM if p < proxy.alpha else Verdict.OK).value
            if p < proxy.alpha:
                alarms.append(_alarm(proxy, told, found, p))
    verdict = overall({name: Verdict(item["verdict"]) for name, item in figures.items()})
    return Found(verdict, _summary(part, figures, alarms), {"proxies": figures}, tuple(alarms), lambda: _draw(figures))


def _sums(job: MonitorJob, proxy: Proxy, until: datetime, report: Report) -> tuple[Ratio, Ratio, dict[str, int]]:
    """Sums of the window and of the time before it, and how many rows count for nothing, by name."""
    wait = 0.0 if proxy.joining is None else proxy.joining.within_window_seconds
    end = until.timestamp() - wait  # later predictions may still get an event
    split = end - proxy.window_seconds
    begin = split - proxy.baseline_window_seconds
    since = seconds_before(until, wait + proxy.window_seconds + proxy.baseline_window_seconds)
    units: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    refused: dict[str, int] = {}
    rows = (
        _joined(job, proxy, since, until, report, refused)
        if proxy.joining is not None
        else _plain(proxy, since, until, report, refused)
    )
    for moment, value, whose in rows:
        if begin < moment <= end:
            counted = units[0 if moment > split else 1].setdefault(whose, [0.0, 0.0])
            counted[0] += value
            counted[1] += 1
    now, before = Ratio(), Ratio()
    for ratio, found in ((now, units[0]), (before, units[1])):
        for value, count in found.values():
            ratio.add(value, count)
    return now, before, refused


def _joined(
    job: MonitorJob, proxy: Proxy, since: datetime, until: datetime, report: Report, refused: dict[str, int]
) -> list[tuple[float, float, str]]:
    """A value for each prediction: what its events come to. No event in the time that it had is 0.

    Predictions that no event could be told to be about have no value: nobody knows what came of them.
    """
    joining = proxy.joining
    if joining is None:
        raise ValueError("there is nothing to join")
    predictions = read_predictions(Path(job.predictions), since, until, joining.key)
    finder = Finder(predictions, joining)
    sums, counts = [0.0] * len(predictions), [0] * len(predictions)
    for event in events(joining, proxy.column, since, report.folder):
        place = "future" if event.time is not None and event.time > until.timestamp() else finder.find(event)
        if isinstance(place, int) and proxy.column is not None and event.value is None:
            place = "not_a_number"
        if isinstance(place, str):
            refused[place] = refused.get(place, 0) + 1
        else:
            value = 1.0 if event.value is None else event.value
            sums[place] += float(value != 0) if proxy.aggregate == "any" else value
            counts[place] += 1
    values = [_aggregated(proxy, total, count) for total, count in zip(sums, counts, strict=True)]
    rows = zip(predictions.times, values, predictions.units, strict=True)
    return [row for row, known in zip(rows, finder.findable(), strict=True) if known and not math.isnan(row[1])]


def _aggregated(proxy: Proxy, total: float, count: int) -> float:
    if proxy.aggregate == "any":
        return float(total != 0)
    if proxy.aggregate == "count":
        return float(count)
    return total if proxy.aggregate == "sum" else total / count if count else math.nan


def _plain(
    proxy: Proxy, since: datetime, until: datetime, report: Report, refused: dict[str, int]
) -> list[tuple[float, float, str]]:
    """A value for each row of the dataset."""
    found: list[tuple[float, float, str]] = []
    for number, (moment, value, whose) in enumerate(
        observations(proxy.source, proxy.timestamp, str(proxy.column), proxy.unit, since, report.folder)
    ):
        why = (
            "untimed"
            if moment is None
            else "future"
            if moment > until.timestamp()
            else "not_a_number"
            if value is None
            else ""
        )
        why = why or ("nameless" if proxy.unit is not None and whose is None else "")
        if why or moment is None or value is None:
            refused[why] = refused.get(why, 0) + 1
        else:
            found.append(
                (
                    moment,
                    float(value != 0) if proxy.aggregate == "any" else value,
                    str(number) if whose is None else whose,
                )
            )
    return found


def _alarm(proxy: Proxy, told: Mapping[str, Any], found: Change, p: float) -> Alarm:
    says = f"{proxy.metric} is {told['value']:.4g} where it was {told['before']:.4g}: worse by more than {proxy.margin:g}, adjusted p {p:.2g}"
    impact = Impact(
        metric=proxy.metric,
        change=found.worse,
        low=found.low,
        high=found.high,
        basis="measured, against the time before",
    )
    return Alarm(
        part="proxies",
        name=proxy.metric,
        says=says,
        method="delta",
        effect=found.worse,
        margin=proxy.margin,
        p_adjusted=p,
        impact=impact,
    )


def _summary(part: ProxiesPart, figures: Mapping[str, Mapping[str, Any]], alarms: list[Alarm]) -> str:
    if alarms:
        return "; ".join(alarm.says for alarm in alarms)
    few = [proxy for proxy in part.proxies if figures[proxy.metric]["verdict"] == Verdict.NO_DATA.value]
    if few:
        found = figures[few[0].metric]
        return f"{few[0].metric}: {found['units']} units in the window and {found['units_before']} before, and {few[0].min_units} of each are needed"
    return f"{', '.join(figures)} as before"


def _draw(figures: Mapping[str, Mapping[str, Any]]) -> str:
    from mlctl.runtime.monitor.outcome_pages import proxies_section

    return proxies_section(figures)
