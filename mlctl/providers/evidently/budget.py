"""How many labels a monitor's window needs, and which rows to label: drawn at random, the same ones whenever they are asked for."""

from __future__ import annotations

import hashlib
import heapq
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.files.day_logs import day_files
from mlctl.provider import Context
from mlctl.providers.evidently.run import history, refuse_unapplied
from mlctl.stats import label_budget
from mlctl.stats.performance import THRESHOLD
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.labels import HeldOut
from mlctl.types.jobs.monitor import MODEL_CODES
from mlctl.types.state import Record
from mlctl.types.value import Json

_CURVE = (100, 200, 400, 800, 1600, 3200, 6400)
_DAY_SECONDS = 86400.0
_DRAWN = ("ts", "request_id", "key", "score", "prediction")  # of a prediction to label


@dataclass(frozen=True)
class Budget:
    """What it takes to see a rise of the error rate; figures with the help of the model's confidence are None without held-out scores."""

    error_rate: float
    drop: float
    power: float
    alpha: float
    labels: int
    explained: float | None
    labels_with_confidence: int | None
    ripe: int | None  # predictions of a window, as the last run found them
    window_seconds: float
    curve: tuple[tuple[int, float, float | None], ...]

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        names = ("labels", "power", "power_with_confidence")
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "curve"}
        return {**own, "curve": [dict(zip(names, point, strict=True)) for point in self.curve]}


def budget(record: Record, ctx: Context, drop: float, power: float) -> Budget:
    """What the monitor's labels can show, and how many would show it. Raises MlctlError."""
    refuse_unapplied(record)
    parts: Mapping[str, Any] = record.outputs["parts"]
    part = parts.get("labels")
    if part is None:
        raise MlctlError.of(
            "monitor.no-labels",
            f"{record.key.address} has no `labels`",
            "a label budget is that of the labels that a monitor waits for",
            "add `labels: {dataset: ..., label: ..., id: ...}` to it",
        )
    held = HeldOut.model_validate_json(ctx.path(part["held_out"]).read_bytes()) if part["held_out"] else None
    rate, share = _rate(part, held)
    alpha = float(part["alpha"])
    try:
        needed = label_budget.labels_needed(rate, drop, alpha, power)
    except ValueError as error:
        raise MlctlError.of(
            "monitor.no-such-budget",
            f"no number of labels would do: {error}",
            f"{rate:.4g} of the predictions are wrong without any drift",
            "ask for another `--drop`",
        ) from None
    sizes = sorted({*(size for size in _CURVE if size < 3 * needed), needed})
    return Budget(
        rate, drop, power, alpha, needed, share,
        None if share is None else math.ceil(needed * label_budget.still_needed(rate, drop, share)), _ripe(record, ctx), float(part["window_seconds"]),
        tuple((size, label_budget.power(size, rate, drop, alpha), _helped(size, share, rate, drop, alpha)) for size in sizes),
    )  # fmt: skip


def draw(record: Record, ctx: Context, count: int, now: datetime | None = None) -> list[dict[str, Json]]:
    """So many predictions to label, out of those whose labels can still come. A digest of the request id chooses, not who asks."""
    part = record.outputs["parts"]["labels"]
    until = now or datetime.now(UTC)
    since = until - timedelta(seconds=min(part["joining"]["within_window_seconds"], until.timestamp() - _DAY_SECONDS))
    rows = _rows(ctx.path(str(record.outputs["predictions"])), since, until, part["version"])
    chosen = heapq.nsmallest(count, ((_place(row), row["ts"], row) for row in rows), key=lambda item: item[:2])
    return [row for _, _, row in sorted(chosen, key=lambda item: item[:2][::-1])]


def _rate(part: Mapping[str, Any], held: HeldOut | None) -> tuple[float, float | None]:
    """The share of wrong predictions without drift, and what confidence explains of it."""
    if part["task"] != "binary" or held is None:
        if part["baseline"] is None:
            raise MlctlError.of(
                "monitor.no-evaluation",
                "nothing says how often the model errs without drift",
                "the budget depends on it",
                "add `evaluation: NAME` to the monitor",
            )
        return float(part["baseline"]), None
    wrong = sum((score >= THRESHOLD) != (target == 1) for score, target in zip(held.scores, held.targets, strict=True))
    rate = max(wrong, 1) / len(held.scores)
    return rate, label_budget.explained(held.scores, held.targets)


def _helped(size: int, share: float | None, rate: float, drop: float, alpha: float) -> float | None:
    return None if share is None else label_budget.power_with_confidence(size, rate, drop, alpha, share)


def _ripe(record: Record, ctx: Context) -> int | None:
    for result in reversed(history(record, ctx)):
        found: Any = result.outputs["parts"]
        if "labels" in found:
            return int(found["labels"]["ripe"])
    return None


def _rows(folder: Path, since: datetime, until: datetime, version: str | None) -> Iterator[dict[str, Any]]:
    """Predictions of the version in charge, one for each request: of several, nobody could tell which one a label is about."""
    seen: dict[str, dict[str, Any] | None] = {}
    low, high = ((moment + timedelta(days=days)).date().isoformat() for moment, days in ((since, -1), (until, 1)))
    for path in day_files(folder, low, high):
        for row, moment in _parsed(path):
            fits = row.get("role", "stable") == "stable" and row.get("code", MODEL_CODES[0]) in MODEL_CODES
            if (
                fits
                and row.get("request_id") is not None
                and since <= moment <= until
                and version in (None, str(row.get("version")))
            ):
                id = str(row["request_id"])
                seen[id] = None if id in seen else {name: row.get(name) for name in _DRAWN}
    yield from (row for row in seen.values() if row is not None)


def _parsed(path: Path) -> Iterator[tuple[dict[str, Any], datetime]]:
    """Rows with their times; lines that a kill has torn are left out. A file that is removed meanwhile (`log.keep`) has none."""
    try:
        stream = open(path, "rb")  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            try:
                row = json.loads(line)
                moment = datetime.fromisoformat(row["ts"])
            except (ValueError, KeyError, TypeError):
                continue
            yield row, moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _place(row: Mapping[str, Any]) -> str:
    return hashlib.blake2b(f"label\0{row['request_id']}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
