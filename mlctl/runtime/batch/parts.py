"""The parts of a batch: each is made once, and counts once its note is there. A kill costs the work of one part."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from mlctl.files import atomic
from mlctl.types.jobs.batch import PARTS

_NOTES = "made"  # a folder: one note for each part that is whole
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """Rows from `start` up to `stop`, and the file they go into."""

    index: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"part-{self.index:05d}.parquet"


def parts(rows: int, rows_per_part: int) -> Iterator[Part]:
    """All parts in order; a dataset without rows has one, so that the output has its columns."""
    for index in range(max(1, -(-rows // rows_per_part))):
        yield Part(index, index * rows_per_part, min(rows, (index + 1) * rows_per_part))


def note(folder: Path, part: Part) -> dict[str, Any] | None:
    """What is known of a part whose file is there and as long as it was; None when it is to be made."""
    try:
        found: dict[str, Any] = json.loads((folder / _NOTES / f"{part.index:05d}.json").read_bytes())
        size = (folder / PARTS / part.name).stat().st_size
    except (OSError, ValueError):
        return None
    return found if found["bytes"] == size else None


class PartFile:
    """The file of a part while it is written: beside its place, and swapped in at the end. Use as a context manager."""

    def __init__(self, folder: Path, part: Part, schema: Any) -> None:
        self._folder, self._part = folder, part
        self._place = folder / PARTS / part.name
        self._beside = self._place.with_name(f".{part.name}.new")
        for name in (PARTS, _NOTES):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        self._writer: Any = parquet.ParquetWriter(self._beside, schema, compression="zstd")
        self._rows = 0
        self._facts: dict[str, int] = {}

    def __enter__(self) -> PartFile:
        return self

    def write(self, table: Any, **facts: int) -> None:
        """Add rows, and what is to be counted of them."""
        self._writer.write_table(table)
        self._rows += table.num_rows
        for name, value in facts.items():
            self._facts[name] = self._facts.get(name, 0) + value

    def __exit__(self, kind: object, *_: object) -> None:
        self._writer.close()
        if kind is not None:
            self._beside.unlink(missing_ok=True)
            return
        with open(self._beside, "rb") as stream:
            os.fsync(stream.fileno())
            total = hashlib.blake2b(digest_size=16)
            while block := stream.read(_BLOCK):
                total.update(block)
        size = self._beside.stat().st_size
        os.chmod(self._beside, 0o600)
        os.replace(self._beside, self._place)
        atomic.sync_folder(self._place.parent)
        found = {"rows": self._rows, "bytes": size, "digest": total.hexdigest(), **self._facts}
        atomic.write_json(self._folder / _NOTES / f"{self._part.index:05d}.json", found)
