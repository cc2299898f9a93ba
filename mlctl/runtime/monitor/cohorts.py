"""Predictions with what came of them, by the day of the prediction. All that is measured is of one age: that of ripe labels."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mlctl.runtime.monitor.joining import Event, Finder, Predictions
from mlctl.stats.performance import measure

NONE, LABELLED, CONTRADICTORY, SUPERSEDED = range(4)
# Labels that count for nothing, by name: about no prediction of the log, before its prediction, after the wait was over, later than
# this run, not the only row of their request, without a time, without a name, no number, no class, said before, said otherwise before.
REFUSED = (
    "unmatched", "early", "late", "future", "ambiguous", "untimed", "nameless", "not_a_number", "not_a_class", "repeated", "contradictory",
)  # fmt: skip


@dataclass
class Outcomes:
    """The label of each prediction, or why it has none."""

    labels: array[float]
    lags: array[float]
    states: bytearray
    refused: Counter[str] = field(default_factory=Counter)
    rows: int = 0  # of labels


@dataclass(frozen=True)
class Ripe:
    """Predictions that are old enough, as arrays; a label that is missing is NaN."""

    times: Any
    scores: Any
    decided: Any
    labels: Any
    states: Any


def label(predictions: Predictions, finder: Finder, found: Iterable[Event], until: float, classes: bool) -> Outcomes:
    """Give each prediction its label. The first one counts; a second that says otherwise makes both count for nothing."""
    count = len(predictions)
    outcomes = Outcomes(array("d", [math.nan]) * count, array("d", [math.nan]) * count, bytearray(count))
    for event in found:
        outcomes.rows += 1
        place = _place(event, finder, until, classes)
        if isinstance(place, str):
            outcomes.refused[place] += 1
        elif outcomes.states[place] == NONE and event.value is not None and event.time is not None:
            outcomes.states[place] = LABELLED
            outcomes.labels[place], outcomes.lags[place] = event.value, max(event.time - predictions.times[place], 0.0)
        elif outcomes.labels[place] == event.value:
            outcomes.refused["repeated"] += 1
        else:
            outcomes.refused["contradictory"] += 1
            outcomes.states[place], outcomes.labels[place] = CONTRADICTORY, math.nan
    for place in finder.superseded([state != NONE for state in outcomes.states]):
        outcomes.states[place] = SUPERSEDED
    return outcomes


def _place(event: Event, finder: Finder, until: float, classes: bool) -> int | str:
    if event.time is not None and event.time > until:
        return "future"
    place = finder.find(event)
    if isinstance(place, str):
        return place
    if event.value is None:
        return "not_a_number"
    return "not_a_class" if classes and event.value not in (0.0, 1.0) else place


def ripe(predictions: Predictions, outcomes: Outcomes, limit: float, version: str | None) -> Ripe:
    """The predictions up to a moment, of one version or of all."""
    times = np.asarray(predictions.times)
    chosen = times <= limit
    if version is not None:
        chosen &= np.asarray([item == version for item in predictions.versions], dtype=bool)
    states = np.frombuffer(bytes(outcomes.states), dtype=np.uint8)
    columns = (times, predictions.scores, predictions.decided, outcomes.labels, states)
    return Ripe(*(np.asarray(column)[chosen] for column in columns))


def coverage(states: Any) -> float | None:
    """Of predictions that should have a label, the share that has one."""
    expected = int(np.count_nonzero(states != SUPERSEDED))
    return int(np.count_nonzero(states == LABELLED)) / expected if expected else None


def counts(predictions: Predictions, outcomes: Outcomes, limit: float) -> dict[str, int]:
    """How many predictions have a label, wait for one, or will get none any more."""
    states, young = np.frombuffer(bytes(outcomes.states), dtype=np.uint8), np.asarray(predictions.times) > limit
    return {
        "labelled": int(np.count_nonzero(states == LABELLED)), "pending": int(np.count_nonzero((states == NONE) & young)),
        "missing": int(np.count_nonzero((states == NONE) & ~young)), "contradictory": int(np.count_nonzero(states == CONTRADICTORY)),
        "superseded": int(np.count_nonzero(states == SUPERSEDED)),
    }  # fmt: skip


def lags(outcomes: Outcomes, predictions: Predictions, limit: float) -> dict[str, float | None]:
    """How long labels of ripe predictions took. Those of younger ones would tell of the quick ones only."""
    chosen = np.asarray(outcomes.lags)[np.asarray(predictions.times) <= limit]
    chosen = chosen[np.isfinite(chosen)]
    if not len(chosen):
        return {"p50": None, "p95": None}
    return {"p50": float(np.quantile(chosen, 0.5)), "p95": float(np.quantile(chosen, 0.95))}


def by_day(predictions: Predictions, outcomes: Outcomes, limit: float, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each day (UTC) and version: how many there are, how ripe they are, and what the ripe ones show."""
    places: dict[tuple[str, str], list[int]] = {}
    for index, moment in enumerate(predictions.times):
        places.setdefault((day_of(moment), predictions.versions[index]), []).append(index)
    times, states = np.asarray(predictions.times), np.frombuffer(bytes(outcomes.states), dtype=np.uint8)
    scores, decided, labels = (np.asarray(item) for item in (predictions.scores, predictions.decided, outcomes.labels))
    rows = []
    for (day, version), members in sorted(places.items()):
        chosen = np.asarray(members)
        old = chosen[times[chosen] <= limit]
        found = {metric: measure(metric, labels[old], scores[old], decided[old]) for metric in metrics}
        missing = int(np.count_nonzero(states[old] == NONE))
        rows.append({
            "day": day, "version": version, "predictions": len(chosen), "maturity": len(old) / len(chosen),
            "labelled": int(np.count_nonzero(states[chosen] == LABELLED)), "missing": missing,
            "pending": int(np.count_nonzero(states[chosen] == NONE)) - missing, "coverage": coverage(states[old]),
            "metrics": {name: None if item is None else item.value for name, item in found.items()},
        })  # fmt: skip
    return rows


def day_of(moment: float) -> str:
    """The UTC day of a Unix time."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()
