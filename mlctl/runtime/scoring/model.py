"""A model in MLflow format, loaded once, over tables of numbers. It is called as it was evaluated, through `mlflow.pyfunc`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.trainer.tabular.model import CONFIG_FILE
from mlctl.types.diagnostic import MlctlError

THRESHOLD = 0.5  # of a probability


class RowModel:
    """Gives one score for each row; of a binary model, a probability."""

    def __init__(self, loaded: Any, columns: Sequence[str], task: str | None, where: Path) -> None:
        self._loaded, self._columns, self._where = loaded, list(columns), where
        self.task = task

    def scores(self, table: Any) -> Any:
        """The scores of float64 (rows, columns), NaN for a missing value. A score may be no finite number. Raises MlctlError."""
        import pandas as pd

        try:
            made = np.asarray(self._loaded.predict(pd.DataFrame(table, columns=self._columns)), dtype=np.float64)
        except Exception as error:  # a model's code may raise anything
            raise _unusable(self._where, error) from error
        if made.size != len(table):
            raise MlctlError.of(
                "model.bad-scores",
                f"the model in {self._where} gave {made.size:,} values for {len(table):,} rows",
                "a score is one number a row",
                "wrap the model so that it gives one",
            )
        return made.reshape(-1)

    def decide(self, scores: Any) -> Any:
        """The class of each probability of a binary model; of any other model, the score is the prediction."""
        return (scores >= THRESHOLD).astype(np.int64) if self.task == "binary" else scores


def load(folder: Path, columns: Sequence[str], threads: int | None = None) -> RowModel:
    """Load a model and let it predict once, so that what is wrong with it shows now. Raises MlctlError `model.unusable`."""
    import mlflow.pyfunc
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    try:
        loaded = mlflow.pyfunc.load_model(str(folder))
        model = RowModel(loaded, columns, task_of(loaded.metadata, folder), folder)
    except Exception as error:  # a model's code may raise anything
        raise _unusable(folder, error) from error
    model.scores(np.zeros((1, len(columns))))
    return model


def _unusable(folder: Path, error: Exception) -> MlctlError:
    return MlctlError.of(
        "model.unusable",
        f"the model in {folder} does not work: {type(error).__name__}: {error}",
        "it is loaded and called as it was evaluated",
        "run `mlctl plan --refresh=deep`, or see the log",
    )


def task_of(metadata: Any, folder: Path) -> str | None:
    """What the model says it is for, in its MLflow metadata, or in the configuration that our own training leaves in it."""
    named = (metadata.metadata or {}).get("task")
    data = metadata.flavors.get("python_function", {}).get("data")
    config = folder / str(data) / CONFIG_FILE
    if named is None and data is not None and config.is_file():
        named = json.loads(config.read_bytes()).get("task")
    return None if named is None else str(named)
