"""What is in a dataset: its schema, how many rows, and statistics of each column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.runtime.profile.database import database
from mlctl.runtime.profile.source import detect, relation
from mlctl.runtime.profile.statistics import compute, family
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.profile import ProfileParams, Source


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Profile the files of one dataset."""
    asked = ProfileParams.model_validate(params)
    for file in asked.files:
        _present(file)
    with database(report.folder) as connection:
        report.progress("reading the schema")
        columns = detect(connection, asked.files, asked.format)
        if problems := _problems(asked, columns):
            raise MlctlError(problems)
        table = relation(Source(files=asked.files, format=asked.format, columns=columns, key=asked.key))
        rows, statistics = compute(
            connection, table, columns, lambda text, done, total: report.progress(text, done, total, "columns")
        )
    return JobResult(JobStatus.DONE, {"rows": rows, "columns": columns, "statistics": statistics})


def _present(file: str) -> None:
    """Refuse a file that is gone, or that is not even an empty table."""
    try:
        size = Path(file).stat().st_size
    except OSError as error:
        raise MlctlError.of(
            "data.missing-file",
            f"`{file}` vanished before it was read",
            str(error),
            "put the file back and run `mlctl apply` again",
        ) from None
    if size == 0:
        raise MlctlError.of(
            "data.empty-file",
            f"`{file}` is empty",
            "it holds not even the names of columns",
            "write the file again, or take it out of the dataset",
        )


def _problems(asked: ProfileParams, columns: Mapping[str, str]) -> list[Diagnostic]:
    """Columns that the spec names and the files do not have, or have as something else."""
    named = [("timestamp", asked.timestamp)] if asked.timestamp is not None else []
    named += [("key", name) for name in asked.key]
    problems = [
        Diagnostic(
            "data.missing-column",
            f"there is no column `{name}`",
            f"the dataset names it as its {role}; the columns of {asked.files[0]} are {_shown(columns)}",
            did_you_mean(name, columns),
        )
        for role, name in named
        if name not in columns
    ]
    found = columns.get(asked.timestamp or "")
    if found is not None and family(found) != "time":
        fix = (
            "write its values as ISO 8601, for example `2024-01-31T12:00:00`"
            if asked.format != "parquet"
            else "store it as a timestamp"
        )
        problems.append(
            Diagnostic(
                "data.wrong-type",
                f"the timestamp column `{asked.timestamp}` is {found}",
                "rows are put in order and joined by time, which takes a date or timestamp column",
                fix,
            )
        )
    return problems


def _shown(columns: Mapping[str, str]) -> str:
    names = [f"`{name}`" for name in columns]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
