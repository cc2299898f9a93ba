"""Rows as they come into one Parquet file, in bounded memory, and the digest of the rows in such a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3

from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.value import digest

_CELLS = 2_000_000  # held at once; a row group is of about so many
_FEWEST, _MOST = 1_000, 200_000  # rows at once
_BYTES = 128 << 20  # and no more than about so many bytes, for long texts
_REPORT_SECONDS = 1.0

_PLAIN = {  # the Arrow type of a DuckDB one
    "boolean": pa.bool_(), "tinyint": pa.int8(), "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(),
    "float": pa.float32(), "double": pa.float64(), "varchar": pa.string(), "blob": pa.binary(), "date": pa.date32(),
    "time": pa.time64("us"), "timestamp": pa.timestamp("us"), "timestamp with time zone": pa.timestamp("us", "UTC"),
}  # fmt: skip

_WHOLE = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}  # by width in bits


def arrow_type(found: str) -> pa.DataType:
    """The Arrow type of a DuckDB type, of those that databases' columns are given here."""
    if found.startswith("decimal("):
        digits, scale = found[len("decimal(") : -1].split(",")
        return pa.decimal128(int(digits), int(scale))
    return _PLAIN[found]


def write(
    batches: Iterable[pa.RecordBatch], columns: Mapping[str, str], target: Path, report: Report, total: int | None
) -> int:
    """Write record batches as one file, beside and then swapped in; gives the number of rows. Raises MlctlError."""
    schema = pa.schema([(name, arrow_type(found)) for name, found in columns.items()])
    beside = part_of(target)
    rows, told = 0, time.monotonic()
    with pq.ParquetWriter(beside, schema, compression="zstd", coerce_timestamps="us") as writer:
        for table in _groups(_cast(batches, schema), schema):
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            rows += table.num_rows
            if time.monotonic() - told > _REPORT_SECONDS:
                report.progress("copying rows", rows, total, "rows")
                told = time.monotonic()
    finish(beside, target)
    return rows


def part_of(target: Path) -> Path:
    """Where a file is written until it is whole."""
    return target.with_name(f".{target.name}.part")


def finish(beside: Path, target: Path) -> None:
    """Make a whole file durable, and put it in its place."""
    os.chmod(beside, 0o600)
    handle = os.open(beside, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(beside, target)


def rows_at_once(columns: int) -> int:
    """How many rows of so many columns are held in memory."""
    return max(_FEWEST, min(_MOST, _CELLS // max(1, columns)))


def rows_digest(path: Path) -> str:
    """The digest of the columns, their types and all values in order; the same however the file is laid out or compressed."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        hashes = [_Column(field.type) for field in schema]
        for batch in file.iter_batches(batch_size=rows_at_once(len(schema))):
            for column, values in zip(hashes, batch.columns, strict=True):
                column.add(values)
        found = [[field.name, str(field.type), column.digest()] for field, column in zip(schema, hashes, strict=True)]
        return digest([file.metadata.num_rows, found])


class _Column:
    """What a column holds: which rows are null, how long each value is where lengths differ, and the values."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._nulls, self._lengths, self._values = blake3(), blake3(), blake3()

    def add(self, values: pa.Array) -> None:
        """Take in the next values."""
        self._nulls.update(_bytes(pc.is_null(values).cast(pa.uint8())))
        if not _is_plain(self._kind):
            values = pa.array([json.dumps(item, default=str) for item in values.to_pylist()], pa.string())
        if _is_text(values.type):
            texts = pc.fill_null(values.cast(pa.large_binary()), b"")
            self._lengths.update(_bytes(pc.binary_length(texts)))
            self._values.update(_text_bytes(texts))
        else:
            self._values.update(_bytes(_filled(values)))

    def digest(self) -> str:
        """Of everything that was taken in."""
        return blake3(self._nulls.digest() + self._lengths.digest() + self._values.digest()).hexdigest()


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind) or types.is_binary(kind) or types.is_large_string(kind) or types.is_large_binary(kind)
    )


def _is_plain(kind: pa.DataType) -> bool:
    """Whether values are of a fixed width, or texts; all others are looked at as JSON."""
    return bool(pa.types.is_primitive(kind) or pa.types.is_decimal128(kind) or _is_text(kind))


def _filled(values: pa.Array) -> pa.Array:
    """Values of a fixed width with zeros for nulls, whose bytes could be anything."""
    kind = values.type
    if pa.types.is_boolean(kind):
        return pc.fill_null(values.cast(pa.uint8()), 0)
    if values.null_count == 0:
        return values
    if pa.types.is_decimal128(kind):
        return pc.fill_null(values, pa.scalar(Decimal(0), kind))
    return pc.fill_null(values.view(_WHOLE[kind.bit_width]), 0)


def _bytes(values: pa.Array) -> memoryview:
    """The bytes of an array of fixed width without those before and after its slice."""
    width = values.type.bit_width // 8
    start = values.offset * width
    return memoryview(values.buffers()[1])[start : start + len(values) * width] if len(values) else memoryview(b"")


def _text_bytes(values: pa.Array) -> memoryview:
    """The bytes of all values of a large_binary array, one after the other."""
    if not len(values) or values.buffers()[2] is None:
        return memoryview(b"")
    offsets = memoryview(values.buffers()[1]).cast("q")
    return memoryview(values.buffers()[2])[offsets[values.offset] : offsets[values.offset + len(values)]]


def _cast(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The batches with the types that were announced. Raises MlctlError for a value that does not fit."""
    for batch in batches:
        if batch.schema.equals(schema):
            yield batch
            continue
        columns = []
        for field, values in zip(schema, batch.columns, strict=True):
            try:
                columns.append(_as(values, field.type))
            except pa.ArrowInvalid as error:
                raise misfit(field.name, str(field.type), str(error)) from None
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _as(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """One column as another type; what has no plain type becomes text."""
    if pa.types.is_string(kind) and not _is_plain(values.type) and not pa.types.is_dictionary(values.type):
        return pa.array([None if item is None else json.dumps(item, default=str) for item in values.to_pylist()], kind)
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        return values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(kind)  # what Parquet's readers agree on
    return values.cast(kind)


def misfit(column: str, kind: str, said: str) -> MlctlError:
    """A value that the column's type cannot hold."""
    return MlctlError.of(
        "data.value-does-not-fit",
        f"a value of `{column}` does not fit the column's type {kind}",
        said[:300],
        "mend the row, or write a `query` that casts the column",
    )


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables of about as many rows as are to be held at once."""
    most = rows_at_once(len(schema))
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= most or size >= _BYTES:
            yield pa.Table.from_batches(held, schema)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, schema)
