"""The `monitor` program: read the window, test every column, decide, and draw a report."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mlctl.runtime.monitor.compare import compare, present
from mlctl.runtime.monitor.window import Categories, Numbers, Window, read_window
from mlctl.runtime.report import Report
from mlctl.stats.drift import Comparison, Finding, Method, Verdict, column_verdicts, decide, overall
from mlctl.types.diagnostic import Diagnostic, Severity
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.monitor import SCORE, MonitorJob, Profile
from mlctl.types.value import Json


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Give the verdict of one run. The verdict never depends on whether the report could be drawn."""
    began = time.monotonic()
    job = MonitorJob.model_validate(params)
    profile = Profile.model_validate_json(Path(job.reference).read_bytes())
    report.progress("reading the prediction log")
    kinds = {name: profile.columns[name].kind for name in job.tests if name != SCORE}
    window = read_window(
        Path(job.predictions),
        kinds,
        None if job.since is None else datetime.fromisoformat(job.since),
        datetime.fromisoformat(job.until),
    )
    report.progress("testing", 0, len(job.tests), "columns")
    columns, findings = judge(job, profile, window)
    verdicts = column_verdicts(findings)
    outputs = _outputs(job, window, columns, findings, verdicts)
    drawn, diagnostics = (
        _draw(job, profile, columns, outputs, report)
        if any(item is not Verdict.NO_DATA for item in verdicts.values())
        else (None, ())
    )
    return JobResult(
        JobStatus.DONE,
        {**outputs, "report": drawn, "seconds": round(time.monotonic() - began, 3)},
        diagnostics=diagnostics,
    )


def judge(job: MonitorJob, profile: Profile, window: Window) -> tuple[dict[str, Numbers | Categories], list[Finding]]:
    """All tests of all columns, and the decision over them together."""
    columns: dict[str, Numbers | Categories] = {
        name: window.latest_scores() if name == SCORE else window.columns[name] for name in job.tests
    }
    tests: list[tuple[str, Method, Comparison]] = []
    for name, methods in job.tests.items():
        reference = profile.score if name == SCORE else profile.columns[name]
        if reference is not None:
            tests += [
                (name, method, found)
                for method, found in compare(profile, reference, columns[name], methods, job.min_rows).items()
            ]
    margins = {Method(name): margin for name, margin in job.margins.items()}
    return columns, decide(tests, job.alpha, job.correction, margins, job.min_rows)


def _outputs(
    job: MonitorJob,
    window: Window,
    columns: Mapping[str, Numbers | Categories],
    findings: Sequence[Finding],
    verdicts: Mapping[str, Verdict],
) -> dict[str, Json]:
    verdict = overall(verdicts)
    details: dict[str, Any] = {}
    for name, column in columns.items():
        rows, missing = _rows(column)
        tests = {
            item.method.value: {
                "statistic": item.statistic, "effect": item.effect, "margin": item.margin, "p_value": item.p_value, "p_adjusted": item.p_adjusted,
                "rows": item.rows, "reference_rows": item.reference_rows, "verdict": item.verdict.value,
            }
            for item in findings if item.column == name
        }  # fmt: skip
        details[name] = {"verdict": verdicts[name].value, "rows": rows, "missing": missing, "tests": tests}
    alarms = [name for name, item in verdicts.items() if item is Verdict.ALARM]
    lacking = [name for name, item in verdicts.items() if item is Verdict.NO_DATA]
    return {
        "verdict": verdict.value, "summary": _summary(job, window, alarms, lacking), "alarms": alarms, "no_data": lacking, "columns": details,
        "rows": window.rows, "repeated": window.repeated, "refused": window.refused, "unreadable": window.unreadable,
        "version": window.version, "since": job.since, "until": job.until, "first": window.first, "last": window.last,
        "alpha": job.alpha, "correction": job.correction, "tests": sum(item.p_adjusted is not None for item in findings),
    }  # fmt: skip


def _summary(job: MonitorJob, window: Window, alarms: Sequence[str], lacking: Sequence[str]) -> str:
    """One line: what moved, or why nothing can be said."""
    repeated = f" ({window.repeated} more repeat one of them)" if window.repeated else ""
    if alarms:
        return f"{len(alarms)} of {len(job.tests)} columns drifted in {window.rows} predictions{repeated}: {', '.join(alarms)}"
    if window.rows < job.min_rows:
        return f"{window.rows} predictions in the window{repeated}, and {job.min_rows} are needed"
    if lacking:
        return f"{window.rows} predictions{repeated}, but too few values of {', '.join(lacking)}; does the deployment log its features?"
    return f"no drift in {len(job.tests)} columns of {window.rows} predictions{repeated}"


def _rows(column: Numbers | Categories) -> tuple[int, int]:
    """Rows that have the column at all, and how many of them have no value in it."""
    if isinstance(column, Numbers):
        return len(column.values), len(column.values) - len(present(column))
    return sum(column.counts.values()), column.counts.get(None, 0)


def _draw(
    job: MonitorJob,
    profile: Profile,
    columns: Mapping[str, Numbers | Categories],
    outputs: Mapping[str, Any],
    report: Report,
) -> tuple[str | None, tuple[Diagnostic, ...]]:
    report.progress("drawing the report")
    try:
        from mlctl.runtime.monitor.page import write_page

        write_page(Path(job.report), job, profile, columns, outputs)
    except (
        Exception
    ) as error:  # a page that cannot be drawn must not take an alarm with it; the traceback is in the log
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
        return None, (
            Diagnostic(
                "monitor.no-report",
                "the report could not be drawn",
                why,
                "the verdict stands; see the run's log",
                Severity.WARNING,
            ),
        )
    return job.report, ()
