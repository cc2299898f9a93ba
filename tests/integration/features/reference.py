"""Features by their definition, in plain Python over rows: it shares no query and no idea with what it checks."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

Event = dict[str, Any]
Test = Callable[[Event], Any]  # true, false or None, as in SQL

EPOCH = datetime(1970, 1, 1)
KEYS = ("house", "shop")
COLUMNS = {
    "house": "bigint", "shop": "varchar", "at": "timestamp", "price": "double", "pieces": "integer", "tag": "varchar",
    "amount": "decimal(9,2)", "back": "boolean", "small": "float",
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A feature: as the project states it in SQL, and what its filter and its columns are in Python."""

    name: str
    how: str
    column: str | None
    steps: int
    over: str | None = None
    where: tuple[str, Test] | None = None

    def column_json(self) -> dict[str, Any]:
        """As the worker is asked for it."""
        return {
            "name": self.name,
            "aggregate": self.how,
            "column": self.column,
            "over": self.over,
            "where": self.where and self.where[0],
            "window_steps": self.steps,
            "dtype": "int64" if self.how.startswith("count") else "float64",
        }

    def value(self, events: Sequence[Event]) -> Any:
        """The feature over the events of its window."""
        taken = [event for event in events if self.where is None or self.where[1](event) is True]
        if self.how == "ratio":
            below = len(events) if self.over is None else total(events, self.over)
            above = len(taken) if self.column is None else total(taken, self.column)
            return float(above) / float(below) if below else None
        if self.column is None:
            return len(taken)
        values = [event[self.column] for event in taken if event[self.column] is not None]
        if self.how == "count":
            return len(values)
        if self.how == "count_distinct":
            return len(set(values))
        if self.how == "sum":
            return float(total(taken, self.column))
        if not values or (self.how == "std" and len(values) < 2):
            return None
        if self.how == "last":
            return float(max((event["at"], event[self.column]) for event in taken if event[self.column] is not None)[1])
        exact = [Fraction(value) for value in values]
        if self.how == "mean":
            return float(sum(exact) / len(exact))
        if self.how == "std":
            return float(statistics.variance(exact)) ** 0.5
        return float(min(values) if self.how == "min" else max(values))


def total(events: Sequence[Event], column: str) -> Fraction:
    """The exact sum of a column."""
    return sum((Fraction(event[column]) for event in events if event[column] is not None), Fraction(0))


def snapshots(
    events: Sequence[Event], wanted: Sequence[Wanted], grid: timedelta, where: Test | None = None
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Every snapshot of a dense view by its keys and time: for each key and step, look at all events of each window."""
    known = [event for event in events if event["at"] is not None and all(event[key] is not None for key in KEYS)]
    known = [event for event in known if where is None or where(event) is True]
    if not known:
        return {}
    last = max((event["at"] - EPOCH) // grid for event in known)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key in {tuple(event[name] for name in KEYS) for event in known}:
        mine = [event for event in known if tuple(event[name] for name in KEYS) == key]
        for step in range(min((event["at"] - EPOCH) // grid for event in mine), last + 1):
            end = EPOCH + (step + 1) * grid
            rows[*key, end] = {
                item.name: item.value([event for event in mine if end - item.steps * grid <= event["at"] < end])
                for item in wanted
            }
    return rows


def joined(
    label: tuple[Any, ...], at: datetime | None, rows: dict[tuple[Any, ...], dict[str, Any]], ttl: timedelta | None
) -> dict[str, Any] | None:
    """The features of a key as they were known at a moment; None when there were none, or none that is still good."""
    if at is None:
        return None
    times = [place[-1] for place in rows if place[:-1] == label and place[-1] <= at]
    if not times or (ttl is not None and at - max(times) > ttl):
        return None
    return rows[*label, max(times)]
