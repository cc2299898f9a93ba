"""Run a monitor: one worker process, one folder of results, one verdict. `mlctl monitor run` and schedules use it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.evidently import evidence
from mlctl.providers.evidently.monitor import RUNS_FOLDER
from mlctl.providers.evidently.parts import PARTS
from mlctl.stats.drift import Verdict
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.job import RESULT_FILE, JobResult, JobStatus
from mlctl.types.jobs.monitor import MonitorJob, Parts, remembered
from mlctl.types.state import Record
from mlctl.types.value import Json

KEPT_RUNS = 30
REPORT_FILE = "report.html"
TREND_FILE = "trend.html"  # in the monitor's folder
LOG_FILE = "log.json"  # in a run's: how much of the prediction log there was when it began


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


def run_monitor(record: Record, ctx: Context, now: datetime | None = None, *, acts: bool = False) -> MonitorResult:
    """Compare the deployment's latest predictions with the reference. Raises MlctlError when that could not be done.

    `acts` says that what follows an alarm is to follow (`actions.settle`), by whatever command if this one is killed.
    """
    outputs = record.outputs
    refuse_unapplied(record)
    until = now or datetime.now(UTC)
    runs = ctx.folder(record.key) / RUNS_FOLDER
    folder = job.fresh_folder(runs, until)
    params = MonitorJob(
        monitor=record.key.address.name,
        predictions=outputs["predictions"],
        report=os.path.relpath(folder / REPORT_FILE, ctx.root),
        until=until.isoformat(),
        parts=Parts.model_validate(outputs["parts"]),
        min_impact=min_impact(record),
        memory=_memory(record, ctx, until),
        acts=acts,
    )
    atomic.write_json(folder / LOG_FILE, evidence.sizes(ctx.root / params.predictions, outputs["parts"], until))
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


def _memory(record: Record, ctx: Context, until: datetime) -> dict[str, Any]:
    """What the parts of earlier runs have this one know."""
    memory: dict[str, Any] = {}
    for result in history(record, ctx):
        if datetime.fromisoformat(str(result.outputs["until"])) <= until:
            memory |= remembered(result.outputs)
    return memory


def refuse_unapplied(record: Record) -> None:
    """Raise MlctlError for a monitor that has nothing frozen."""
    if "parts" not in record.outputs:
        raise MlctlError.of(
            "monitor.not-applied",
            f"{record.key.address} was not applied yet",
            "a monitor compares with what `apply` freezes",
            "run `mlctl apply`",
        )


def min_impact(record: Record) -> dict[str, float]:
    """What the project does not mind of each metric."""
    asked = record.spec.get("on_alarm")
    limits = asked.get("min_impact") if isinstance(asked, Mapping) else None
    return dict(limits) if isinstance(limits, Mapping) else {}


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
    lines += [f"  {line}" for line in alarm_lines(outputs)]
    if outputs["report"] is not None:
        lines.append(f"  report   {outputs['report']}")
    return "\n".join(lines)


def alarm_lines(outputs: Mapping[str, Any]) -> list[str]:
    """Alarms in the order of what they may cost, then what is harmless."""
    lines = [f"alarm {number}  {item['says']}{_cost(item)}" for number, item in enumerate(outputs["alarms"], start=1)]
    return lines + [f"digest   {item['says']}{_cost(item)}" for item in outputs.get("digest", ())]


def _cost(alarm: Mapping[str, Any]) -> str:
    impact = alarm.get("impact")
    if impact is None:
        return ""
    return f"; may cost {impact['change']:.3g} of {impact['metric']} ({impact['low']:.3g} to {impact['high']:.3g}, {impact['basis']})"


def _prune(runs: Path) -> None:
    """Drop the oldest runs beyond those kept, but none that is still at work."""
    for folder in sorted(runs.iterdir())[:-KEPT_RUNS]:
        if job.state(folder) is not job.JobState.RUNNING:
            job.discard(folder)
