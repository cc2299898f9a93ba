"""Read the rows of a prediction log that fall into a window, line by line, into one compact column for each feature."""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.types.jobs.monitor import MODEL_CODES

_DAY_FILE = re.compile(r"\d{4}-\d{2}-\d{2}\.jsonl")
_ROLE = "stable"


@dataclass
class Numbers:
    """A numeric column; what is missing or is no number is NaN."""

    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, value: Any) -> None:
        """One more row."""
        number = float(value) if isinstance(value, int | float) else math.nan
        self.values.append(number if math.isfinite(number) else math.nan)


@dataclass
class Categories:
    """A categorical column: how often each value came, None for missing."""

    counts: dict[str | None, int] = field(default_factory=dict)

    def add(self, value: Any) -> None:
        """One more row."""
        name = category(value)
        self.counts[name] = self.counts.get(name, 0) + 1


@dataclass
class Window:
    """What a log holds between two moments. `rows` are distinct predictions; what else was seen is counted apart."""

    columns: dict[str, Numbers | Categories]
    scores: array[float] = field(default_factory=lambda: array("d"))
    versions: array[int] = field(default_factory=lambda: array("l"))  # of each score: its place in `version_names`
    version_names: list[str] = field(default_factory=list)
    rows: int = 0
    repeated: int = 0
    refused: int = 0
    unreadable: int = 0
    first: str | None = None
    last: str | None = None

    @property
    def version(self) -> str | None:
        """The model version of the latest prediction."""
        return self.version_names[self.versions[-1]] if self.versions else None

    def latest_scores(self) -> Numbers:
        """Scores of the latest version only: another model's scores may differ without any drift."""
        now = self.versions[-1] if self.versions else -1
        return Numbers(
            array("d", (score for score, version in zip(self.scores, self.versions, strict=True) if version == now))
        )


def category(value: Any) -> str | None:
    """A categorical value as text, the same for the reference and the log: `1`, `1.0` and `"1"` are one, so are true and `"True"`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if text in ("True", "False"):
        return text.lower()
    head, dot, tail = text.partition(".")
    return head if dot and tail.strip("0") == "" and head.lstrip("-").isdigit() else text


def read_window(folder: Path, kinds: Mapping[str, str], since: datetime | None, until: datetime) -> Window:
    """All rows of the log from `since` to `until`. A folder that is not there yet is an empty log.

    A line that cannot be read (the torn end after a kill) is counted and left out. So are answers without a prediction, and
    a row that repeats another of the same key to the digit: asking twice tells nothing new about what is asked.
    """
    window = Window({name: Numbers() if kind == "numeric" else Categories() for name, kind in kinds.items()})
    seen: set[int] = set()
    known: dict[str, int] = {}
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
        elif (
            row.get("key") is not None
            and (mark := hash(json.dumps([row["key"], row.get("features"), row.get("score")], sort_keys=True))) in seen
        ):
            window.repeated += 1
        else:
            if row.get("key") is not None:
                seen.add(mark)
            _take(window, row, known)
    return window


def _take(window: Window, row: Mapping[str, Any], known: dict[str, int]) -> None:
    window.rows += 1
    stamp = row["ts"].isoformat()
    window.first, window.last = window.first or stamp, stamp
    features = row.get("features")
    if isinstance(features, dict):
        for name, column in window.columns.items():
            if name in features:
                column.add(features[name])
    score = row.get("score")
    if isinstance(score, int | float) and math.isfinite(score):
        version = str(row.get("version"))
        if version not in known:
            known[version] = len(known)
            window.version_names.append(version)
        window.scores.append(float(score))
        window.versions.append(known[version])


def _lines(folder: Path, since: datetime | None, until: datetime) -> Iterator[bytes]:
    """Lines of the files whose day can hold a row of the window; a day is allowed on both sides for clocks and zones."""
    if not folder.is_dir():
        return
    low = "" if since is None else (since.astimezone(UTC) - timedelta(days=1)).date().isoformat()
    high = (until.astimezone(UTC) + timedelta(days=1)).date().isoformat()
    for path in sorted(folder.iterdir()):
        if _DAY_FILE.fullmatch(path.name) and low <= path.stem <= high:
            with open(path, "rb") as stream:
                yield from (line for line in stream if line.strip())


def _row(line: bytes) -> dict[str, Any] | None:
    """The row of a line with its time read, or None."""
    try:
        row: dict[str, Any] = json.loads(line)
        moment = datetime.fromisoformat(row["ts"])
    except (ValueError, KeyError, TypeError):
        return None
    row["ts"] = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return row
