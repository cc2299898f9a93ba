"""The rows that models are judged on, the scores they get, and what they share with the rows of a training."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from mlctl.runtime.features.sql import only_row
from mlctl.runtime.profile.database import database, own_parquet, quote
from mlctl.runtime.trainer.tabular.table import ROW_DIGEST, TIME, Rows, load_rows, target_values
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.train import TableCandidate, TableInput

_CHUNK_ROWS = 65536
_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Leakage:
    """Rows of an evaluation that a training has seen."""

    count: int
    samples: tuple[str, ...]

    def __str__(self) -> str:
        rows = "row was" if self.count == 1 else "rows were"
        return f"eval.leakage: {self.count:,} {rows} trained on, for example {'; '.join(self.samples)}"


def join_rows(candidate: TableCandidate, dataset: TableInput, folder: Path) -> Rows:
    """The dataset with the features of one model, and with what told its training rows apart. Raises MlctlError."""
    trained = parquet.read_schema(candidate.keys).names
    keys, timed = [name for name in trained if name not in (TIME, ROW_DIGEST)], TIME in trained
    missing = [name for name in keys if name not in dataset.columns]
    if missing or (timed and dataset.timestamp is None):
        raise MlctlError.of(
            "eval.no-key",
            f"`{dataset.name}` has no {f'column `{missing[0]}`' if missing else '`timestamp`'}",
            "its rows cannot be told from those that the model was trained on",
            "give both datasets the same `key` and `timestamp`",
        )
    columns = candidate.serving["columns"]
    made, identity = candidate.transformations, (keys, timed)
    return load_rows(
        dataset, candidate.views, candidate.target, columns, folder, transformations=made, identity=identity
    )


def join_for_champion(champion: TableCandidate, dataset: TableInput, folder: Path) -> Rows:
    """The same dataset with the features of the champion. Raises MlctlError."""
    columns = champion.serving["columns"]
    made, identity = champion.transformations, ((), False)
    return load_rows(dataset, champion.views, champion.target, columns, folder, transformations=made, identity=identity)


def find_leakage(rows: Rows, keys: Path) -> Leakage | None:
    """Rows with a key and time (or, in a dataset without a key, whole rows) that are among those of the training."""
    by = [*rows.keys, *([TIME] if rows.timed else [])] if rows.keys else [ROW_DIGEST]
    names = ", ".join(_as_text(name) for name in by)
    with database(rows.path.parent) as connection:
        here, there = (f"(SELECT {names} FROM {own_parquet(str(path))})" for path in (rows.path, keys))
        common = f"{here} AS h SEMI JOIN {there} AS t USING ({', '.join(quote(name) for name in by)})"
        (count,) = only_row(connection, f"SELECT count(*) FROM {common}")
        found = connection.execute(f"SELECT DISTINCT * FROM {common} ORDER BY ALL LIMIT {_SAMPLES}").fetchall()
    samples = tuple(", ".join(f"{name} {value}" for name, value in zip(by, row, strict=True)) for row in found)
    return Leakage(int(count), samples) if count else None


def score_rows(model_folder: Path, columns: Sequence[str], rows: Rows) -> Any:
    """The model's scores of rows."""
    return score_table(model_folder, columns, np.column_stack([rows.column(name) for name in columns]))


def score_table(model_folder: Path, columns: Sequence[str], table: Any) -> Any:
    """The scores of float64 (rows, columns), through the same door as in serving. Raises MlctlError when the model does not load or predict."""
    import mlflow.pyfunc
    import pandas as pd

    try:
        loaded = mlflow.pyfunc.load_model(str(model_folder))
        parts = [
            np.asarray(loaded.predict(pd.DataFrame(table[start : start + _CHUNK_ROWS], columns=list(columns))))
            for start in range(0, len(table), _CHUNK_ROWS)
        ]
    except Exception as error:  # a model's code may raise anything
        raise MlctlError.of(
            "eval.bad-model",
            f"the model in {model_folder} cannot be scored: {type(error).__name__}: {error}",
            "it is loaded and called as it is in serving",
            "run `mlctl apply` to make it again, or see the log",
        ) from error
    score = np.concatenate(parts).reshape(-1) if parts else np.empty(0)
    if len(score) != len(table):
        raise MlctlError.of(
            "eval.bad-scores",
            f"the model gave {len(score):,} values for {len(table):,} rows",
            "a score is one number a row",
            "wrap the model so that it gives one",
        )
    bad = int((~np.isfinite(score)).sum())
    if bad:
        raise MlctlError.of(
            "eval.bad-scores",
            f"{bad:,} of {len(score):,} scores are not finite numbers",
            "",
            "look for huge feature values",
        )
    return score


def judged_target(rows: Rows, dataset: TableInput, task: str) -> Any:
    """The target of each row. Raises MlctlError when one is missing or does not fit the task."""
    target = target_values(rows, dataset.name)
    if task == "binary" and not np.isin(target, (0.0, 1.0)).all():
        raise MlctlError.of(
            "eval.not-binary",
            f"`{rows.target}` of `{dataset.name}` is not 0 or 1 throughout",
            "the model was trained to tell two classes apart",
            "write the target as in the training's labels",
        )
    return target


def _as_text(name: str) -> str:
    """A key as text, so that an integer here equals the same integer of another width there."""
    return f"coalesce(CAST({quote(name)} AS VARCHAR), '~') AS {quote(name)}"
