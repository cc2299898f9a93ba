"""Rules about single values: is one still good, and are an offline and an online one the same. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from mlctl.types.jobs.features import Difference, Parity, ParityParams

Value = float | int | None
Row = tuple[int | str, Mapping[str, Value], Mapping[str, Value]]  # key, offline values, online values

_SMALLEST = 1e-9  # differences are relative to the offline value, or to this where it is near zero


def is_alive(seconds: float, now: float, ttl_seconds: int | None) -> bool:
    """Whether a value of some event time may be used now; the rule of the point-in-time join. All in epoch seconds."""
    return seconds <= now and (ttl_seconds is None or now - seconds <= ttl_seconds)


def judge(params: ParityParams, rows: Iterable[Row]) -> Parity:
    """Compare value by value. The worst difference is a null on one side only, then the largest relative one."""
    keys = mismatched = nulls = 0
    largest = 0.0
    worst: Difference | None = None
    for key, wanted, got in rows:
        keys += 1
        for feature in params.source.features:
            found = _difference(key, feature, wanted[feature], got[feature])
            if found is None:
                continue
            if found.relative is None:
                nulls += 1
            else:
                mismatched += found.relative > params.tolerance
                largest = max(largest, found.relative)
            if worst is None or _rank(found) > _rank(worst):
                worst = found
    return Parity(
        passed=mismatched + nulls == 0,
        view=params.source.view,
        at=params.at,
        keys=keys,
        values=keys * len(params.source.features),
        mismatched=mismatched,
        null_mismatches=nulls,
        max_relative=largest,
        tolerance=params.tolerance,
        worst=worst,
    )


def _difference(key: int | str, feature: str, offline: Value, online: Value) -> Difference | None:
    """How two values differ; None when they are the same. What is not a finite number counts as missing."""
    offline, online = _finite(offline), _finite(online)
    if offline == online:
        return None
    if offline is None or online is None:
        return Difference(key=key, feature=feature, offline=offline, online=online, relative=None)
    relative = abs(offline - online) / max(abs(offline), _SMALLEST)
    return Difference(key=key, feature=feature, offline=offline, online=online, relative=relative)


def _finite(value: Value) -> Value:
    return value if value is not None and math.isfinite(value) else None


def _rank(item: Difference) -> float:
    return math.inf if item.relative is None else item.relative
