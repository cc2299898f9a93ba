"""From what is asked to scores: features of keys from the online store, those computed of them, rows in the model's column order, batches."""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mlctl.runtime.features.transform import Loaded
from mlctl.runtime.server.batcher import Batcher
from mlctl.runtime.server.payload import Asked, KeyRow, Refused, Values
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.server import ServedFeatures


class Lookup(Protocol):
    """Looks features up by key; see `mlctl.runtime.features.online.OnlineFeatures`."""

    def get(self, rows: Sequence[KeyRow]) -> Sequence[Mapping[str, float | int | None]]:
        """One row of features for each mapping of key columns, None where a value is missing."""
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

    def __init__(
        self,
        serving: ServedFeatures,
        batcher: Batcher,
        decision: Decision,
        lookup: Lookup | None,
        transformations: Sequence[Loaded] = (),
    ) -> None:
        self._serving = serving
        self._transformations = transformations
        self._batcher = batcher
        self._decision = decision
        self._lookup = lookup
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="features")

    async def predict(self, asked: Asked) -> Predicted:
        """Raises Refused, Overloaded, and whatever the model raises."""
        values = asked.values if asked.values is not None else await self._features(asked)
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

    async def _features(self, asked: Asked) -> list[Values]:
        """The model's columns for each row, in a thread beside the event loop."""
        keys = [key for key in asked.keys if key is not None]
        if self._lookup is None and not self._transformations:
            raise Refused(422, "predict.no-features", "this model reads no feature store; send `instances`")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._row_by_row, keys, asked.request)

    def _row_by_row(self, keys: Sequence[KeyRow], request: Sequence[Values]) -> list[Values]:
        found = self._look_up(keys) if self._lookup is not None else [{} for _ in request]
        if self._transformations:
            found = self._transformed(found, request)
        return [{name: row.get(name) for name in self._serving.columns} for row in found]

    def _look_up(self, keys: Sequence[KeyRow]) -> list[dict[str, float | None]]:
        """Features by key. A key without any value is refused: a score made of nothing would look like any other.

        A key that lacks only some of its features is predicted; what was missing is in the answer, the log and the metrics.
        """
        names = [key.name for key in self._serving.keys]
        try:
            rows = self._lookup.get(keys) if self._lookup is not None else []
        except MlctlError as error:
            found = error.diagnostics[0]
            status = 422 if found.code == "features.bad-key" else 503  # else the store is gone: not the client's fault
            raise Refused(status, found.code, found.summary, ", ".join(names)) from None
        unknown = [key for key, row in zip(keys, rows, strict=True) if all(value is None for value in row.values())]
        if unknown:
            named = (", " if len(names) == 1 else "; ").join(
                ", ".join(str(value) for value in key.values()) for key in unknown[:10]
            )
            raise Refused(
                404,
                "predict.unknown-key",
                f"the feature store has no current values for {', '.join(names)} {named}"
                + (" ..." if len(unknown) > 10 else ""),
                ", ".join(names),
            )
        return [{name: _finite(value) for name, value in row.items()} for row in rows]

    def _transformed(
        self, rows: Sequence[Mapping[str, float | None]], request: Sequence[Values]
    ) -> list[dict[str, float | None]]:
        """The rows with the features of all transformations, by the code and the types that training applied them with."""
        columns: dict[str, Any] = {}
        for item in self._transformations:
            for name in item.reads:
                source = request if name in item.transformation.request else rows
                columns[name] = np.array([row[name] for row in source], dtype=np.float64)  # None is NaN
        made: dict[str, Any] = {}
        for item in self._transformations:
            try:
                made |= item.apply(columns)
            except MlctlError as error:
                traceback.print_exc()
                raise Refused(500, error.diagnostics[0].code, error.diagnostics[0].summary) from None
        return [
            {**row, **{name: _finite(values[index]) for name, values in made.items()}} for index, row in enumerate(rows)
        ]

    def close(self) -> None:
        """Let the threads end."""
        self._executor.shutdown(wait=False)
        self._batcher.close()


def _finite(value: float | int | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _missing(row: Values) -> list[str]:
    return [name for name, value in row.items() if value is None]
