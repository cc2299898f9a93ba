"""From what is asked to scores: features of keys from the online store, rows in the model's column order, batches."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from mlctl.runtime.server.batcher import Batcher
from mlctl.runtime.server.payload import Asked, Key, Refused, Values
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.server import ServedFeatures


class Lookup(Protocol):
    """Looks features up by key; see `mlctl.runtime.features.online.OnlineFeatures`."""

    def get(self, keys: Sequence[Key]) -> Sequence[Mapping[str, float | int | None]]:
        """One row of features for each key, None where a value is missing."""
        ...


class Decision(Protocol):
    """Makes a prediction of a score."""

    def decide(self, score: float) -> float | int:
        """A class, or the score itself."""
        ...


@dataclass(frozen=True, slots=True)
class Predicted:
    """The answers to a request, row by row, and the features they were made from. `missing` names features that were null."""

    values: Sequence[Values]
    scores: Sequence[float]
    predictions: Sequence[float | int]
    missing: Sequence[Sequence[str]]


class Predictor:
    """Predicts for whole requests."""

    def __init__(self, serving: ServedFeatures, batcher: Batcher, decision: Decision, lookup: Lookup | None) -> None:
        self._serving = serving
        self._batcher = batcher
        self._decision = decision
        self._lookup = lookup
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="features")

    async def predict(self, asked: Asked) -> Predicted:
        """Raises Refused, Overloaded, and whatever the model raises."""
        values = (
            asked.values
            if asked.values is not None
            else await self._look_up([key for key in asked.keys if key is not None])
        )
        columns = self._serving.columns
        scores = await self._batcher.submit(
            [[math.nan if (value := row[name]) is None else value for name in columns] for row in values]
        )
        for index, score in enumerate(scores):
            if not math.isfinite(score):
                raise Refused(
                    500,
                    "predict.not-finite",
                    f"the model gave no finite score for row {index}; features without a value: {', '.join(_missing(values[index])) or 'none'}",
                )
        return Predicted(
            values, scores, [self._decision.decide(score) for score in scores], [_missing(row) for row in values]
        )

    async def _look_up(self, keys: Sequence[Key]) -> list[Values]:
        """Features by key. A key without any value is refused: a score made of nothing would look like any other.

        A key that lacks only some of its features is predicted; what was missing is in the answer, the log and the metrics.
        """
        if self._lookup is None:
            raise Refused(422, "predict.no-features", "this model reads no feature store; send `instances`")
        try:
            rows = await asyncio.get_running_loop().run_in_executor(self._executor, self._lookup.get, keys)
        except MlctlError as error:
            found = error.diagnostics[0]
            status = 422 if found.code == "features.bad-key" else 503  # else the store is gone: not the client's fault
            raise Refused(status, found.code, found.summary, str(self._serving.join_key)) from None
        unknown = [key for key, row in zip(keys, rows, strict=True) if all(value is None for value in row.values())]
        if unknown:
            named = ", ".join(str(key) for key in unknown[:10]) + (" ..." if len(unknown) > 10 else "")
            raise Refused(
                404,
                "predict.unknown-key",
                f"the feature store has no current values for {self._serving.join_key} {named}",
                str(self._serving.join_key),
            )
        return [
            {
                name: None if (value := row.get(name)) is None or not math.isfinite(value) else float(value)
                for name in self._serving.columns
            }
            for row in rows
        ]

    def close(self) -> None:
        """Let the threads end."""
        self._executor.shutdown(wait=False)
        self._batcher.close()


def _missing(row: Values) -> list[str]:
    return [name for name, value in row.items() if value is None]
