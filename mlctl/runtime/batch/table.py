"""Parts of a batch by a model of rows: key, score, prediction, and which model it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from mlctl.runtime.batch.parts import Part, PartFile
from mlctl.runtime.batch.rows import ROWS_FILE, Rows, inputs, kept, unknown
from mlctl.runtime.scoring.model import load
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.batch import BatchJob


class TableScorer:
    """Makes parts. The model is loaded once, in whichever process this is."""

    def __init__(self, job: BatchJob, folder: Path, threads: int | None = None) -> None:
        """Raises MlctlError for a model that does not work."""
        columns = job.model.row_features.columns
        self._job, self._folder, self._columns = job, folder, len(columns)
        self._model = load(Path(job.model.folder), columns, threads)
        self._rows = Rows(folder)
        self._kept = kept(job)
        stored = parquet.read_schema(folder / ROWS_FILE)
        kind = arrow.int64() if self._model.task == "binary" else arrow.float64()
        made = [("score", arrow.float64()), ("prediction", kind), ("model", arrow.string()), ("model_version", arrow.string())]  # fmt: skip
        self._schema = arrow.schema([*(stored.field(name) for name in self._kept), *map(lambda item: arrow.field(*item), made)])  # fmt: skip

    def make(self, part: Part, done: Callable[[int], None]) -> None:
        """Write one part; `done` hears how many more rows are predicted. Raises MlctlError, and then nothing is there."""
        with PartFile(self._folder, part, self._schema) as file:
            for table in self._rows.between(part.start, part.stop):
                made, strangers = self._predicted(table, part.start)
                file.write(made, unknown_keys=strangers)
                done(table.num_rows)

    def _predicted(self, table: Any, start: int) -> tuple[Any, int]:
        """Rows with their predictions. One that no view knows gets none: a score of nothing would look like any other."""
        strange = unknown(table)
        scores = self._model.scores(inputs(table, self._columns))
        bad = ~np.isfinite(scores) & ~strange
        if bad.any():
            raise MlctlError.of(
                "batch.bad-scores",
                f"{int(bad.sum()):,} of {len(scores):,} rows after row {start:,} have a score that is no finite number",
                "a prediction like that is none",
                "look for huge feature values, or leave such rows out by `where`",
            )
        decided = self._model.decide(np.where(strange, 0.0, scores))
        name, version = self._job.model.name, self._job.model.version
        columns = [
            *(table.column(item) for item in self._kept),
            arrow.array(scores, mask=strange),
            arrow.array(decided, mask=strange),
            arrow.array([name] * len(scores), arrow.string()),
            arrow.array([version] * len(scores), arrow.string()),
        ]
        return arrow.table(columns, schema=self._schema), int(strange.sum())
