"""What a language model was asked and answered, of a window and of the time before it, as the prediction log has it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mlctl.runtime.monitor.window import log_rows, seconds_before
from mlctl.stats.ratio_change import Ratio
from mlctl.types.jobs.monitor import MonitorJob
from mlctl.types.jobs.monitor_llm import GOLDEN_TEMPLATE

Row = Mapping[str, Any]
_CHARACTERS = 16_000  # of a text that are looked at


@dataclass
class Span:
    """What happened between two moments. `first` is the first request that the log has at all."""

    since: datetime
    until: datetime
    rows: list[dict[str, Any]] = field(default_factory=list)
    first: datetime | None = None

    @property
    def days(self) -> float:
        """How long the log covers it: a deployment that is younger than the span was not there before."""
        begin = self.since if self.first is None else max(self.since, self.first)
        return max((self.until - begin).total_seconds(), 1.0) / 86400

    def values(self, name: str) -> list[float]:
        """The numbers in a field, where there are any."""
        return [value for row in self.rows if (value := number(row.get(name))) is not None]


@dataclass(frozen=True)
class Spans:
    """The window, and the time before it."""

    now: Span
    before: Span

    def only(self, wanted: Callable[[Row], bool]) -> Spans:
        """Some of the requests."""
        return Spans(*(Span(one.since, one.until, list(filter(wanted, one.rows)), one.first) for one in (self.now, self.before)))  # fmt: skip

    def lacking(self, least: int) -> str:
        """Why nothing can be said, if so."""
        now, before = len(self.now.rows), len(self.before.rows)
        if min(now, before) >= least:
            return ""
        return f"{now} requests in the window and {before} before, and {least} of each are needed"


def read(job: MonitorJob, window: float, baseline: float, fields: Iterable[str]) -> Spans:
    """Requests to a language model that were answered, each with the fields that are asked for and its unit and moment."""
    until = datetime.fromisoformat(job.until)
    split = until - timedelta(seconds=window)
    since = seconds_before(split, baseline)
    spans = Spans(Span(split, until), Span(since, split))
    names = tuple(fields)
    for row in _answers(Path(job.predictions), since, until):
        span = spans.now if row["ts"] > split else spans.before
        if spans.before.first is None or row["ts"] < spans.before.first:
            spans.before.first = row["ts"]
        kept = {name: _cut(row.get(name)) for name in names}
        kept["ts"], kept["whose"] = row["ts"], str(row.get("unit") or row.get("request_id"))
        span.rows.append(kept)
    spans.now.first = spans.before.first
    return spans


def _answers(folder: Path, since: datetime, until: datetime) -> Iterator[Row]:
    for row in log_rows(folder, since, until):
        if "completion_tokens" in row and row.get("template") != GOLDEN_TEMPLATE:
            yield row


def drawn(rows: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many, as if at random, and the same ones whenever they are looked at: by a digest of the request's id."""
    if len(rows) <= most:
        return list(rows)
    return sorted(rows, key=lambda row: blake2b(str(row.get("request_id")).encode(), digest_size=8).digest())[:most]


def _cut(value: Any) -> Any:
    """Texts of a bounded length. What is made of parts is none of the middleware's fields."""
    if isinstance(value, list | dict):
        return None
    return value[:_CHARACTERS] if isinstance(value, str) else value


def number(value: Any) -> float | None:
    """A finite number, or None. True and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def by_unit(rows: Sequence[Row], value: Callable[[Row], float | None], scale: float = 1.0) -> Ratio:
    """Sums over units: requests of one user are not independent. Rows without a value do not count."""
    units: dict[str, list[float]] = {}
    for row in rows:
        found = value(row)
        if found is not None:
            counted = units.setdefault(row["whose"], [0.0, 0.0])
            counted[0] += found * scale
            counted[1] += 1
    ratio = Ratio()
    for total, count in units.values():
        ratio.add(total, count)
    return ratio
