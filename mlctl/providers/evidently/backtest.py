"""Which alarms would have been raised: the same parts, over past windows of the prediction log, in one worker process."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.evidently import evidence
from mlctl.providers.evidently.run import min_impact, refuse_unapplied
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.monitor import BacktestJob, Parts
from mlctl.types.spoken import spoken_seconds
from mlctl.types.state import Record

_FOLDER = "backtests"
_TAIL_BYTES = 1 << 20
MOST_MOMENTS = 2000


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, and how often in between."""

    since: datetime
    until: datetime
    every_seconds: float

    def moments(self) -> Iterator[datetime]:
        """The moments at which the monitor would have run: the last is the end, the others lie whole steps before it."""
        steps = int((self.until - self.since).total_seconds() // self.every_seconds)
        for number in range(steps, -1, -1):
            yield self.until - timedelta(seconds=number * self.every_seconds)


def span(record: Record, ctx: Context, since: datetime | None, until: datetime | None, every_seconds: float) -> Span:
    """What is asked for; without a beginning or an end those of the log. Raises MlctlError."""
    refuse_unapplied(record)
    logged = _logged(ctx.root / str(record.outputs["predictions"]))
    if logged is None and (since is None or until is None):
        raise MlctlError.of(
            "monitor.empty-log",
            f"deployments.{record.outputs['deployment']} has logged no predictions yet",
            "a backtest watches what was logged",
            "ask the deployment for predictions first",
        )
    first, last = logged or (until, until)
    found = Span(since or first or datetime.now(UTC), until or last or datetime.now(UTC), every_seconds)
    if found.until < found.since:
        raise MlctlError.of(
            "cli.usage",
            f"{found.until.isoformat()} comes before {found.since.isoformat()}",
            "",
            "exchange `--from` and `--to`",
        )
    count = (found.until - found.since).total_seconds() / every_seconds
    if count > MOST_MOMENTS:
        raise MlctlError.of(
            "monitor.too-many-moments",
            f"every {spoken_seconds(every_seconds)} are {count:,.0f} runs",
            f"a backtest makes {MOST_MOMENTS:,} at most",
            "choose a larger `--every`, or a shorter time",
        )
    return found


def backtest(record: Record, ctx: Context, asked: Span) -> list[dict[str, Any]]:
    """The outputs of a run at each moment, oldest first. Raises MlctlError."""
    params = BacktestJob(
        monitor=record.key.address.name,
        predictions=str(record.outputs["predictions"]),
        moments=[moment.isoformat() for moment in asked.moments()],
        parts=Parts.model_validate(record.outputs["parts"]),
        min_impact=min_impact(record),
    ).model_dump(mode="json")
    name = hashlib.sha256(repr(params).encode()).hexdigest()[:12]
    folder = ctx.folder(record.key) / _FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)  # the log may have grown since
    try:
        result = job.run("backtest", params, folder, ctx)
        found: list[dict[str, Any]] = list(result.outputs["runs"])
        return found
    finally:
        job.discard(folder)


def _logged(folder: Path) -> tuple[datetime, datetime] | None:
    """When the first and the last row were logged; None while there is none."""
    names = sorted(evidence.sizes(folder, {}, datetime.now(UTC)))
    times = [moment for name in names[:1] + names[-1:] for moment in _ends(folder / name)]
    return (min(times), max(times)) if times else None


def _ends(path: Path) -> Iterator[datetime]:
    """The times of the first and the last row of a file, as far as they can be read."""
    with open(path, "rb") as stream:
        lines = [stream.readline()]
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines += stream.read().splitlines()[-2:]  # the last one may be torn
    for line in lines:
        try:
            moment = datetime.fromisoformat(json.loads(line)["ts"])
        except (ValueError, KeyError, TypeError):
            continue
        yield moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def alarms(runs: list[dict[str, Any]]) -> Mapping[str, int]:
    """How often each thing would have alarmed."""
    found: dict[str, int] = {}
    for item in runs:
        for alarm in item["alarms"]:
            name = f"{alarm['part']}: {alarm['name']}"
            found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
