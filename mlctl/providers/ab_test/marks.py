"""What of the data was not counted, and what may be wrong with it, in sentences for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

_OLD_SECONDS = 86_400.0  # between the newest outcome and the end of the data: then some are probably still to come
_MANY_CROSSED = 0.01  # of the units: then whoever splits them does not keep them apart

_EXPOSURES = {
    "unreadable": "lines of the prediction log cannot be read",
    "shadow": "requests were copies for a shadow",
    "chosen_by_client": "requests were not drawn: they chose their arm by a header, or no gateway split them",
    "before_the_start": "requests came before the experiment began",
    "without_time": "exposures have no time that can be read",
    "without_unit": "exposures name no unit",
    "other_arm": "exposures are to arms that the experiment does not have",
    "after_the_end": "exposures lie after the end of the data: clocks differ, or `--until` is earlier",
}
_OUTCOMES = {
    "repeated": "outcomes repeat another one, and count once",
    "without_unit": "outcomes name no unit",
    "without_time": "outcomes have no time that can be read",
    "after_the_end": "outcomes lie after the end of the data: clocks differ, or `--until` is earlier",
    "of_no_exposed_unit": "outcomes are of units that were not exposed",
    "clock_skew": "outcomes lie up to a minute before the exposure of their unit: clocks may differ",
    "before_exposure": "outcomes lie before the exposure of their unit",
}


def marks(moments: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[str]:
    """All of them, the gravest first."""
    return [
        *_crossed(moments["exposures"]),
        *_gone(moments, outputs),
        *_arms(outputs),
        *_old(moments),
        *_values(moments),
        *_left_out(moments),
    ]


def _crossed(exposures: Mapping[str, int]) -> Iterator[str]:
    crossed, units = exposures["crossed"], exposures["units"]
    if crossed:
        many = (
            " (many: is the same salt used everywhere, and was it changed?)" if crossed > _MANY_CROSSED * units else ""
        )
        yield f"{crossed:,} of {units:,} units were in more than one arm, and count in none{many}"


def _gone(moments: Mapping[str, Any], outputs: Mapping[str, Any]) -> Iterator[str]:
    """Units only come, but for those that were seen in a second arm since."""
    before = max((sum(look["counts"].values()) for look in outputs.get("looks", [])), default=0)
    gone = before - sum(outputs["units"].values()) - moments["exposures"]["crossed"]
    if gone > 0:
        yield f"{gone:,} units of an earlier look are gone: were days of the prediction log, or rows of the exposures, removed?"


def _arms(outputs: Mapping[str, Any]) -> Iterator[str]:
    empty = [arm for arm, count in outputs["units"].items() if not count]
    if empty:
        yield f"no unit was exposed to {', '.join(empty)}"
    for one in outputs["missing"]:
        if one["arm"] not in empty:
            yield f"`{one['metric']}` has too few values to compare {one['arm']}"


def _old(moments: Mapping[str, Any]) -> Iterator[str]:
    newest, until = moments.get("newest_outcome"), moments.get("until")
    if newest is None or until is None:
        return
    seconds = (datetime.fromisoformat(until) - datetime.fromisoformat(newest)).total_seconds()
    if seconds > _OLD_SECONDS:
        yield (
            f"the newest outcome is of {newest[:16].replace('T', ' ')} UTC, {seconds / 86_400:.1f} days before the end of the data: units count "
            "as if they had done nothing since (bring the outcomes up to date and run `mlctl apply`, or give `--until`)"
        )


def _values(moments: Mapping[str, Any]) -> Iterator[str]:
    for name, metric in moments["metrics"].items():
        pending, without = (sum(metric.get(field, {}).values()) for field in ("pending", "without_value"))
        if pending:
            yield f"`{name}`: {pending:,} units are pending, their window is not over"
        if without:
            yield f"`{name}`: {without:,} units have no value, and are left out"
        if metric.get("not_numbers"):
            yield f"`{name}`: {metric['not_numbers']:,} outcomes hold no number, and are left out"
        if metric.get("without_covariate"):
            yield f"`{name}`: {metric['without_covariate']:,} units have no covariate, and count with its mean"


def _left_out(moments: Mapping[str, Any]) -> Iterator[str]:
    for names, counts in ((_EXPOSURES, moments["exposures"]), (_OUTCOMES, moments["outcomes"])):
        for name, says in names.items():
            if counts.get(name):
                yield f"{counts[name]:,} {says}"
