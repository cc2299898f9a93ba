"""The `label_lookup` program: the label of one prediction, as the monitors of its deployment would join it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.runtime.profile.database import database, quote
from mlctl.runtime.profile.source import relation
from mlctl.runtime.report import Report
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.label_lookup import LabelLookup, LabelSource

_MOST = 10  # labels of one prediction that are told
_AFTER_ANSWER_SECONDS = 2.0  # as the monitors have it: a label may be quicker than the log


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Look in each dataset. Raises MlctlError for one that cannot be read."""
    asked = LabelLookup.model_validate(params)
    return JobResult(JobStatus.DONE, {"labels": [look(asked, source, report.folder) for source in asked.sources]})


def look(asked: LabelLookup, source: LabelSource, folder: Path) -> dict[str, Any]:
    """What one monitor would find: all rows of the prediction's id, or of its key the first one after it and before the next prediction."""
    joining = source.joining
    told: dict[str, Any] = {"monitor": source.monitor, "dataset": joining.dataset, "by": _by(source), "found": []}
    key = asked.key or {}
    if missing := [name for name in joining.key if key.get(name) is None]:
        return {**told, "why": f"the prediction has no `{missing[0]}`"}
    conditions = [f"CAST({quote(name)} AS VARCHAR) = ?" for name in joining.key]
    values = [str(key[name]) for name in joining.key]
    if joining.id is not None:
        conditions.append(f"CAST({quote(joining.id)} AS VARCHAR) = ?")
        values.append(asked.request_id)
    moment = f"CAST({quote(joining.timestamp)} AS TIMESTAMP)"
    if joining.source.columns.get(joining.timestamp) == "date":
        moment = f"({moment} + INTERVAL 86399 SECOND)"  # what is known on a day is known at its end
    query = (
        f"SELECT {moment} AS moment, {quote(source.label)} AS label FROM {relation(joining.source)} "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} ORDER BY moment"
    )
    with database(folder) as connection:
        rows = connection.execute(query, values).fetchall()
    since = datetime.fromisoformat(asked.at)
    following = None if asked.next_at is None else (datetime.fromisoformat(asked.next_at) - since).total_seconds()
    found, early, taken = [], 0, 0
    for at, label in rows:
        lag = None if at is None else (at.replace(tzinfo=UTC) - since).total_seconds()
        if joining.id is None and (lag is None or lag < 0):
            continue  # it was about an earlier prediction of the same key
        if joining.id is None and following is not None and lag is not None and lag >= following:
            taken += 1  # a later one knew more
            continue
        if lag is not None and lag < -_AFTER_ANSWER_SECONDS:
            early += 1  # nobody predicts what has happened
            continue
        late = lag is not None and lag > joining.within_window_seconds
        plain = label if isinstance(label, bool | int | float | str) else None if label is None else str(label)
        found.append(
            {
                "label": plain,
                "at": None if at is None else at.replace(tzinfo=UTC).isoformat(),
                "lag_seconds": lag,
                "late": late,
            }
        )
    if not found and early:
        return {**told, "why": "its label is from before the prediction, and does not count"}
    if not found and taken:
        return {**told, "why": "the label came after a later prediction of the same key, and is that one's"}
    if not found:
        age = (datetime.now(UTC) - since).total_seconds()
        pending = age <= joining.within_window_seconds
        return {**told, "why": "no label yet: it may still come" if pending else "no label came in time"}
    return {**told, "found": found[: 1 if joining.id is None else _MOST], "why": ""}


def _by(source: LabelSource) -> list[str]:
    joining = source.joining
    return [*([joining.id] if joining.id is not None else []), *joining.key]
