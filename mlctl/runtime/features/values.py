"""Rules about single values: are an offline and an online one the same. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlctl.types.jobs.features import Difference, KeyValue, Parity, ParityParams

Value = float | int | None
KeyOf = KeyValue | list[KeyValue]  # a list for a key of several columns
Row = tuple[KeyOf, Mapping[str, Value], Mapping[str, Value]]  # key, offline values, online values

SMALLEST = 1e-9  # differences are relative to the offline value, or to this where it is near zero


@dataclass
class Verdict:
    """What a comparison has found so far; rows come in portions, and none of them is kept but the worst."""

    features: tuple[str, ...]
    tolerance: float
    keys: int = 0
    ahead: int = 0
    mismatched: int = 0
    nulls: int = 0
    largest: float = 0.0
    worst: Difference | None = field(default=None)

    def add(self, rows: Iterable[Row]) -> None:
        """Compare value by value. The worst difference is a null on one side only, then the largest relative one."""
        for key, wanted, got in rows:
            self.keys += 1
            for feature in self.features:
                self._compare(key, feature, wanted[feature], got[feature])

    def _compare(self, key: KeyOf, feature: str, offline: Value, online: Value) -> None:
        found = difference(key, feature, offline, online)
        if found is None:
            return
        if found.relative is None:
            self.nulls += 1
        else:
            self.mismatched += found.relative > self.tolerance
            self.largest = max(self.largest, found.relative)
        if self.worst is None or rank(found) > rank(self.worst):
            self.worst = found

    def result(self, view: str, at: str) -> Parity:
        """The verdict. Nothing that could be compared is no proof: only an empty view passes without a key."""
        compared = self.keys > 0 or self.ahead == 0
        return Parity(
            passed=compared and self.mismatched + self.nulls == 0,
            view=view,
            at=at,
            keys=self.keys,
            values=self.keys * len(self.features),
            ahead=self.ahead,
            mismatched=self.mismatched,
            null_mismatches=self.nulls,
            max_relative=self.largest,
            tolerance=self.tolerance,
            worst=self.worst,
        )


def judge(params: ParityParams, rows: Iterable[Row], at: str) -> Parity:
    """The verdict on all rows at once."""
    verdict = Verdict(tuple(params.source.features), params.tolerance)
    verdict.add(rows)
    return verdict.result(params.source.view, at)


def difference(key: KeyOf, feature: str, offline: Value, online: Value) -> Difference | None:
    """How two values differ; None when they are the same. What is not a finite number counts as missing."""
    offline, online = finite(offline), finite(online)
    if offline == online:
        return None
    if offline is None or online is None:
        return Difference(key=key, feature=feature, offline=offline, online=online, relative=None)
    relative = abs(offline - online) / max(abs(offline), SMALLEST)
    return Difference(key=key, feature=feature, offline=offline, online=online, relative=relative)


def finite(value: Value) -> Value:
    """A value, or None for what counts as missing."""
    return value if value is not None and math.isfinite(value) else None


def rank(item: Difference) -> float:
    """How bad a difference is."""
    return math.inf if item.relative is None else item.relative
