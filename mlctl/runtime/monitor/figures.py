"""What the part `data` tells of a run: figures by column, alarms, one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlctl.runtime.monitor.compare import present
from mlctl.runtime.monitor.window import Categories, Numbers, Window
from mlctl.stats.drift import TOGETHER, Finding, Method, Verdict
from mlctl.types.jobs.monitor import ALL, Alarm, DataPart

_UNITS = {
    Method.DOMAIN_CLASSIFIER: "can be told from the reference with an area of {effect:.3g}",
    Method.PCA: "go together otherwise: reconstruction errors moved by {effect:.3g}",
    Method.AUTOENCODER: "go together otherwise: reconstruction errors moved by {effect:.3g}",
}


def column_figures(
    columns: Mapping[str, Numbers | Categories],
    findings: Sequence[Finding],
    verdicts: Mapping[str, Verdict],
    marks: Mapping[str, str],
    details: Mapping[str, Any],
) -> dict[str, Any]:
    """By column, and under a name of their own those of all features together: the verdict, the rows, and each test."""
    found: dict[str, Any] = {}
    for name, verdict in verdicts.items():
        own = [item for item in findings if item.column == name]
        rows, missing = (own[0].rows, 0) if name == ALL else _rows(columns[name])
        tests = {
            item.method.value: {
                "statistic": item.statistic, "effect": item.effect, "margin": item.margin, "p_value": item.p_value, "p_adjusted": item.p_adjusted,
                "rows": item.rows, "reference_rows": item.reference_rows, "verdict": item.verdict.value,
            }
            for item in own
        }  # fmt: skip
        found[name] = {"verdict": verdict.value, "rows": rows, "missing": missing, "tests": tests}
        if name in marks:
            found[name]["marked"] = marks[name]
        if name == ALL and details:
            found[name]["details"] = dict(details)
    return found


def alarms_of(findings: Sequence[Finding], details: Mapping[str, Any]) -> Iterator[Alarm]:
    """One for each column that moved, told by the test that is surest of it."""
    surest: dict[str, Finding] = {}
    for item in findings:
        if item.verdict is Verdict.ALARM and item.p_adjusted is not None:
            known = surest.get(item.column)
            if known is None or item.p_adjusted < (known.p_adjusted or 0.0):
                surest[item.column] = item
    for name, item in surest.items():
        says = (
            f"{_moved(item)} ({item.method.value}; {item.margin:g} is worth an alarm), adjusted p {item.p_adjusted:.2g}"
        )
        named = [feature["feature"] for feature in details.get("features", ())] if name == ALL else []
        yield Alarm(
            part="data",
            name=name,
            says=f"{says}; told apart by {', '.join(named)}" if named else says,
            method=item.method.value,
            effect=item.effect,
            margin=item.margin,
            p_adjusted=item.p_adjusted,
        )


def summary_of(part: DataPart, window: Window, verdicts: Mapping[str, Verdict], marks: Mapping[str, str]) -> str:
    """One line: what moved, or why nothing can be said."""
    alarms = [name for name, item in verdicts.items() if item is Verdict.ALARM]
    lacking = [name for name, item in verdicts.items() if item is Verdict.NO_DATA and name not in marks]
    repeated = f" ({window.repeated} more repeat one of them)" if window.repeated else ""
    odd = "".join(f"; {name}: {text}" for name, text in marks.items())
    many = len(part.tests)
    if alarms:
        single = [name for name in alarms if name != ALL]
        told = [f"{len(single)} of {many} columns drifted"] if single else []
        told += ["the features together drifted"] if ALL in alarms else []
        names = f": {', '.join(single)}" if single else ""
        return f"{' and '.join(told)} in {window.rows} predictions{repeated}{names}{odd}"
    if window.rows < part.min_rows:
        return f"{window.rows} predictions in the window{repeated}, and {part.min_rows} are needed"
    if lacking:
        return f"{window.rows} predictions{repeated}, but too few values of {', '.join(lacking)}; does the deployment log its features?{odd}"
    if marks:
        return f"{window.rows} predictions{repeated}, of which not all can be tested{odd}"
    if not many:
        return f"no drift in the features together of {window.rows} predictions{repeated}"
    return f"no drift in {many} columns of {window.rows} predictions{repeated}"


def _moved(item: Finding) -> str:
    if item.method in TOGETHER:
        return "the features " + _UNITS[item.method].format(effect=item.effect)
    return f"{item.column} moved by {item.effect:.3g}"


def _rows(column: Numbers | Categories) -> tuple[int, int]:
    """Rows that have the column at all, and how many of them have no value in it."""
    if isinstance(column, Numbers):
        return len(column.values), len(column.values) - len(present(column))
    return sum(column.counts.values()), column.counts.get(None, 0)
