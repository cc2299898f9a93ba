"""The rows of a batch: what is kept of each, and what the model reads, in one file that parts are cut from.

Made once and in the order of the dataset, so that a job that goes on after a kill cuts the same parts.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal(); `where` is the project's own SQL)

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from mlctl.files import atomic
from mlctl.runtime.features.join import point_in_time_join
from mlctl.runtime.features.sql import columns_of, write_parquet
from mlctl.runtime.features.transform_table import add_transformed
from mlctl.runtime.profile.database import database, own_parquet, quote
from mlctl.runtime.profile.source import relation
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.batch import BatchJob
from mlctl.types.jobs.features import LabelSource, keys_of
from mlctl.types.jobs.learnable import is_number

ROWS_FILE = "rows.parquet"
_NOTE_FILE = "rows.json"  # written after it: {"rows": n}
_INPUT = "mlctl_x"  # columns of model input: mlctl_x0, mlctl_x1 and so on
_PROMPT = "mlctl_prompt"
_UNKNOWN = "mlctl_unknown"  # whether no view knows the keys of a row
_AT_ONCE = 16_384


def prepare(job: BatchJob, folder: Path) -> int:
    """Make the file, if it is not there, and give the number of its rows. Raises MlctlError."""
    note = folder / _NOTE_FILE
    try:
        if (folder / ROWS_FILE).is_file():
            return int(json.loads(note.read_bytes())["rows"])
    except (OSError, ValueError, KeyError):
        pass
    _need(job)
    with database(folder) as connection:
        source, filtered = relation(job.dataset.source), folder / "filtered.parquet"
        if job.where is not None:
            write_parquet(connection, _filtered(connection, source, job.where), filtered)
            source = own_parquet(str(filtered))
        write_parquet(connection, _query(job, connection, source, folder), folder / ROWS_FILE)
    for name in ("filtered.parquet", "joined.parquet", "computed.parquet"):
        (folder / name).unlink(missing_ok=True)
    rows = parquet.read_metadata(folder / ROWS_FILE).num_rows
    atomic.write_json(note, {"rows": rows})
    return int(rows)


def check_names(job: BatchJob) -> None:
    """None of what is kept has the name of a column that is made. Raises MlctlError."""
    made = {"answer", "error"} if job.generation is not None else {"score", "prediction"}
    taken = sorted({*kept(job)} & {*made, "model", "model_version"})
    if taken:
        raise MlctlError.of(
            "batch.name-collision",
            f"`{taken[0]}` is a column of `{job.dataset.name}`, and one that the batch makes",
            "a table has each name once",
            "leave it out of `columns`, or rename it in the dataset",
        )


def discard(folder: Path) -> None:
    """Take the file away, once all parts are cut from it."""
    for name in (_NOTE_FILE, ROWS_FILE):
        (folder / name).unlink(missing_ok=True)


def kept(job: BatchJob) -> list[str]:
    """The columns of the dataset that go into the output: its key and time, and those that are asked for."""
    time = [job.dataset.timestamp] if job.dataset.timestamp is not None else []
    keys = [key.name for key in keys_of(job.model.views)]
    return list(dict.fromkeys([*job.dataset.key, *keys, *time, *job.columns]))


class Rows:
    """Rows of the file, some at a time."""

    def __init__(self, folder: Path) -> None:
        self._file = parquet.ParquetFile(folder / ROWS_FILE)
        sizes = [self._file.metadata.row_group(index).num_rows for index in range(self._file.num_row_groups)]
        self._starts = [sum(sizes[:index]) for index in range(len(sizes) + 1)]

    def between(self, start: int, stop: int, at_once: int = _AT_ONCE) -> Iterator[Any]:
        """The rows from `start` up to `stop`, as tables of at most `at_once` rows. Row groups before and after are not read."""
        groups = [
            index for index in range(len(self._starts) - 1)
            if self._starts[index] < stop and self._starts[index + 1] > start
        ]  # fmt: skip
        place = self._starts[groups[0]] if groups else 0
        for batch in self._file.iter_batches(at_once, row_groups=groups):
            first, last = max(start - place, 0), min(stop - place, batch.num_rows)
            place += batch.num_rows
            if first < last:
                yield arrow.Table.from_batches([batch.slice(first, last - first)])


def inputs(table: Any, columns: int) -> Any:
    """What the model reads of some rows: float64 (rows, columns), NaN where a value is missing or infinite."""
    made = [
        np.asarray(table.column(f"{_INPUT}{index}").to_numpy(zero_copy_only=False), np.float64)
        for index in range(columns)
    ]
    matrix = np.column_stack(made)
    return np.where(np.isfinite(matrix), matrix, np.nan)


def unknown(table: Any) -> Any:
    """Which rows have keys that no view knows at their time."""
    return np.asarray(table.column(_UNKNOWN).to_numpy(zero_copy_only=False), dtype=bool)


def prompts(table: Any) -> list[str | None]:
    """The prompts of some rows, or their conversations as JSON text."""
    found: list[str | None] = table.column(_PROMPT).to_pylist()
    return found


def _need(job: BatchJob) -> None:
    """Columns that the block names are there. Raises MlctlError."""
    asked = () if job.generation is None else (job.generation.prompt or job.generation.messages or "",)
    for name in [*kept(job), *asked]:
        if name not in job.dataset.columns:
            raise MlctlError.of(
                "data.missing-column",
                f"`{job.dataset.name}` has no column `{name}`",
                "the block names it, or it is a key of a feature view that the model reads",
                did_you_mean(name, job.dataset.columns),
            )
    if job.model.views:
        _timestamp(job)


def _timestamp(job: BatchJob) -> str:
    """The column with the time of each row. Raises MlctlError."""
    if job.dataset.timestamp is None:
        raise MlctlError.of(
            "batch.no-timestamp",
            f"the dataset `{job.dataset.name}` has no `timestamp`",
            "features are looked up as they were known at the time of each row",
            f"set `timestamp:` on datasets.{job.dataset.name}",
        )
    return job.dataset.timestamp


def _filtered(connection: Any, source: str, where: str) -> str:
    import duckdb

    query = f"SELECT * FROM {source} WHERE ({where})"
    try:
        connection.execute(f"EXPLAIN {query}").fetchall()
    except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
        raise MlctlError.of(
            "batch.bad-where",
            f"`where: {where}` is no condition on the dataset's rows",
            str(error).strip().splitlines()[0],
            "write a condition in SQL over its columns, for example `country = 'de'`",
        ) from None
    return query


def _query(job: BatchJob, connection: Any, source: str, folder: Path) -> str:
    names = [quote(name) for name in kept(job)]
    if job.generation is not None:
        column = job.generation.prompt or job.generation.messages or ""
        text = f"CAST({quote(column)} AS VARCHAR)"
        if job.generation.messages is not None and job.dataset.columns[column] not in ("json", "varchar"):
            text = f"CAST(to_json({quote(column)}) AS VARCHAR)"
        return f"SELECT {', '.join([*names, f'{text} AS {_PROMPT}'])} FROM {source}"
    serving = job.model.row_features
    table, joined = source, folder / "joined.parquet"
    if job.model.views:
        point_in_time_join(_labels(job, folder), job.model.views, joined)
        table = own_parquet(str(joined))
    if serving.transformations:
        if not job.model.views:
            write_parquet(connection, f"SELECT * FROM {source}", joined)
        table = add_transformed(connection, joined, serving.transformations, folder / "computed.parquet")
    _check_types(job.dataset.name, columns_of(connection, table), serving.columns)
    read = [f"CAST({quote(name)} AS DOUBLE) AS {_INPUT}{index}" for index, name in enumerate(serving.columns)]
    features = [name for view in job.model.views for name in view.features]
    nothing = " AND ".join(f"{quote(name)} IS NULL" for name in features) or "false"
    return f"SELECT {', '.join([*names, *read, f'({nothing}) AS {_UNKNOWN}'])} FROM {table}"


def _labels(job: BatchJob, folder: Path) -> LabelSource:
    dataset, timestamp = job.dataset, _timestamp(job)
    if job.where is not None:
        filtered = str(folder / "filtered.parquet")
        return LabelSource(files=[filtered], format="parquet", timestamp=timestamp)
    return LabelSource(
        files=dataset.files, format=dataset.format, timestamp=timestamp, columns=dataset.columns,
        partitions=dataset.partitions,
    )  # fmt: skip


def _check_types(dataset: str, types: Mapping[str, str], columns: Sequence[str]) -> None:
    for name in columns:
        if name not in types:
            raise MlctlError.of(
                "data.missing-column",
                f"`{dataset}` has no column `{name}`",
                "the model reads it, and no feature view or transformation gives it",
                did_you_mean(name, types),
            )
        if not is_number(types[name]):
            raise MlctlError.of(
                "batch.not-numeric",
                f"`{name}` of `{dataset}` is {types[name]}, and the model reads numbers",
                "",
                "write it as a number, as in what the model was trained on",
            )
