"""From a dataset and feature views to rows a model reads: joined point in time, in one fixed order, with digests for leakage checks."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from mlctl.runtime.features.join import point_in_time_join
from mlctl.runtime.features.sql import columns_of, only_row, write_parquet
from mlctl.runtime.features.transform_table import add_transformed
from mlctl.runtime.profile.database import database, own_parquet, quote
from mlctl.runtime.profile.source import relation
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs import learnable
from mlctl.types.jobs.features import LabelSource, Transformation, ViewSource, keys_of
from mlctl.types.jobs.train import TableInput

TIME = "event_timestamp"
ROW_DIGEST = "row_digest"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in a parquet file, sorted by time and key: `keys` and `event_timestamp` (if there is a time) as they were, the
    columns and the target as doubles, and a digest of it all."""

    path: Path
    count: int
    keys: list[str]
    timed: bool
    columns: list[str]
    target: str

    def column(self, name: str) -> Any:
        """One column as float64, NaN where it is missing or infinite."""
        values = parquet.read_table(self.path, columns=[name]).column(0).to_numpy()
        values = np.asarray(values, dtype=np.float64)
        return np.where(np.isfinite(values), values, np.nan)

    def times(self) -> Any:
        """The times of all rows, ascending."""
        return parquet.read_table(self.path, columns=[TIME]).column(0).to_numpy()


def load_rows(
    labels: TableInput,
    views: Sequence[ViewSource],
    target: str,
    columns: Sequence[str] | None,
    folder: Path,
    *,
    transformations: Sequence[Transformation] = (),
    identity: tuple[Sequence[str], bool] | None = None,
) -> Rows:
    """Join, transform and sort. `columns` None means all features, or all columns of the labels that can be features; `identity` says
    which columns tell rows apart, and whether their time does, where that is not to be taken from the labels. Raises MlctlError."""
    folder.mkdir(parents=True, exist_ok=True)
    _need(labels, target, "it is the target")
    joined, computed = folder / "joined.parquet", folder / "computed.parquet"
    if views:
        asked = [target, *labels.key, *(identity[0] if identity is not None else ())]
        asked += [name for item in transformations for name in item.request]
        point_in_time_join(_label_source(labels, views, asked), list(views), joined)
    with database(folder) as connection:
        if views:
            source = own_parquet(str(joined))
            features = [name for view in views for name in view.features]
        else:
            source = relation(labels.source)
            features = learnable.own_features(labels.columns, [target, labels.timestamp, *labels.key])
        if transformations:
            if not views:
                write_parquet(connection, f"SELECT * FROM {source}", joined)
            source = add_transformed(connection, joined, transformations, computed)
        chosen = list(columns) if columns is not None else features
        types = columns_of(connection, source)
        if not only_row(connection, f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT 1)")[0]:
            types = dict.fromkeys(types, "double")  # in a text file without rows each column looks like text
        _check_types(labels, types, chosen, target, given=columns is not None or bool(views))
        keys = sorted(key.name for key in keys_of(views)) or [name for name in labels.key if name != labels.timestamp]
        names, timed = identity if identity is not None else (keys, labels.timestamp is not None)
        rows = Rows(folder / "table.parquet", 0, list(names), timed, chosen, target)
        write_parquet(connection, _query(rows, source, labels.timestamp if timed else None), rows.path)
        timeful = f"count({TIME})" if timed else "count(*)"
        count, placed = only_row(connection, f"SELECT count(*), {timeful} FROM {own_parquet(str(rows.path))}")
    for path in (joined, computed):
        path.unlink(missing_ok=True)
    if placed < count:
        raise MlctlError.of(
            "training.time-missing",
            f"{count - placed:,} rows of `{labels.name}` have no `{labels.timestamp}`",
            "such a row cannot be placed before or after others",
            "drop them, or add a `not_null` data check",
        )
    return Rows(rows.path, int(count), rows.keys, rows.timed, rows.columns, target)


def _label_source(labels: TableInput, views: Sequence[ViewSource], asked: Sequence[str]) -> LabelSource:
    """The labels as the join reads them: key, time, target and what transformations ask for; any other column may be called as a
    feature is. Raises MlctlError."""
    if labels.timestamp is None:
        raise MlctlError.of(
            "training.no-timestamp",
            f"the dataset `{labels.name}` has no `timestamp`",
            "features are looked up as they were known at the time of each row",
            f"set `timestamp:` on datasets.{labels.name}",
        )
    for view in views:
        for key in view.keys:
            _need(labels, key.name, f"it is a key of the feature view `{view.view}`")
    return LabelSource(
        files=labels.files,
        format=labels.format,
        timestamp=labels.timestamp,
        columns=labels.columns,
        partitions=labels.partitions,
        only=list(dict.fromkeys([labels.timestamp, *(key.name for key in keys_of(views)), *asked])),
    )


def target_values(rows: Rows, dataset: str) -> Any:
    """The target of every row. Raises MlctlError when one is missing."""
    values = rows.column(rows.target)
    missing = int(np.isnan(values).sum())
    if missing:
        raise MlctlError([learnable.target_missing(dataset, rows.target, missing, rows.count)])
    return values


def infer_task(target: Any, asked: str | None, name: str) -> str:
    """`binary` when the target is 0 or 1 throughout, else `regression`, unless the spec says which. Raises MlctlError."""
    binary = bool(np.isin(target, (0.0, 1.0)).all())
    if asked == "binary" and not binary:
        odd = sorted({float(value) for value in target[~np.isin(target, (0.0, 1.0))][:1000]})[:3]
        raise MlctlError([learnable.not_binary(name, odd)])
    return asked or ("binary" if binary else "regression")


def boundary(rows: Rows, test_share: float) -> int:
    """How many rows come before the split by time. Rows of one time stay on one side, so the share is met as nearly as that allows."""
    if not rows.timed:
        raise MlctlError.of(
            "training.no-timestamp",
            "a split by time needs times",
            "the labels' dataset has no `timestamp`",
            "set `timestamp:` on the dataset, or `split: {by: random, ...}`",
        )
    times = rows.times()
    wanted = min(math.floor(rows.count * (1 - test_share)), rows.count - 1)
    first = int(np.searchsorted(times, times[wanted], side="left"))
    if first == 0:  # the cut falls into the very first time: take the next
        first = int(np.searchsorted(times, times[wanted], side="right"))
    return first


def _query(rows: Rows, source: str, timestamp: str | None) -> str:
    """Rows with doubles to learn from, sorted by all they hold so that any two runs see one order."""
    parts = [quote(name) for name in rows.keys]
    if timestamp is not None:
        parts.append(f"CAST({quote(timestamp)} AS TIMESTAMP) AS {TIME}")
    numbers = dict.fromkeys([*rows.columns, rows.target])
    parts += [f"CAST({quote(name)} AS DOUBLE) AS {quote(name)}" for name in numbers if name not in rows.keys]
    names = [
        *(quote(name) for name in rows.keys),
        *([TIME] if timestamp is not None else []),
        *(quote(name) for name in numbers if name not in rows.keys),
    ]
    text = ", ".join(f"coalesce({name}::VARCHAR, '~')" for name in names)
    order = ", ".join([*([TIME] if timestamp is not None else []), *(name for name in names if name != TIME)])
    return f"SELECT *, md5(concat_ws('|', {text})) AS {ROW_DIGEST} FROM (SELECT {', '.join(parts)} FROM {source}) ORDER BY {order}"


def _check_types(labels: TableInput, types: dict[str, str], chosen: list[str], target: str, *, given: bool) -> None:
    absent = [name for name in chosen if name not in types]
    if absent:
        why = "it is named in `data.columns`"
        raise MlctlError([learnable.missing_column(labels.name, absent[0], why, types)])
    if not chosen:
        raise MlctlError([learnable.no_features(labels.name)])
    empty = learnable.all_null(labels.statistics, labels.rows)
    problems = list(learnable.not_numeric(types, chosen, target, given=given, empty=empty))
    if problems:
        raise MlctlError(problems)


def _need(labels: TableInput, column: str, why: str) -> None:
    if column not in labels.columns:
        raise MlctlError([learnable.missing_column(labels.name, column, why, labels.columns)])
