"""PostgreSQL to Parquet: one snapshot of the database, streamed by COPY, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv

from mlctl.databases import look, postgres, sql, versions
from mlctl.runtime.profile.copy import parquet
from mlctl.runtime.profile.copy.changed import changed
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import DatabaseCopy

_BLOCK = 8 << 20  # bytes of CSV parsed at once
_MISFIT = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?(.*)", re.DOTALL)


def copy(source: DatabaseCopy, target: Path, report: Report) -> int:
    """Copy the rows that the plan saw. Raises MlctlError, also when they are not there as they were."""
    with look.extra("postgres"), postgres.session(source.connection) as connection:  # noqa: S610 (not Django's)
        columns = postgres.columns(connection, source.relation)
        look.refuse_order(source, columns)
        upto = look.condition(source, columns)
        report.progress("comparing with what was planned")
        now = look.version(source, "postgres", lambda query: connection.execute(query).fetchone(), upto)
        if now != source.version:
            raise changed(source, now)
        query = sql.rows("postgres", source.relation, source.order, upto)
        with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as rows:
            batches = record_batches(_Blocks(rows), columns)
            return parquet.write(batches, columns, target, report, versions.count(now))


class _Blocks:
    """The rows of a COPY as a file that is read in large pieces."""

    closed = False

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = iter(rows)
        self._rest = bytearray()

    def read(self, size: int = -1) -> bytes:
        """So many bytes; fewer only at the end."""
        wanted = _BLOCK if size < 0 else size
        for row in self._rows:
            self._rest += row
            if len(self._rest) >= wanted:
                break
        piece = bytes(self._rest[:wanted])
        del self._rest[:wanted]
        return piece

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def close(self) -> None:
        """Nothing is held open here."""


def record_batches(stream: Any, columns: Mapping[str, str], block: int = _BLOCK) -> Iterator[pa.RecordBatch]:
    """The batches of PostgreSQL's CSV: an empty field is NULL, a quoted empty one is the empty text. Raises MlctlError."""
    names = list(columns)
    kinds = {name: parquet.arrow_type(found) for name, found in columns.items()}
    binary = [index for index, name in enumerate(names) if pa.types.is_binary(kinds[name])]
    read_as = {name: pa.string() if pa.types.is_binary(kind) else kind for name, kind in kinds.items()}
    try:
        reader = pcsv.open_csv(
            stream,
            read_options=pcsv.ReadOptions(column_names=names, block_size=block, use_threads=False),
            # a table of one column has empty lines for its nulls
            parse_options=pcsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pcsv.ConvertOptions(
                column_types=read_as, null_values=[""], true_values=["t"], false_values=["f"],
                strings_can_be_null=True, quoted_strings_can_be_null=False,
            ),
        )  # fmt: skip
        for batch in reader:
            yield _with_bytes(batch, binary)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return
        raise _explained(str(error), columns) from None


def _with_bytes(batch: pa.RecordBatch, binary: list[int]) -> pa.RecordBatch:
    """The batch with bytes for their text, which is `\\x` and hex digits."""
    for index in binary:
        values = [None if item is None else bytes.fromhex(item[2:]) for item in batch.column(index).to_pylist()]
        batch = batch.set_column(index, batch.schema.names[index], pa.array(values, pa.binary()))
    return batch


def _explained(said: str, columns: Mapping[str, str]) -> MlctlError:
    found = _MISFIT.search(said)
    if found is not None:
        name, kind = list(columns.items())[int(found[1])]
        row = f"row {int(found[2]):,}: " if found[2] else ""
        return parquet.misfit(name, kind, row + found[3])
    if "straddling" in said:
        return MlctlError.of(
            "data.row-too-long",
            f"a row is longer than {_BLOCK >> 20} MB",
            said[:300],
            "write a `query` that leaves the long column out",
        )
    return MlctlError.of("data.unreadable", "the rows cannot be read", said[:300], "write a `query` with other types")
