"""The checker's SQL in Spark, over the dataset's own files: on a cluster, or in this process.

The files are read so that Spark sees the rows that DuckDB would: text columns of CSV and JSON are taken as text and cast to
the types that were found, and columns in folder names keep theirs.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

from mlctl.runtime.checks.dialect import readable, translate
from mlctl.runtime.checks.dialect_fixes import Untranslatable
from mlctl.runtime.checks.executor import Refused
from mlctl.runtime.profile.source import header
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.checks import ChecksParams, SparkEngine
from mlctl.types.jobs.profile import Source

_BATCH_ROWS = 20_480
_LOCAL_PARTITIONS = "8"  # of a shuffle; Spark's 200 are meant for a cluster

# DuckDB type (lower case) to Spark's, for columns that are read as text.
_TYPES = {
    "tinyint": "TINYINT", "smallint": "SMALLINT", "integer": "INT", "bigint": "BIGINT", "hugeint": "DECIMAL(38, 0)",
    "utinyint": "SMALLINT", "usmallint": "INT", "uinteger": "BIGINT", "ubigint": "DECIMAL(20, 0)", "float": "FLOAT",
    "double": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP_NTZ", "timestamp_s": "TIMESTAMP_NTZ",
    "timestamp_ms": "TIMESTAMP_NTZ", "timestamp_ns": "TIMESTAMP_NTZ", "timestamp with time zone": "TIMESTAMP",
}  # fmt: skip


class SparkExecutor:
    """Spark SQL over temporary views of the datasets' own names."""

    def __init__(
        self, session: Any, name: str, columns: Mapping[str, str], references: Mapping[str, Mapping[str, str]]
    ) -> None:
        self.session = session
        self.columns = columns
        self.references = references
        self._tables = {name: list(columns)} | {other: list(found) for other, found in references.items()}

    def one(self, sql: str) -> dict[str, Any]:
        """The only row of a query, by column name."""
        [row] = self.many(sql)
        return row

    def many(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query that has few, by column name."""
        with _explained():
            frame = self._run(sql)
            zoned = _zoned(frame)
            return [
                {name: _number(item) if isinstance(item, Decimal) else item for name, item in _row(row, zoned).items()}
                for row in frame.collect()
            ]

    def write(self, sql: str, path: Path) -> int:
        """Write the rows of a query as parquet, and say how many they are. One file, here, wherever Spark works."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        from pyspark.sql.pandas.types import to_arrow_schema

        with _explained():
            frame = self._run(sql)
            schema, zoned = to_arrow_schema(frame.schema, timezone="UTC"), _zoned(frame)
            rows, portion = 0, list[dict[str, Any]]()
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for row in frame.toLocalIterator():
                    portion.append(_row(row, zoned))
                    if len(portion) == _BATCH_ROWS:
                        writer.write_batch(pa.RecordBatch.from_pylist(portion, schema=schema))
                        rows, portion = rows + len(portion), []
                if portion:
                    writer.write_batch(pa.RecordBatch.from_pylist(portion, schema=schema))
            return rows + len(portion)

    def own_query(self, query: str, datasets: Collection[str]) -> str:
        """A query that a person wrote, as one SELECT that reads nothing but these datasets, ready to stand in brackets."""
        try:
            return readable(query, {name: self._tables.get(name, []) for name in datasets})
        except Untranslatable as error:
            raise Refused(str(error)) from None

    def _run(self, sql: str) -> Any:
        try:
            return self.session.sql(translate(sql, "spark", self._tables))
        except Untranslatable as error:
            raise Refused(str(error)) from None


@contextmanager
def open_spark(asked: ChecksParams, folder: Path) -> Iterator[SparkExecutor]:
    """An executor over the datasets' files, which ends its session. What it spills goes below `folder` for a while."""
    if not isinstance(asked.engine, SparkEngine):
        raise TypeError(f"the engine is {asked.engine.type}")
    sources = {asked.dataset: asked.source, **asked.references}
    spill = folder / "spark"
    shutil.rmtree(spill, ignore_errors=True)
    session = start(asked.engine, spill)
    try:
        found = {}
        for name, source in sources.items():
            if not isinstance(source, Source):
                raise TypeError(f"{name} is no dataset of files")
            with _explained():
                frame = read(session, source)
                frame.createOrReplaceTempView(_quoted(name))
            found[name] = {column: source.columns[column] for column in frame.columns}
        references = {name: found[name] for name in asked.references}
        yield SparkExecutor(session, asked.dataset, found[asked.dataset], references)
    finally:
        session.stop()
        shutil.rmtree(spill, ignore_errors=True)


def start(engine: SparkEngine, spill: Path) -> Any:
    """A session whose SQL means what DuckDB's does: UTC, errors instead of nulls, names as they are."""
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(engine.master).appName("mlctl")
    mild = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
    if engine.master.startswith("local"):
        mild |= {"spark.sql.shuffle.partitions": _LOCAL_PARTITIONS, "spark.driver.host": "127.0.0.1"}
        mild |= {"spark.driver.bindAddress": "127.0.0.1"}
    ours = {
        "spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true",
        "spark.sql.warehouse.dir": str(spill / "warehouse"), "spark.local.dir": str(spill / "local"),
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false", "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
        "spark.sql.legacy.parquet.nanosAsLong": "false",
    }  # fmt: skip
    for name, text in (mild | dict(engine.config) | ours).items():
        builder = builder.config(name, text)
    spill.mkdir(parents=True, exist_ok=True)
    try:
        return builder.getOrCreate()
    except (PySparkRuntimeError, OSError) as error:
        raise MlctlError.of(
            "data.no-spark",
            "Spark does not start",
            str(error).splitlines()[0],
            "it needs Java 17 or 21 (`java -version`); for a cluster see `engine.master` in the data check",
        ) from None


def read(session: Any, source: Source) -> Any:
    """The rows of a dataset's files, with the types that were found in them."""
    paths = [_path(file) for file in source.files]
    reader = session.read
    if source.partitions:
        reader = reader.option("basePath", _base(source))
    if source.format == "parquet":
        return _cast(reader.parquet(*paths), source, only=source.partitions)
    if source.format == "csv":
        names, mark = header(source.files[0])
        options = {"header": True, "sep": mark, "quote": '"', "escape": '"', "multiLine": True, "mode": "FAILFAST", "emptyValue": "", "nullValue": ""}  # fmt: skip
        reader = reader.options(**options).schema(_texts(names))
        return _cast(reader.csv(paths), source, only=source.columns, empty_is_null=True)
    names = [name for name in source.columns if name not in source.partitions]
    return _cast(reader.option("mode", "FAILFAST").schema(_texts(names)).json(paths), source, only=source.columns)


def _cast(frame: Any, source: Source, *, only: Collection[str], empty_is_null: bool = False) -> Any:
    """The frame with text columns as what they were found to be."""
    from pyspark.sql import functions as sql

    columns = []
    for name in frame.columns:
        column = sql.col(_quoted(name))
        wanted = _spark_type(source.columns[name]) if name in only else None
        if empty_is_null and name in only:
            column = sql.nullif(column, sql.lit(""))
        columns.append((column.cast(wanted) if wanted else column).alias(name))
    return frame.select(columns)


def _spark_type(found: str) -> str | None:
    """The type to cast a text to; None for those that stay text."""
    if found.startswith("decimal") and not found.endswith("]"):
        return found.upper()
    return _TYPES.get(found)


def _texts(names: Collection[str]) -> Any:
    from pyspark.sql.types import StringType, StructField, StructType

    return StructType([StructField(name, StringType()) for name in names])


def _path(file: str) -> str:
    """An absolute path in which nothing is a pattern."""
    return "file:" + re.sub(r"([\\*?\[\]{}])", r"\\\1", str(Path(file).absolute()))


def _base(source: Source) -> str:
    """The folder above the partitions of all files."""
    folders = []
    for file in source.files:
        parts = Path(file).absolute().parts
        cut = next(i for i, part in enumerate(parts) if part.partition("=")[0] in source.partitions)
        folders.append(str(Path(*parts[:cut])))
    return "file:" + os.path.commonpath(folders)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _zoned(frame: Any) -> list[str]:
    """The columns that hold moments, which Spark hands over in the time of this machine and without saying so."""
    from pyspark.sql.types import TimestampType

    return [item.name for item in frame.schema if isinstance(item.dataType, TimestampType)]


def _row(row: Any, zoned: Collection[str]) -> dict[str, Any]:
    found: dict[str, Any] = row.asDict()
    return found | {name: found[name].astimezone(UTC) for name in zoned if found[name] is not None}


def _number(item: Decimal) -> int | float:
    """Sums of large integers come as decimals."""
    return int(item) if item == item.to_integral_value() else float(item)


@contextmanager
def _explained() -> Iterator[None]:
    """Spark's errors: about a statement as `Refused`, about files as MlctlError."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        said = " ".join(str(error).split("JVM stacktrace")[0].split())[:600]
        if any(
            mark in said for mark in ("FAILED_READ_FILE", "PATH_NOT_FOUND", "FileNotFoundException", "Illegal Parquet")
        ):
            raise MlctlError.of(
                "data.unreadable",
                "Spark cannot read a file of the dataset",
                said,
                "put it back, or use `engine: duckdb`",
            ) from None
        raise Refused(said) from None
