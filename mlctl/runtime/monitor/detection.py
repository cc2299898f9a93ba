"""Feed ripe labels to a detector that remembers: it goes on where the run before left off, and nothing is fed twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlctl.runtime.monitor.cohorts import SUPERSEDED, Ripe, day_of
from mlctl.stats.adwin import Adwin
from mlctl.stats.e_detector import EDetector
from mlctl.stats.limits import binomial_limits
from mlctl.types.jobs.labels import LabelsPart
from mlctl.types.spoken import spoken_seconds

_DELTA = 0.002  # of ADWIN, as everywhere
_KEPT_DAYS = 400
_CONFIDENCE = 0.975  # of each end of an interval


@dataclass(frozen=True)
class Detection:
    """Where the detector stands; `crossed` from its alarm on, until something else is looked for."""

    crossed: bool
    says: str
    figures: dict[str, Any]
    memory: dict[str, Any]
    rise: float | None = None  # of the mean loss since the change, over the bound
    low: float | None = None
    high: float | None = None


def losses(part: LabelsPart, rows: Ripe) -> Any:
    """What each row lost, between 0 and 1; NaN where it cannot be told."""
    if part.loss == "brier":
        return (rows.scores - rows.labels) ** 2
    if part.loss == "exceedance":
        return np.where(np.isfinite(rows.scores - rows.labels), np.abs(rows.scores - rows.labels) > part.beyond, np.nan)
    return np.where(np.isfinite(rows.decided) & np.isfinite(rows.labels), rows.decided != rows.labels, np.nan)


def detect(part: LabelsPart, rows: Ripe, since: float, limit: float, memory: Mapping[str, Any]) -> Detection:
    """Feed what ripened since the run before; with another bound, model or wait, begin anew.

    `rows` are those between two moments: what ripened before, while no run was made, is lost to the detector, and told. As
    long as too few of what ripened since have a label, all of it waits: labels that are on their way would be passed over.
    """
    known = memory if memory.get("identity") == part.identity else {}
    lost = losses(part, rows)
    since_then = rows.times > known.get("through", -np.inf)
    fresh = np.isfinite(lost) & since_then
    expected = since_then & (rows.states != SUPERSEDED)
    waits = np.count_nonzero(expected & np.isfinite(rows.labels)) < part.min_coverage * np.count_nonzero(expected)
    waiting = int(np.count_nonzero(fresh)) if waits else 0
    if waits:
        fresh, limit = np.zeros_like(fresh), known.get("through", since)
    detector = _detector(part, known)
    before = detector.rows
    days: dict[str, list[float]] = {day: list(item) for day, item in known.get("days", {}).items()}
    for moment, loss in zip(rows.times[fresh], lost[fresh], strict=True):
        counted = days.setdefault(day_of(float(moment)), [0, 0.0])
        counted[0] += 1
        counted[1] += float(loss)
    detector.feed([min(max(float(loss), 0.0), 1.0) for loss in lost[fresh]])
    days = dict(sorted(days.items())[-_KEPT_DAYS:])
    kept = {
        "identity": part.identity,
        "through": max(limit, known.get("through", limit)),
        "waits": bool(waits),
        "days": days,
        "before": detector.rows
        - sum(int(item[0]) for item in days.values()),  # rows of days that are not kept any more
        "detector": detector.memory(),
    }
    gap = max(since - known.get("through", since), 0.0)
    why = "had too few labels" if known.get("waits") else "went by without a run"
    unseen = f"; {spoken_seconds(gap)} {why}, and were not looked at" if gap else ""
    if waiting:
        unseen += f"; {waiting} labels wait until {part.min_coverage:.0%} of the predictions that ripened have one"
    figures = {"fed": detector.rows - before, "waiting": waiting, "gap_seconds": gap}
    return _told(part, detector, days, kept, figures, unseen)


def _detector(part: LabelsPart, known: Mapping[str, Any]) -> EDetector | Adwin:
    if part.detector == "adwin":
        return Adwin.remembered(_DELTA, known["detector"]) if known else Adwin(_DELTA)
    if part.baseline is None or part.run_length is None:
        raise ValueError("an e-detector has a bound and a run length")
    if known:
        return EDetector.remembered(part.baseline, part.run_length, known["detector"])
    return EDetector(part.baseline, part.run_length)


def _told(
    part: LabelsPart,
    detector: EDetector | Adwin,
    days: Mapping[str, list[float]],
    kept: dict[str, Any],
    fed: Mapping[str, float],
    unseen: str,
) -> Detection:
    row, start = _crossing(detector)
    figures: dict[str, Any] = {
        "method": part.detector, "loss": part.loss, "baseline": part.baseline, "run_length": part.run_length, "rows": detector.rows, **fed,
        "level": detector.level if isinstance(detector, EDetector) else detector.mean, "crossed_on": None, "since": None, "delay_rows": None, "mean_since": None,
    }  # fmt: skip
    bound = "" if part.baseline is None else f" from {part.baseline:.4g}"
    if row is None or start is None:
        says = f"{part.loss}{bound}: no change in {detector.rows} labels{unseen}"
        return Detection(False, says, {**figures, "says": says}, kept)
    since, crossed = _day(start + 1, days, kept["before"]), _day(row, days, kept["before"])
    late = [item for day, item in days.items() if since is None or day >= since]
    count, total = int(sum(item[0] for item in late)), sum(item[1] for item in late)
    mean = total / count if count else None
    figures |= {"crossed_on": crossed, "since": since, "delay_rows": row - start, "mean_since": mean}
    says = (
        f"{part.loss}{bound} has risen{'' if mean is None else f' to {mean:.4g}'}, since about {since or 'long ago'}; "
        f"seen on {crossed or 'a day long past'}, {row - start} labels later{unseen}"
    )
    before = part.baseline if part.baseline is not None else _mean_before(days, since)
    if mean is None or before is None:
        return Detection(True, says, {**figures, "says": says}, kept)
    low, high = _interval(total, count, part.loss)
    return Detection(True, says, {**figures, "says": says}, kept, mean - before, low - before, high - before)


def _crossing(detector: EDetector | Adwin) -> tuple[int | None, int | None]:
    """After which row the detector alarmed, and how many rows came before the change."""
    if isinstance(detector, Adwin):
        return detector.risen, detector.start
    return (None, None) if detector.crossing is None else (detector.crossing.row, detector.crossing.start)


def _day(row: int, days: Mapping[str, list[float]], before: int) -> str | None:
    """The day of the row of this number; None for one of a day that is not kept any more."""
    seen = before
    if row <= seen:
        return None
    for day, (count, _) in days.items():
        seen += int(count)
        if row <= seen:
            return day
    return None


def _mean_before(days: Mapping[str, list[float]], since: str | None) -> float | None:
    early = [item for day, item in days.items() if since is not None and day < since]
    count = sum(item[0] for item in early)
    return sum(item[1] for item in early) / count if count else None


def _interval(total: float, count: int, loss: str) -> tuple[float, float]:
    if loss == "brier":  # its variance is at most that of a rate
        mean = total / count
        reach = 1.96 * (mean * (1 - mean) / count) ** 0.5
        return mean - reach, mean + reach
    return binomial_limits(round(total), count, _CONFIDENCE)
