"""Exposures and outcomes of a few units, written as files, and the job that reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.runtime.experiment.moments import collect
from mlctl.types.jobs.experiment import ExperimentJob, LogExposures, Metric, Outcomes, TableExposures
from mlctl.types.jobs.profile import Source

START = datetime(2026, 3, 2, tzinfo=UTC)
TIME = "timestamp with time zone"
EXPOSURES = {"user": "varchar", "arm": "varchar", "at": TIME, "country": "varchar"}
OUTCOMES = {"user": "varchar", "at": TIME, "value": "double"}
BOUGHT = Metric(name="value", type="proportion", column="value", aggregate="any", window_seconds=86_400)
SPENT = Metric(name="value", type="mean", column="value", aggregate="sum", window_seconds=86_400)


def when(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def table(path: Path, columns: Mapping[str, str], rows: Iterable[Sequence[Any]], key: Sequence[str] = ()) -> Source:
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
    return Source(files=[str(path)], format="csv", columns=dict(columns), key=list(key))


class Data:
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.columns: tuple[Mapping[str, str], Mapping[str, str]] = (EXPOSURES, OUTCOMES)
        self.key: list[str] = []

    def read(
        self,
        exposures: Iterable[Sequence[Any]],
        outcomes: Iterable[Sequence[Any]],
        metrics: Sequence[Metric] = (SPENT,),
        **more: Any,
    ) -> dict[str, Any]:
        """By datasets."""
        left, right = self.columns
        source = TableExposures(
            name="seen", source=table(self.folder / "seen.csv", left, exposures), unit="user", arm="arm", timestamp="at"
        )
        return self._collect(source, outcomes, right, metrics, more)

    def read_log(
        self,
        lines: Iterable[Mapping[str, Any] | str],
        outcomes: Iterable[Sequence[Any]],
        metrics: Sequence[Metric] = (SPENT,),
        **more: Any,
    ) -> dict[str, Any]:
        """By the prediction log."""
        log = self.folder / "log"
        log.mkdir(exist_ok=True)
        written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (log / f"{START.date()}.jsonl").write_text("".join(f"{line}\n" for line in written))
        source = LogExposures(deployment="api", folder=str(log), since=when(0))
        return self._collect(source, outcomes, self.columns[1], metrics, {"log": source, **more})

    def _collect(
        self,
        source: Any,
        outcomes: Iterable[Sequence[Any]],
        columns: Mapping[str, str],
        metrics: Sequence[Metric],
        more: Mapping[str, Any],
    ) -> dict[str, Any]:
        found = table(self.folder / "done.csv", columns, outcomes, self.key)
        values: dict[str, Any] = {
            "experiment": "mail", "arms": ["control", "treatment"],             "exposures": source, "outcomes": Outcomes(name="done", source=found, unit="user", timestamp="at"),
            "metrics": list(metrics), "until": when(72), "design": {}, **more,
        }  # fmt: skip
        job = self.folder / "job"
        job.mkdir(exist_ok=True)
        return collect(ExperimentJob(**values), job)


def sums(moments: Mapping[str, Any], arm: str, metric: str = "value") -> dict[str, float]:
    """Of an arm, over all days."""
    found: dict[str, float] = {}
    for day in moments["metrics"][metric]["days"][arm].values():
        for name, value in day.items():
            found[name] = found.get(name, 0) + value
    return found


def request(user: str, hours: float, arm: str = "control", **more: Any) -> dict[str, Any]:
    """A line of the prediction log."""
    from mlctl.stats.assignment import unit_hash

    return {
        "ts": when(hours), "request_id": f"{user}-{hours}", "unit": unit_hash(user), "variant": arm, "role": "stable", "bucket": 1,
        "propensity": 0.5, "latency_seconds": 0.1, "code": 200, **more,
    }  # fmt: skip
