"""Windows and joins in this process, over tables that tests make up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from mlctl.runtime.features import windows
from mlctl.runtime.features.join import point_in_time_join
from mlctl.runtime.profile.database import database, own_parquet
from mlctl.types.jobs.features import LabelSource, MaterializeParams, ViewSource

STORE = {
    "project": "p", "registry": "r", "online": {"type": "sqlite", "path": "o"}, "offline": {"type": "duckdb"},
}  # fmt: skip


def write(path: Path, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Rows as a parquet file."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        listed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        connection.execute(f"CREATE TABLE made ({listed})")
        if rows:
            marks = ", ".join("?" for _ in columns)
            connection.executemany(
                f"INSERT INTO made VALUES ({marks})", [[row[name] for name in columns] for row in rows]
            )
        connection.execute(f"COPY made TO '{path}' (FORMAT parquet)")
    return path


def params(
    files: Sequence[Path], columns: Mapping[str, str], keys: Mapping[str, str], features: Sequence[Mapping[str, Any]],
    grid_seconds: int, **change: Any,
) -> MaterializeParams:  # fmt: skip
    """What the worker is asked for."""
    asked = {
        "view": "v", "entity": "e", "keys": [{"name": name, "type": kind} for name, kind in keys.items()],
        "source": {"files": [str(file) for file in files], "format": "parquet", "columns": dict(columns)},
        "timestamp": "at", "source_digest": "", "features": list(features), "grid_seconds": grid_seconds,
        "ttl_seconds": None, "online": False, "snapshot": "unused", "store": STORE,
        "marks": {"lineage": "l", "object": "o#"},
    }  # fmt: skip
    return MaterializeParams.model_validate({**asked, **change})


def compute(asked: MaterializeParams, output: Path, threads: int | None = None) -> windows.Snapshots:
    """Write the snapshots."""
    with database(output.parent) as connection:
        if threads is not None:
            connection.execute(f"SET threads = {threads}")
        return windows.compute(connection, asked, output)


def read(path: Path, order: str = "") -> list[dict[str, Any]]:
    """The rows of a file, decimals as floats."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        result = connection.execute(f"SELECT * FROM {own_parquet(str(path))} {order}")
        names = [item[0] for item in result.description]
        return [{name: plain(value) for name, value in zip(names, row, strict=True)} for row in result.fetchall()]


def plain(value: Any) -> Any:
    """A value as tests write it."""
    return float(value) if isinstance(value, Decimal) else value


def view(asked: MaterializeParams, made: windows.Snapshots, path: Path, ttl_seconds: int | None) -> ViewSource:
    """The view as a join reads it."""
    return ViewSource(
        view=asked.view, keys=asked.keys, path=str(path), ttl_seconds=ttl_seconds, sparse=asked.sparse,
        features={item.name: item.dtype for item in asked.features}, grid_seconds=asked.grid_seconds,
        until=made.until.isoformat(),
    )  # fmt: skip


def join(labels: Path, views: Sequence[ViewSource], output: Path, timestamp: str = "at") -> list[dict[str, Any]]:
    """The rows of the labels with their features, in the order of the file."""
    point_in_time_join(LabelSource(files=[str(labels)], format="parquet", timestamp=timestamp), views, output)
    return read(output)


def utc(text: str) -> datetime:
    """A time without a zone."""
    return datetime.fromisoformat(text)
