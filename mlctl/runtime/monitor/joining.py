"""Join rows of a dataset, labels or events, to the predictions that they are about. What does not fit is counted by name."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlctl.runtime.monitor.window import category, log_rows
from mlctl.runtime.profile.database import database, quote
from mlctl.runtime.profile.source import relation
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.labels import Joining
from mlctl.types.jobs.profile import Source

_CHUNK = 50_000
_AFTER_ANSWER_SECONDS = 2.0  # a prediction is logged after its answer was sent, and a label may be quicker
Key = tuple[str | None, ...]


@dataclass
class Predictions:
    """Predictions of a log, oldest first. A score or a decision that is no number is NaN."""

    times: array[float] = field(default_factory=lambda: array("d"))  # Unix seconds
    scores: array[float] = field(default_factory=lambda: array("d"))
    decided: array[float] = field(default_factory=lambda: array("d"))
    versions: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    units: list[str] = field(default_factory=list)  # what several predictions may have in common

    def __len__(self) -> int:
        return len(self.times)

    def sorted(self) -> Predictions:
        """The same by time; what came at one time stays in the order of the log."""
        if all(one <= other for one, other in pairwise(self.times)):
            return self
        order = sorted(range(len(self)), key=self.times.__getitem__)
        times, scores, decided = (
            array("d", map(column.__getitem__, order)) for column in (self.times, self.scores, self.decided)
        )
        versions, ids, units = ([column[place] for place in order] for column in (self.versions, self.ids, self.units))
        return Predictions(times, scores, decided, versions, ids, [self.keys[place] for place in order], units)


@dataclass(frozen=True, slots=True)
class Event:
    """A row of a dataset: when, about what, and its value; None for what is missing."""

    time: float | None
    id: str | None
    key: Key
    value: float | None


def read_predictions(folder: Path, since: datetime, until: datetime, key: list[str]) -> Predictions:
    """What the version in charge answered between two moments. Rows of a log may be out of order by a little."""
    found = Predictions()
    known: dict[Any, Any] = {}  # versions, keys and units come again and again, and are kept once
    for row in log_rows(folder, since, until):
        asked = row["key"] if isinstance(row.get("key"), dict) else {}
        id = str(row.get("request_id"))
        whose = row.get("unit") or (sorted((name, str(value)) for name, value in asked.items()) if asked else id)
        found.times.append(row["ts"].timestamp())
        found.scores.append(_number(row.get("score")))
        found.decided.append(_number(row.get("prediction")))
        found.ids.append(id)
        asked_for = tuple(category(asked.get(name)) for name in key)
        found.versions.append(known.setdefault(version := str(row.get("version")), version))
        found.keys.append(known.setdefault(asked_for, asked_for))
        found.units.append(id if whose is id else known.setdefault(unit := str(whose), unit))
    return found.sorted()


def events(joining: Joining, value: str | None, since: datetime, folder: Path) -> Iterator[Event]:
    """Rows of the dataset since a moment, and those without a time, in an order of their own. Raises MlctlError."""
    named = [name for name in (joining.id, *joining.key) if name is not None]
    for moment, number, *texts in _rows(joining.source, joining.timestamp, value, named, since, folder):
        id = texts.pop(0) if joining.id is not None else None
        yield Event(moment, id, tuple(category(text) for text in texts), number)


def observations(
    source: Source, timestamp: str, value: str, unit: str | None, since: datetime, folder: Path
) -> Iterator[tuple[float | None, float | None, str | None]]:
    """Rows that are about no prediction: when, what, and whose. Raises MlctlError."""
    for moment, number, *texts in _rows(source, timestamp, value, [unit] if unit is not None else [], since, folder):
        yield moment, number, texts[0] if texts else None


class Finder:
    """Finds the prediction that an event is about."""

    def __init__(self, predictions: Predictions, joining: Joining) -> None:
        self._predictions = predictions
        self._joining = joining
        self._places: dict[Any, list[int]] = {}
        for index in range(len(predictions)):
            if None in predictions.keys[index]:
                continue  # nobody knows what it was about
            self._places.setdefault(self._mark(predictions.ids[index], predictions.keys[index]), []).append(index)

    def find(self, event: Event) -> int | str:
        """The prediction's place, or why there is none.

        By request id there is one. By key alone, it is the latest at or before the event: a later one knew more.
        """
        if event.time is None:
            return "untimed"
        if None in event.key or (self._joining.id is not None and event.id is None):
            return "nameless"
        places = self._places.get(self._mark(event.id, event.key))
        if places is None:
            return "unmatched"
        times = self._predictions.times
        if self._joining.id is not None:
            if len(places) > 1:
                return "ambiguous"
            place = places[0]
            if event.time < times[place] - _AFTER_ANSWER_SECONDS:
                return "early"
        else:
            before = bisect_right(places, event.time, key=times.__getitem__)
            if not before:
                return "unmatched"
            place = places[before - 1]
        return place if event.time - times[place] <= self._joining.within_window_seconds else "late"

    def findable(self) -> list[bool]:
        """Of each prediction, whether an event can be told to be about it: not without its key, nor one of several of a request."""
        known = [False] * len(self._predictions)
        for places in self._places.values():
            for place in places if self._joining.id is None or len(places) == 1 else ():
                known[place] = True
        return known

    def superseded(self, labelled: Any) -> list[int]:
        """Predictions without a label that another one of the same key followed while a label could come: it has got that label."""
        if self._joining.id is not None:
            return []
        times, wait = self._predictions.times, self._joining.within_window_seconds
        return [
            place
            for places in self._places.values()
            for place, later in pairwise(places)
            if not labelled[place] and times[later] - times[place] <= wait
        ]

    def _mark(self, id: str | None, key: Key) -> Any:
        if self._joining.id is None:
            return key
        return (id, key) if self._joining.key else id


def _rows(
    source: Source, timestamp: str, value: str | None, named: list[str], since: datetime, folder: Path
) -> Iterator[tuple[Any, ...]]:
    """Time, value and texts of rows; numbers that are no finite ones are None."""
    number = "NULL::DOUBLE" if value is None else f"TRY_CAST({quote(value)} AS DOUBLE)"
    moment = f"CAST({quote(timestamp)} AS TIMESTAMP)"
    if source.columns.get(timestamp) == "date":
        moment = f"({moment} + INTERVAL 86399 SECOND)"  # what is known on a day is known at its end
    texts = "".join(f", CAST({quote(name)} AS VARCHAR) AS t{index}" for index, name in enumerate(named))
    query = (
        f"SELECT epoch({moment}) AS moment, {number} AS number{texts} FROM {relation(source)} "  # noqa: S608
        f"WHERE {quote(timestamp)} IS NULL OR {moment} >= TIMESTAMP '{_stamp(since)}' ORDER BY ALL"
    )
    with database(folder) as connection:
        _refuse_gone(connection, source, [timestamp, *named, *([] if value is None else [value])])
        cursor = connection.execute(query)
        while rows := cursor.fetchmany(_CHUNK):
            for moment_, number_, *rest in rows:
                finite = number_ is not None and math.isfinite(number_)
                yield (moment_, number_ if finite else None, *rest)


def _refuse_gone(connection: Any, source: Source, names: list[str]) -> None:
    """Raise MlctlError for columns that the files had when they were applied, and have no more."""
    found = {item[0].lower() for item in connection.execute(f"DESCRIBE SELECT * FROM {relation(source)}").fetchall()}  # noqa: S608
    gone = [name for name in names if name.lower() not in found]
    if gone:
        raise MlctlError.of(
            "monitor.no-column",
            f"`{gone[0]}` is no column of {', '.join(source.files[:3])} any more",
            f"it was when the monitor was applied; its columns are {', '.join(sorted(found)[:12])}",
            "put it back, or name another one in the monitor and run `mlctl apply`",
        )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan
