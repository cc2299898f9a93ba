"""The model: a folder in MLflow format, loaded once, and called with batches of rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import torch

from mlctl.runtime.trainer.tabular.model import CONFIG_FILE
from mlctl.types.diagnostic import MlctlError

THRESHOLD = 0.5  # of a probability


class Model:
    """A loaded model. It is called as it was evaluated, through `mlflow.pyfunc`: 0.2 ms a batch, whatever its size."""

    def __init__(self, loaded: Any, columns: Sequence[str], task: str | None) -> None:
        self._loaded = loaded
        self._binary = task == "binary"
        self._columns = list(columns)

    def predict(self, rows: Sequence[Sequence[float]]) -> list[float]:
        """One score for each row of values in the order of the columns, NaN for a missing one. Raises what the model raises."""
        table = pd.DataFrame(np.asarray(rows, dtype=np.float64), columns=self._columns)
        with torch.inference_mode():
            scores = np.asarray(self._loaded.predict(table), dtype=np.float64)
        if scores.size != len(rows):
            raise ValueError(f"the model gave {scores.size} values for {len(rows)} rows; it must give one score a row")
        return [float(score) for score in scores.reshape(-1)]

    def decide(self, score: float) -> float | int:
        """The class of a binary model's probability; of any other model, the score is the prediction."""
        return int(score >= THRESHOLD) if self._binary else score


def load(folder: Path, columns: Sequence[str]) -> Model:
    """Load a model and make its first prediction. Raises MlctlError `deploy.bad-model`."""
    torch.set_num_threads(1)  # batches are small; more threads only get in each other's way
    try:
        loaded = mlflow.pyfunc.load_model(str(folder))
        model = Model(loaded, columns, _task(loaded.metadata, folder))
        model.predict([[0.0] * len(columns)])
    except Exception as error:  # a model's code may raise anything
        raise MlctlError.of(
            "deploy.bad-model",
            f"the model in {folder} does not work: {type(error).__name__}: {error}",
            "it is loaded and asked for one prediction before any client is",
            "see the log of the server",
        ) from error
    return model


def _task(metadata: Any, folder: Path) -> str | None:
    """What the model says it is for, in its MLflow metadata, or in the configuration that our own training leaves in it."""
    named = (metadata.metadata or {}).get("task")
    data = metadata.flavors.get("python_function", {}).get("data")
    config = folder / str(data) / CONFIG_FILE
    if named is None and data is not None and config.is_file():
        named = json.loads(config.read_bytes()).get("task")
    return None if named is None else str(named)
