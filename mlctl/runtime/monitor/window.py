"""Read the rows of a prediction log that fall into a window, line by line, into one compact column for each feature.

It is read backwards, so that of each key the latest row is the one that is seen first.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.files.day_logs import day_files
from mlctl.stats.sketch import category as category
from mlctl.types.jobs.monitor import MODEL_CODES

_ROLE = "stable"
_SEED = 20_261_122
MOST_DRAWN = 5000
_MOST_UNKNOWN = 50
_LARGEST = sys.float_info.max
_BLOCK = 1 << 20


@dataclass
class Numbers:
    """A numeric column; what is missing or is no number is NaN. Rows without the feature have no value and count as `absent`."""

    values: array[float] = field(default_factory=lambda: array("d"))
    odd: int = 0  # values that are there and are no numbers
    absent: int = 0

    def add(self, value: Any) -> None:
        """One more row."""
        try:
            number = float(value) if isinstance(value, int | float) else math.nan
        except OverflowError:
            number = math.nan
        self.odd += value is not None and not isinstance(value, int | float)
        self.values.append(number if math.isfinite(number) else math.nan)


@dataclass
class Categories:
    """A categorical column: how often each value came, None for missing. Rows without the feature count as `absent`."""

    counts: dict[str | None, int] = field(default_factory=dict)
    odd: int = 0  # values that are no text, number or truth
    absent: int = 0

    def add(self, value: Any) -> None:
        """One more row."""
        name = category(value)
        self.odd += isinstance(value, dict | list)
        self.counts[name] = self.counts.get(name, 0) + 1


@dataclass
class Window:
    """What a log holds between two moments. `rows` are distinct predictions; what else was seen is counted apart."""

    columns: dict[str, Numbers | Categories]
    scores: array[float] = field(default_factory=lambda: array("d"))
    # of each score, the latest first: its place in `version_names`
    versions: array[int] = field(default_factory=lambda: array("l"))
    version_names: list[str] = field(default_factory=list)
    rows: int = 0
    with_features: int = 0
    repeated: int = 0
    refused: int = 0
    unreadable: int = 0
    first: str | None = None
    last: str | None = None
    unknown: set[str] = field(default_factory=set)  # features that the reference does not have
    drawn: list[tuple[Any, ...]] = field(default_factory=list)  # whole rows, at random, where they are asked for

    @property
    def version(self) -> str | None:
        """The model version of the latest prediction."""
        return self.version_names[self.versions[0]] if self.versions else None

    def latest_scores(self) -> Numbers:
        """Scores of the latest version only: another model's scores may differ without any drift."""
        now = self.versions[0] if self.versions else -1
        return Numbers(
            array("d", (score for score, version in zip(self.scores, self.versions, strict=True) if version == now))
        )


def read_window(
    folder: Path,
    kinds: Mapping[str, str],
    since: datetime | None,
    until: datetime,
    *,
    draw: Sequence[str] = (),
    known: Collection[str] = (),
    every_row: bool = False,
) -> Window:
    """The rows of the log from `since` to `until`. A folder that is not there yet is an empty log.

    A line that cannot be read (the torn end after a kill) is counted and left out. So are answers without a prediction, and
    all rows of a key but its latest: tests take rows as independent, and what the same customer looks like day after day is
    not. With `every_row`, only a row that repeats another of its key to the digit is left out. The features of `draw` are kept
    together for up to 5,000 rows, drawn at random; features of no such `known` name are noted.
    """
    window = Window({name: Numbers() if kind == "numeric" else Categories() for name, kind in kinds.items()})
    taker = _Taker(window, draw, {*kinds, *draw, *known})
    seen: set[int] = set()
    for line in _lines(folder, since, until):
        row = _row(line)
        if row is None:
            window.unreadable += 1
            continue
        moment = row["ts"]
        if moment > until or (since is not None and moment < since) or row.get("role", _ROLE) != _ROLE:
            continue
        if row.get("code", MODEL_CODES[0]) not in MODEL_CODES:
            window.refused += 1
        elif row.get("key") is not None and (mark := _mark(row, every_row)) in seen:
            window.repeated += 1
        else:
            if row.get("key") is not None:
                seen.add(mark)
            taker.take(row)
    taker.finish()
    return window


def seconds_before(moment: datetime, seconds: float) -> datetime:
    """A moment so long before another."""
    return moment - timedelta(seconds=min(seconds, (moment - datetime(1970, 1, 2, tzinfo=UTC)).total_seconds()))


def _mark(row: Mapping[str, Any], every_row: bool) -> int:
    """The same for rows of which one counts: of one key, or of one key with the same features and score."""
    key, features = row["key"], row.get("features") if every_row else None
    score = row.get("score") if every_row else None
    try:
        return hash(
            (
                tuple(key.items()) if isinstance(key, dict) else key,
                tuple(features.items()) if isinstance(features, dict) else features,
                score,
            )
        )
    except TypeError:  # a list or a mapping inside
        return hash(json.dumps([key, features, score], sort_keys=True))


class _Taker:
    """Puts rows into a window. Most values of a log are numbers for numeric columns: those go the short way."""

    def __init__(self, window: Window, draw: Sequence[str], known: set[str]) -> None:
        self._window, self._draw, self._known = window, tuple(draw), known
        items = window.columns.items()
        self._numbers = [(name, item.values.append, item) for name, item in items if isinstance(item, Numbers)]
        self._categories = [(name, item) for name, item in items if isinstance(item, Categories)]
        self._versions: dict[str, int] = {}
        self._random = random.Random(_SEED)  # noqa: S311 (a draw that can be made again, not a secret)

    def take(self, row: Mapping[str, Any]) -> None:
        """One more row."""
        window = self._window
        window.rows += 1
        stamp = row["ts"].isoformat()
        window.first, window.last = stamp, window.last or stamp
        features = row.get("features")
        if isinstance(features, dict):
            self._features(features)
        score = row.get("score")
        if isinstance(score, int | float) and abs(score) <= _LARGEST:  # which NaN is not
            version = str(row.get("version"))
            if version not in self._versions:
                self._versions[version] = len(self._versions)
                window.version_names.append(version)
            window.scores.append(float(score))
            window.versions.append(self._versions[version])

    def finish(self) -> None:
        """What is infinite is missing."""
        import numpy as np

        for _, _, column in self._numbers:
            values = np.frombuffer(column.values, dtype=np.float64) if len(column.values) else np.empty(0)
            if np.isinf(values).any():
                values[np.isinf(values)] = np.nan

    def _features(self, features: dict[str, Any]) -> None:
        self._window.with_features += 1
        for name, append, column in self._numbers:
            try:
                append(features[name])
            except KeyError:
                column.absent += 1
            except (TypeError, OverflowError):
                column.add(features[name])
        for name, counted in self._categories:
            if name in features:
                counted.add(features[name])
            else:
                counted.absent += 1
        if not features.keys() <= self._known and len(self._window.unknown) < _MOST_UNKNOWN:
            self._window.unknown |= {str(name) for name in features.keys() - self._known}
        if self._draw:
            self._drawn(features)

    def _drawn(self, features: dict[str, Any]) -> None:
        """Vitter's (1985) algorithm R: each row stays with the same chance, however many come."""
        drawn, count = self._window.drawn, self._window.with_features
        place = len(drawn) if len(drawn) < MOST_DRAWN else int(self._random.random() * count)
        if place < MOST_DRAWN:
            found = tuple(features.get(name) for name in self._draw)
            drawn[place : place + 1] = [found]


def _lines(folder: Path, since: datetime | None, until: datetime) -> Iterator[bytes]:
    """Lines of the files whose day can hold a row of the window, the last first; a day is allowed on both sides for clocks and zones."""
    low = "" if since is None else (since.astimezone(UTC) - timedelta(days=1)).date().isoformat()
    high = (until.astimezone(UTC) + timedelta(days=1)).date().isoformat()
    for path in reversed(day_files(folder, low, high)):
        yield from (line for line in _backwards(path) if line.strip())


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file from its end, of which only a block at a time is in memory. One that is removed meanwhile has none: a
    server drops what is older than `log.keep`, and the oldest is read last."""
    try:
        stream = open(path, "rb")  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        return
    with stream:
        end, rest = stream.seek(0, os.SEEK_END), b""
        while end > 0:
            start = max(0, end - _BLOCK)
            stream.seek(start)
            rest, *lines = (stream.read(end - start) + rest).split(b"\n")
            end = start
            yield from reversed(lines)
        yield rest


def _row(line: bytes) -> dict[str, Any] | None:
    """The row of a line with its time read, or None."""
    try:
        row: dict[str, Any] = json.loads(line)
        moment = datetime.fromisoformat(row["ts"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    row["ts"] = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return row


def log_rows(folder: Path, since: datetime | None, until: datetime) -> Iterator[dict[str, Any]]:
    """Answers with a prediction that reached somebody from the version in charge, between two moments, in the order of the log."""
    for line in _lines(folder, since, until):
        row = _row(line)
        if row is None or row["ts"] > until or (since is not None and row["ts"] < since):
            continue
        if row.get("role", _ROLE) == _ROLE and row.get("code", MODEL_CODES[0]) in MODEL_CODES:
            yield row
