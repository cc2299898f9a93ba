"""Run a monitor: one worker process, one folder of results, one verdict. `mlctl monitor run` and schedules use it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.evidently.monitor import RUNS_FOLDER
from mlctl.providers.evidently.parts import PARTS
from mlctl.stats.drift import Verdict
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.job import RESULT_FILE, JobResult, JobStatus
from mlctl.types.jobs.monitor import MonitorJob, Parts
from mlctl.types.state import Record
from mlctl.types.value import Json

KEPT_RUNS = 30
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class MonitorResult:
    """What one run found; `outputs` is the whole of it, as JSON."""

    monitor: str
    run: str
    outputs: Mapping[str, Json]

    @property
    def verdict(self) -> Verdict:
        """Alarm, ok, or no data."""
        return Verdict(self.outputs["verdict"])

    @property
    def exit_code(self) -> ExitCode:
        """Drift is 5; no data is a gate that did not pass."""
        return {Verdict.ALARM: ExitCode.DRIFT, Verdict.OK: ExitCode.OK, Verdict.NO_DATA: ExitCode.GATE_FAILED}[
            self.verdict
        ]

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return {"monitor": self.monitor, "run": self.run, **self.outputs}


def run_monitor(record: Record, ctx: Context, now: datetime | None = None) -> MonitorResult:
    """Compare the deployment's latest predictions with the reference. Raises MlctlError when that could not be done."""
    outputs = record.outputs
    if "parts" not in outputs:
        raise MlctlError.of(
            "monitor.not-applied",
            f"{record.key.address} was not applied yet",
            "a monitor compares with what `apply` freezes",
            "run `mlctl apply`",
        )
    until = now or datetime.now(UTC)
    runs = ctx.folder(record.key) / RUNS_FOLDER
    folder = _fresh(runs, until)
    params = MonitorJob(
        monitor=record.key.address.name,
        predictions=outputs["predictions"],
        report=os.path.relpath(folder / REPORT_FILE, ctx.root),
        until=until.isoformat(),
        parts=Parts.model_validate(outputs["parts"]),
    )
    try:
        result = job.run("monitor", params.model_dump(mode="json"), folder, ctx)
    except MlctlError:
        if ctx.stop.is_set():
            raise MlctlError.of(
                "job.stopped",
                "the monitor was stopped",
                "it was asked to stop",
                "run it again",
                exit_code=ExitCode.INTERRUPTED,
            ) from None
        raise
    _prune(runs)
    return MonitorResult(record.key.address.name, folder.name, result.outputs)


def history(record: Record, ctx: Context) -> list[MonitorResult]:
    """The results that are kept, oldest first. Runs that were cut off left none."""
    found = []
    for path in sorted((ctx.folder(record.key) / RUNS_FOLDER).glob(f"*/{RESULT_FILE}")):
        try:
            result = JobResult.from_json(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if result.status is JobStatus.DONE:
            found.append(MonitorResult(record.key.address.name, path.parent.name, result.outputs))
    return found


def result_text(result: MonitorResult) -> str:
    """The result for a person: the verdict, then each part."""
    outputs: Mapping[str, Any] = result.outputs
    lines = [f"{result.monitor}: {outputs['verdict'].replace('_', ' ')}: {outputs['summary']}"]
    for part in PARTS:
        if part.name in outputs["parts"]:
            lines += [f"  {line}" for line in part.text(outputs["parts"][part.name])]
    if outputs["report"] is not None:
        lines.append(f"  report   {outputs['report']}")
    return "\n".join(lines)


def _fresh(runs: Path, moment: datetime) -> Path:
    """A new folder named by time, so that names sort by age. Two runs in one microsecond get two."""
    runs.mkdir(parents=True, exist_ok=True)
    while True:
        folder = runs / moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            moment += timedelta(microseconds=1)


def _prune(runs: Path) -> None:
    """Drop the oldest runs beyond those kept, but none that is still at work."""
    for folder in sorted(runs.iterdir())[:-KEPT_RUNS]:
        if job.state(folder) is not job.JobState.RUNNING:
            job.discard(folder)
