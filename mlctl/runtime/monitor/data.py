"""The part `data`: test every column of the window against the reference, and decide over all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.runtime.monitor.compare import compare, present
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.window import Categories, Numbers, Window, read_window
from mlctl.runtime.report import Report
from mlctl.stats.drift import Comparison, Finding, Method, Verdict, column_verdicts, decide, overall
from mlctl.types.jobs.monitor import SCORE, Alarm, DataPart, MonitorJob, Profile


def watch(job: MonitorJob, part: DataPart, report: Report) -> Found:
    """Read the window, test, decide."""
    profile = Profile.model_validate_json(Path(part.reference).read_bytes())
    report.progress("reading the prediction log")
    kinds = {name: profile.columns[name].kind for name in part.tests if name != SCORE}
    until = datetime.fromisoformat(job.until)
    since = until - timedelta(seconds=part.window_seconds)
    window = read_window(Path(job.predictions), kinds, since, until)
    report.progress("testing", 0, len(part.tests), "columns")
    columns, findings = judge(part, profile, window)
    verdicts = column_verdicts(findings)
    figures = _figures(part, window, columns, findings, verdicts)
    verdict = overall(verdicts)
    seen = any(item is not Verdict.NO_DATA for item in verdicts.values())
    return Found(
        verdict,
        _summary(part, window, verdicts),
        {**figures, "since": since.isoformat()},
        tuple(_alarms(findings)),
        (lambda: _draw(part, profile, columns, figures)) if seen else None,
    )


def _draw(
    part: DataPart, profile: Profile, columns: Mapping[str, Numbers | Categories], figures: Mapping[str, Any]
) -> str:
    from mlctl.runtime.monitor.drawing import data_section  # Evidently and pandas, only when something is drawn

    return data_section(part, profile, columns, figures)


def judge(part: DataPart, profile: Profile, window: Window) -> tuple[dict[str, Numbers | Categories], list[Finding]]:
    """All tests of all columns, and the decision over them together."""
    columns: dict[str, Numbers | Categories] = {
        name: window.latest_scores() if name == SCORE else window.columns[name] for name in part.tests
    }
    tests: list[tuple[str, Method, Comparison]] = []
    for name, methods in part.tests.items():
        reference = profile.score if name == SCORE else profile.columns[name]
        if reference is not None:
            tests += [
                (name, method, found)
                for method, found in compare(profile, reference, columns[name], methods, part.min_rows).items()
            ]
    margins = {Method(name): margin for name, margin in part.margins.items()}
    return columns, decide(tests, part.alpha, part.correction, margins, part.min_rows)


def _figures(
    part: DataPart,
    window: Window,
    columns: Mapping[str, Numbers | Categories],
    findings: Sequence[Finding],
    verdicts: Mapping[str, Verdict],
) -> dict[str, Any]:
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
    lacking = [name for name, item in verdicts.items() if item is Verdict.NO_DATA]
    return {
        "no_data": lacking, "columns": details, "untested": dict(part.untested),
        "rows": window.rows, "repeated": window.repeated, "refused": window.refused, "unreadable": window.unreadable,
        "version": window.version, "first": window.first, "last": window.last,
        "alpha": part.alpha, "correction": part.correction, "tests": sum(item.p_adjusted is not None for item in findings),
    }  # fmt: skip


def _alarms(findings: Sequence[Finding]) -> list[Alarm]:
    """One for each column that moved, told by the test that is surest of it."""
    found: dict[str, Finding] = {}
    for item in findings:
        if item.verdict is Verdict.ALARM and item.p_adjusted is not None:
            known = found.get(item.column)
            if known is None or item.p_adjusted < (known.p_adjusted or 0.0):
                found[item.column] = item
    return [
        Alarm(
            part="data",
            name=name,
            says=f"{name} moved by {item.effect:.3g} ({item.method.value}; {item.margin:g} is worth an alarm), adjusted p {item.p_adjusted:.2g}",
            method=item.method.value,
            effect=item.effect,
            margin=item.margin,
            p_adjusted=item.p_adjusted,
        )
        for name, item in found.items()
    ]


def _summary(part: DataPart, window: Window, verdicts: Mapping[str, Verdict]) -> str:
    """One line: what moved, or why nothing can be said."""
    alarms = [name for name, item in verdicts.items() if item is Verdict.ALARM]
    lacking = [name for name, item in verdicts.items() if item is Verdict.NO_DATA]
    repeated = f" ({window.repeated} more repeat one of them)" if window.repeated else ""
    if alarms:
        return f"{len(alarms)} of {len(part.tests)} columns drifted in {window.rows} predictions{repeated}: {', '.join(alarms)}"
    if window.rows < part.min_rows:
        return f"{window.rows} predictions in the window{repeated}, and {part.min_rows} are needed"
    if lacking:
        return f"{window.rows} predictions{repeated}, but too few values of {', '.join(lacking)}; does the deployment log its features?"
    return f"no drift in {len(part.tests)} columns of {window.rows} predictions{repeated}"


def _rows(column: Numbers | Categories) -> tuple[int, int]:
    """Rows that have the column at all, and how many of them have no value in it."""
    if isinstance(column, Numbers):
        return len(column.values), len(column.values) - len(present(column))
    return sum(column.counts.values()), column.counts.get(None, 0)
