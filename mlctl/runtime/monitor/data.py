"""The part `data`: test every column of the window, and all features together, and decide over all of the tests at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlctl.runtime.monitor.compare import as_frozen, compare
from mlctl.runtime.monitor.figures import alarms_of, column_figures, summary_of
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.marks import marks_of
from mlctl.runtime.monitor.window import Categories, Numbers, Window, read_window, seconds_before
from mlctl.runtime.report import Report
from mlctl.stats.drift import Comparison, Finding, Method, Verdict, column_verdicts, decide, overall
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.monitor import ALL, SCORE, DataPart, MonitorJob
from mlctl.types.jobs.reference import CategoricalColumn, FrozenReference, NumericColumn


@dataclass(frozen=True)
class Judged:
    """All tests of a window, the decision over them, what is odd about a column, and what the joint tests tell besides."""

    columns: Mapping[str, Numbers | Categories]
    findings: Sequence[Finding]
    marks: Mapping[str, str]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Of each column: what is marked is not ok, whatever its tests say of the rest."""
        found = column_verdicts(self.findings)
        return {
            name: Verdict.NO_DATA if verdict is Verdict.OK and name in self.marks else verdict
            for name, verdict in found.items()
        }


def watch(job: MonitorJob, part: DataPart, report: Report) -> Found:
    """Read the window, test, decide."""
    reference = _load(part.reference)
    report.progress("reading the prediction log")
    until = datetime.fromisoformat(job.until)
    since = seconds_before(until, part.window_seconds)
    window = read(part, reference, Path(job.predictions), since, until)
    report.progress("testing", 0, len(part.tests), "columns")
    judged = judge(part, reference, window)
    verdicts = judged.verdicts
    verdict = overall(verdicts)
    figures = {
        "no_data": [name for name, item in verdicts.items() if item is Verdict.NO_DATA],
        "columns": column_figures(judged.columns, judged.findings, verdicts, judged.marks, judged.details),
        "untested": dict(part.untested), "unknown": sorted(window.unknown),
        "rows": window.rows, "repeated": window.repeated, "refused": window.refused, "unreadable": window.unreadable,
        "version": window.version, "first": window.first, "last": window.last, "since": since.isoformat(),
        "alpha": part.alpha, "correction": part.correction,
        "tests": sum(item.p_adjusted is not None for item in judged.findings),
    }  # fmt: skip
    seen = any(item.p_adjusted is not None for item in judged.findings)
    return Found(
        verdict,
        summary_of(part, window, verdicts, judged.marks),
        figures,
        tuple(alarms_of(judged.findings, judged.details)),
        (lambda: _draw(job, part, reference, judged.columns, figures)) if seen else None,
    )


def _load(path: str) -> FrozenReference:
    try:
        return FrozenReference.model_validate_json(Path(path).read_bytes())
    except ValidationError as error:
        raise MlctlError.of(
            "monitor.not-applied",
            "the frozen reference cannot be read",
            f"it was frozen by another version of mlctl, or changed: {error.errors()[0]['msg']}",
            "run `mlctl apply`",
        ) from None


def read(part: DataPart, reference: FrozenReference, predictions: Path, since: datetime, until: datetime) -> Window:
    """The window, as far as the part needs it."""
    kinds = {name: reference.columns[name].kind for name in part.tests if name != SCORE}
    draw: list[str] = []
    if part.together is not None:
        from mlctl.runtime.monitor.together import columns_of

        draw = columns_of(part.together)
    known = {*reference.columns, *part.untested}
    return read_window(predictions, kinds, since, until, draw=draw, known=known, every_row=part.unit == "row")


def judge(part: DataPart, reference: FrozenReference, window: Window) -> Judged:
    """All tests of all columns and of all features together, and the decision over them."""
    columns: dict[str, Numbers | Categories] = {
        name: window.latest_scores() if name == SCORE else window.columns[name] for name in part.tests
    }
    scores = columns.get(SCORE)
    if isinstance(scores, Numbers) and reference.score is not None:
        columns[SCORE] = as_frozen(reference.score, scores)
    tests: list[tuple[str, Method, Comparison]] = []
    for name, methods in part.tests.items():
        frozen: NumericColumn | CategoricalColumn | None
        frozen = reference.score if name == SCORE else reference.columns[name]
        if frozen is not None:
            found = compare(frozen, columns[name], methods, part.min_rows)
            tests += [(name, method, item) for method, item in found.items()]
    details: dict[str, Any] = {}
    if part.together is not None:
        from mlctl.runtime.monitor.together import columns_of, compare_together

        names = columns_of(part.together)
        drawn = {name: [row[index] for row in window.drawn] for index, name in enumerate(names)}
        joint, details = compare_together(part.together, drawn, part.min_rows)
        tests += [(ALL, method, item) for method, item in joint.items()]
    margins = {Method(name): margin for name, margin in part.margins.items()}
    findings = decide(tests, part.alpha, part.correction, margins, part.min_rows)
    return Judged(columns, findings, marks_of(reference, columns, window, part.tests), details)


def _draw(
    job: MonitorJob,
    part: DataPart,
    reference: FrozenReference,
    columns: Mapping[str, Numbers | Categories],
    figures: Mapping[str, Any],
) -> str:
    from mlctl.runtime.monitor.drawing import data_section  # Evidently and pandas, only when something is drawn

    beside = None if job.report is None else Path(job.report).parent
    return data_section(part, reference, columns, figures, beside)
