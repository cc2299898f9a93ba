"""The `monitor` program: let each part watch, put together what they found, and draw a report."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlctl.runtime.monitor import cost, data, estimated, judge, labels, prompts, proxies, responses
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.ranking import ranked, verdict_of
from mlctl.runtime.report import Report
from mlctl.stats.drift import overall
from mlctl.types.diagnostic import Diagnostic, Severity
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.monitor import MonitorJob

# By the part's name: it gets the job, its own part of it, and a way to tell of progress.
WATCHES: Mapping[str, Callable[[MonitorJob, Any, Report], Found]] = {
    "data": data.watch,
    "labels": labels.watch,
    "estimated": estimated.watch,
    "proxies": proxies.watch,
    "prompts": prompts.watch,
    "responses": responses.watch,
    "cost": cost.watch,
    "judge": judge.watch,
}


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Give the verdict of one run. The verdict never depends on whether the report could be drawn."""
    began = time.monotonic()
    job = MonitorJob.model_validate(params)
    found = look(job, report)
    outputs = together(job, found)
    drawn, diagnostics = _draw(job, found, outputs, report)
    return JobResult(
        JobStatus.DONE,
        {**outputs, "report": drawn, "evidently": _beside(drawn), "seconds": round(time.monotonic() - began, 3)},
        diagnostics=diagnostics,
    )


def _beside(drawn: str | None) -> str | None:
    """Evidently's own figures, which the part `data` leaves beside the report it drew."""
    path = None if drawn is None else Path(drawn).with_name("evidently.json")
    return None if path is None or not path.exists() else str(path)


def look(job: MonitorJob, report: Report) -> dict[str, Found]:
    """What each part that is asked for finds."""
    return {
        name: watch(job, part, report)
        for name, watch in WATCHES.items()
        if (part := getattr(job.parts, name)) is not None
    }


def together(job: MonitorJob, found: Mapping[str, Found]) -> dict[str, Any]:
    """The outputs of a run: the gravest verdict, all alarms by what they may cost, and each part's own.

    What is harmless alarms nobody: it is kept as the run's digest.
    """
    found = estimated.with_impact(found)
    alarms, digest = ranked([alarm for item in found.values() for alarm in item.alarms], job.min_impact)
    verdicts = {name: verdict_of(item, alarms, digest) for name, item in found.items()}
    verdict = overall(verdicts)
    telling = [item.summary for name, item in found.items() if verdicts[name] is verdict]
    harmless = [f"{len(digest)} harmless: {', '.join(item.name for item in digest)}"] if digest else []
    return {
        "verdict": verdict.value,
        "summary": "; ".join([*telling, *harmless]),
        "alarms": [alarm.model_dump(mode="json") for alarm in alarms],
        "digest": [alarm.model_dump(mode="json") for alarm in digest],
        "parts": {
            name: {"verdict": item.verdict.value, "summary": item.summary, **item.figures}
            for name, item in found.items()
        },
        "until": job.until,
    }


def _draw(
    job: MonitorJob, found: Mapping[str, Found], outputs: Mapping[str, Any], report: Report
) -> tuple[str | None, tuple[Diagnostic, ...]]:
    if job.report is None or all(item.draw is None for item in found.values()):
        return None, ()
    report.progress("drawing the report")
    try:
        from mlctl.runtime.monitor.page import write_page

        drawn = {name: item.draw() for name, item in found.items() if item.draw is not None}
        write_page(Path(job.report), job.monitor, outputs, drawn)
    except (
        Exception
    ) as error:  # a page that cannot be drawn must not take an alarm with it; the traceback is in the log
        traceback.print_exc()
        return None, (
            Diagnostic(
                "monitor.no-report",
                "the report could not be drawn",
                f"{type(error).__name__}: {error}",
                "the verdict stands; see the run's log",
                Severity.WARNING,
            ),
        )
    return job.report, ()
