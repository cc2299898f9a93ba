"""Alarms are ranked by what they may cost, and what is surely harmless alarms nobody."""

from __future__ import annotations

from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.program import together
from mlctl.runtime.monitor.ranking import ranked
from mlctl.stats.drift import Verdict
from mlctl.types.jobs.monitor import Alarm, Impact, MonitorJob, Parts


def alarm(
    name: str, p: float | None = None, cost: tuple[float, float, float] | None = None, metric: str = "roc_auc"
) -> Alarm:
    impact = (
        None if cost is None else Impact(metric=metric, change=cost[0], low=cost[1], high=cost[2], basis="estimated")
    )
    return Alarm(part="data", name=name, says=f"{name} moved", method="ks", p_adjusted=p, impact=impact)


def test_known_costs_come_first_and_the_largest_ahead() -> None:
    few, many = alarm("few", 0.001, (0.01, 0.0, 0.02)), alarm("many", 0.01, (0.2, 0.1, 0.3))
    sure, unsure, untested = alarm("sure", 1e-9), alarm("unsure", 0.04), alarm("untested")
    found, digest = ranked([untested, unsure, few, sure, many], {})
    assert [item.name for item in found] == ["many", "few", "sure", "unsure", "untested"]
    assert digest == []


def test_costs_of_different_metrics_are_compared_by_what_the_project_minds() -> None:
    auc, error = alarm("auc", cost=(0.05, 0.04, 0.06)), alarm("error", cost=(0.3, 0.2, 0.4), metric="mae")
    assert [item.name for item in ranked([auc, error], {"roc_auc": 0.01, "mae": 0.1})[0]] == ["auc", "error"]
    assert [item.name for item in ranked([auc, error], {})[0]] == ["error", "auc"]


def test_only_what_is_surely_below_the_limit_is_harmless() -> None:
    limits = {"roc_auc": 0.02}
    surely, maybe, unknown = (
        alarm("surely", cost=(0.005, 0.0, 0.019)),
        alarm("maybe", cost=(0.005, 0.0, 0.03)),
        alarm("unknown"),
    )
    other = alarm("other", cost=(0.0001, 0.0, 0.0002), metric="mae")
    found, digest = ranked([surely, maybe, unknown, other], limits)
    assert [item.name for item in digest] == ["surely"]
    assert {item.name for item in found} == {"maybe", "unknown", "other"}


def job(**limits: float) -> MonitorJob:
    return MonitorJob(monitor="m", predictions="p", until="2026-01-01T00:00:00+00:00", parts=Parts(), min_impact=limits)


def test_a_run_of_harmless_alarms_is_ok_and_tells_of_them_in_its_digest() -> None:
    found = {"data": Found(Verdict.ALARM, "age drifted", {}, (alarm("age", 0.001, (0.001, 0.0, 0.002)),))}
    paged, quiet = together(job(), found), together(job(roc_auc=0.02), found)
    assert (paged["verdict"], [item["name"] for item in paged["alarms"]], paged["digest"]) == ("alarm", ["age"], [])
    assert (quiet["verdict"], quiet["alarms"], [item["name"] for item in quiet["digest"]]) == ("ok", [], ["age"])
    assert quiet["summary"].endswith("1 harmless: age")
    assert quiet["parts"]["data"]["verdict"] == "alarm"  # what was found stays what it was


def test_a_harmless_alarm_does_not_hide_missing_data_or_another_alarm() -> None:
    harmless = Found(Verdict.ALARM, "age drifted", {}, (alarm("age", 0.001, (0.001, 0.0, 0.002)),))
    lacking = Found(Verdict.NO_DATA, "too few rows", {})
    grave = Found(Verdict.ALARM, "labels moved", {}, (alarm("labels", 0.001),))
    assert together(job(roc_auc=0.02), {"data": harmless, "labels": lacking})["verdict"] == "no_data"
    assert together(job(roc_auc=0.02), {"data": harmless, "labels": grave})["verdict"] == "alarm"
    silent = Found(Verdict.ALARM, "it alarms without saying of what", {})
    assert together(job(roc_auc=0.02), {"data": harmless, "labels": silent})["verdict"] == "alarm"
