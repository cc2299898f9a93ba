"""What is in a dataset: its schema, how many rows, and statistics of each column. What is no local file is brought first."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.profile import dirt
from mlctl.runtime.profile.database import database
from mlctl.runtime.profile.source import detect, staged
from mlctl.runtime.profile.statistics import compute, document, summary
from mlctl.runtime.profile.types import family
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.copy import PROFILE_FILE, DatabaseCopy
from mlctl.types.jobs.profile import ProfileParams, Source
from mlctl.types.value import Json


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Profile one dataset."""
    asked = ProfileParams.model_validate(params)
    if asked.database is not None and asked.database.target is None:
        return _in_place(asked, asked.database, report)
    brought = _bring(asked, report)
    for file in asked.files:
        _present(file)
    with database(report.folder) as connection:
        report.progress("reading the schema")
        columns = detect(connection, asked.files, asked.format, asked.partitions)
        _refuse(asked, columns)
        source = Source(files=asked.files, format=asked.format, columns=columns, partitions=asked.partitions)
        table = staged(connection, source, report.folder)
        rows, statistics = compute(
            connection, table, columns, lambda text, done, total: report.progress(text, done, total, "columns")
        )
        for name, found in dirt.dirty_texts(connection, table, columns, statistics, rows).items():
            statistics[name]["text"] = found
        key = list(dict.fromkeys([*asked.key, *([asked.timestamp] if asked.timestamp is not None else [])]))
        repeated = dirt.repeated_keys(connection, table, key, rows) if asked.key else 0
    # the state holds a word of a key that does not tell rows apart, and none of one that does
    others: dict[str, Json] = {**brought, **({"repeated_keys": repeated} if repeated else {})}
    return _result(report, rows, columns, statistics, others, key)


def _bring(asked: ProfileParams, report: Report) -> dict[str, Json]:
    """Make local files of what is not: the outputs that tell of it."""
    if asked.download is not None:
        from mlctl.runtime.profile.copy import s3

        s3.fetch(asked.download, report)
    if asked.database is None or asked.database.target is None:
        return {}
    from mlctl.runtime.profile.copy import parquet

    target = Path(asked.database.target)
    _copy(asked.database, target, report)
    report.progress("digesting the rows")
    return {"copied": {"rows": parquet.rows_digest(target)}}


def _copy(source: DatabaseCopy, target: Path, report: Report) -> None:
    """Copy a table or query. Each client is imported only where it is needed."""
    if source.type == "sqlite":
        from mlctl.runtime.profile.copy import sqlite

        sqlite.copy(source, target, report)
    elif source.type == "duckdb":
        from mlctl.runtime.profile.copy import duckdb_file

        duckdb_file.copy(source, target, report)
    elif source.type == "postgres":
        from mlctl.runtime.profile.copy import postgres

        postgres.copy(source, target, report)
    else:
        from mlctl.runtime.profile.copy import warehouse

        warehouse.copy(source, target, report)


def _in_place(asked: ProfileParams, source: DatabaseCopy, report: Report) -> JobResult:
    """Profile rows where they are."""
    from mlctl.runtime.profile.copy import remote

    found = remote.profile(source, report)
    _refuse(asked, found.columns)
    return _result(report, found.rows, found.columns, found.statistics, {"relation": found.relation})


def _result(
    report: Report,
    rows: int,
    columns: Mapping[str, str],
    statistics: Mapping[str, dict[str, Any]],
    others: Mapping[str, Json],
    key: Sequence[str] = (),
) -> JobResult:
    profile = report.folder / PROFILE_FILE
    known = dict(statistics)
    written = document(rows, columns, known)
    if "repeated_keys" in others:
        written["key"] = {"columns": list(key), "repeated": others["repeated_keys"]}
    atomic.write_bytes(profile, json.dumps(written, allow_nan=False).encode())
    outputs = {
        "rows": rows,
        "columns": dict(columns),
        "statistics": summary(known),
        "profile": os.path.relpath(profile),
    }
    return JobResult(JobStatus.DONE, {**outputs, **others})


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


def _refuse(asked: ProfileParams, columns: Mapping[str, str]) -> None:
    """Raise MlctlError for columns that the spec names and the data does not have, or has as something else."""
    problems = _problems(asked, columns)
    if problems:
        raise MlctlError(problems)


def _problems(asked: ProfileParams, columns: Mapping[str, str]) -> list[Diagnostic]:
    named = [("timestamp", asked.timestamp)] if asked.timestamp is not None else []
    named += [("key", name) for name in asked.key]
    where = asked.files[0] if asked.files else "the table"
    problems = [
        Diagnostic(
            "data.missing-column",
            f"there is no column `{name}`",
            f"the dataset names it as its {role}; the columns of {where} are {_shown(columns)}",
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
