"""Add what on-demand transformations compute to a table of joined features."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from mlctl.runtime.features.sql import columns_of
from mlctl.runtime.features.transform import load
from mlctl.runtime.profile.database import literal, quote
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.features import Transformation
from mlctl.types.jobs.learnable import is_number

_ROW = "file_row_number"
_CHUNK_ROWS = 65_536


def add_transformed(connection: Any, table: Path, transformations: Sequence[Transformation], output: Path) -> str:
    """The rows of a parquet file with the features of all transformations, as a table. Raises MlctlError.

    Features are computed portion by portion into `output`. In each portion some rows are computed once more alone, as a
    server would, and have to come out the same to the bit.
    """
    source = f"read_parquet({literal(str(table))}, hive_partitioning=false, file_row_number=true)"
    types = columns_of(connection, source)
    loaded = load(transformations)
    reads = list(dict.fromkeys(name for item in loaded for name in item.reads))
    features = [name for item in loaded for name in item.transformation.features]
    _check(types, transformations, reads)
    fields = ", ".join([_ROW, *(f"CAST({quote(name)} AS DOUBLE) AS {quote(name)}" for name in reads)])
    schema = arrow.schema([(_ROW, arrow.int64()), *((name, arrow.float64()) for name in features)])
    with parquet.ParquetWriter(output, schema, compression="zstd") as writer:
        for batch in connection.sql(f"SELECT {fields} FROM {source}").to_arrow_reader(_CHUNK_ROWS):
            if not batch.num_rows:
                continue
            columns = {name: _array(batch.column(index + 1)) for index, name in enumerate(reads)}
            made: dict[str, Any] = {}
            for item in loaded:
                found = item.apply(columns)
                item.check_rows(columns, found)
                made |= found
            writer.write_table(arrow.table([batch.column(0), *(made[name] for name in features)], schema=schema))
    computed = f"read_parquet({literal(str(output))}, hive_partitioning=false)"
    return f"(SELECT * EXCLUDE ({_ROW}) FROM {source} AS joined JOIN {computed} AS computed USING ({_ROW}) ORDER BY {_ROW})"


def _array(column: Any) -> Any:
    """A column of doubles as float64, NaN where it is null."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _check(types: dict[str, str], transformations: Sequence[Transformation], reads: Sequence[str]) -> None:
    for item in transformations:
        for name in item.request:
            if name not in types:
                raise MlctlError.of(
                    "data.missing-column",
                    f"the labels have no column `{name}`",
                    f"`{item.file}:{item.function}` reads it: what a request brings in serving is a column of the labels in training",
                    did_you_mean(name, [column for column in types if column != _ROW]),
                )
    taken = {name.lower(): "the joined table" for name in types}
    for item in transformations:
        for name in item.features:
            if name.lower() in taken:
                raise MlctlError.of(
                    "features.name-collision",
                    f"`{name}` of the on-demand view `{item.view}` is in {taken[name.lower()]} already",
                    "a joined table has each name once",
                    "rename the feature, or the column of the labels",
                )
            taken[name.lower()] = f"`{item.view}`"
    text = [name for name in reads if not is_number(types[name])]
    if text:
        raise MlctlError.of(
            "features.not-numeric",
            f"`{text[0]}` is {types[text[0]]}, and a transformation reads numbers",
            "",
            "write it as a number in the labels",
        )
