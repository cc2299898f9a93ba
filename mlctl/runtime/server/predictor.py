"""From what is asked to scores: features of keys from the online store, those computed of them, rows in the model's column order, batches."""

from __future__ import annotations

import asyncio
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mlctl.runtime.features.transform import Loaded
from mlctl.runtime.middleware import Stage
from mlctl.runtime.server.batcher import Batcher
from mlctl.runtime.server.payload import Asked, KeyRow, Refused, Row, Values
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.server import ServedFeatures


class Lookup(Protocol):
    """Looks features up by key; see `mlctl.runtime.features.online.OnlineFeatures`."""

    def get(self, rows: Sequence[KeyRow]) -> Sequence[Mapping[str, float | int | None]]:
        """One row of features for each mapping of key columns, None where a value is missing."""
        ...


class Decision(Protocol):
    """Makes a prediction of what a model gave."""

    def decide(self, output: Any) -> Any:
        """A class, or the output itself."""
        ...


@dataclass(frozen=True, slots=True)
class Predicted:
    """The answers to a request, row by row, and the features they were made from.

    A score is a number, or a list of them of a model that gives several; None of one that gives texts. `missing` names
    features that were null; `defaulted` is true of a row whose features are the defaults.
    """

    values: Sequence[Row]
    scores: Sequence[float | list[float] | None]
    predictions: Sequence[Any]
    missing: Sequence[Sequence[str]]
    defaulted: Sequence[bool]
    stages: Sequence[Stage] = ()


class Predictor:
    """Predicts for whole requests."""

    def __init__(
        self,
        serving: ServedFeatures,
        batcher: Batcher,
        decision: Decision,
        lookup: Lookup | None,
        transformations: Sequence[Loaded] = (),
        defaults: Mapping[str, float | None] | None = None,
        on_default: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._serving = serving
        self._transformations = transformations
        self._batcher = batcher
        self._decision = decision
        self._lookup = lookup
        self._defaults = defaults
        self._on_default = on_default
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="features")

    async def predict(self, asked: Asked) -> Predicted:
        """Raises Refused, Overloaded, and whatever the model raises."""
        values, defaulted = asked.values, _NONE
        began = time.perf_counter()
        stages: list[Stage] = []
        if values is None:
            values, defaulted = await self._features(asked)
            looked_up = time.perf_counter()
            stages.append(("features.lookup", began, looked_up))
            began = looked_up
        outputs = await self._batcher.submit([_model_row(row) for row in values])
        stages.append(("model.predict", began, time.perf_counter()))  # waiting for its batch is in it
        missing = [_missing(row) for row in values]
        scores = [_score(output) for output in outputs]
        for index, score in enumerate(scores):
            if score is not None and not _finite_score(score):
                raise Refused(
                    500,
                    "predict.not-finite",
                    f"the model gave no finite score for row {index}; features without a value: {', '.join(missing[index]) or 'none'}",
                )
        predictions = [self._decision.decide(output) for output in outputs]
        return Predicted(values, scores, predictions, missing, defaulted or [False] * len(values), stages)

    async def _features(self, asked: Asked) -> tuple[list[Row], list[bool]]:
        """The model's columns for each row, in a thread beside the event loop, and which rows are defaults."""
        keys = [key for key in asked.keys if key is not None]
        if self._lookup is None and not self._transformations:
            raise Refused(422, "predict.no-features", "this model reads no feature store; send `instances`")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._row_by_row, keys, asked.request)

    def _row_by_row(self, keys: Sequence[KeyRow], request: Sequence[Values]) -> tuple[list[Row], list[bool]]:
        defaulted = [False] * len(request)
        found: Sequence[Mapping[str, float | None]] = [{} for _ in request]
        if self._lookup is not None:
            found, defaulted = self._look_up(keys)
        if self._transformations:
            found = self._transformed(found, request)
        if any(defaulted):
            found = [self._filled(row) if default else row for row, default in zip(found, defaulted, strict=True)]
        return [{name: row.get(name) for name in self._serving.columns} for row in found], defaulted

    def _filled(self, row: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """A row with the defaults where it has nothing; what is computed of the request alone is known all the same."""
        return {**row, **{name: value for name, value in (self._defaults or {}).items() if row.get(name) is None}}

    def _look_up(self, keys: Sequence[KeyRow]) -> tuple[list[dict[str, float | None]], list[bool]]:
        """Features by key, and for which keys there are none. Without defaults such a key is refused: a score made of nothing
        would look like any other, and so is every key while the store is away.

        A key that lacks only some of its features is predicted; what was missing is in the answer, the log and the metrics.
        """
        names = [key.name for key in self._serving.keys]
        nothing = {name: None for view in self._serving.views for name in view.features}
        try:
            rows = self._lookup.get(keys) if self._lookup is not None else []
        except MlctlError as error:
            found = error.diagnostics[0]
            away = found.code != "features.bad-key"  # that one is the client's fault
            if not away or self._defaults is None:
                raise Refused(503 if away else 422, found.code, found.summary, ", ".join(names)) from None
            self._on_default(len(keys))
            return [dict(nothing) for _ in keys], [True] * len(keys)
        unknown = [all(value is None for value in row.values()) for row in rows]
        if any(unknown):
            if self._defaults is None:
                raise _unknown_keys([key for key, none in zip(keys, unknown, strict=True) if none], names)
            self._on_default(sum(unknown))
        return [{name: _finite(value) for name, value in row.items()} for row in rows], unknown

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

    def busy_seconds(self) -> float:
        """How long the model has been at work on its present batch."""
        return self._batcher.busy_seconds()

    def close(self) -> None:
        """Let the threads end."""
        self._executor.shutdown(wait=False)
        self._batcher.close()


_NONE: Sequence[bool] = ()


def _unknown_keys(unknown: Sequence[KeyRow], names: Sequence[str]) -> Refused:
    between = ", " if len(names) == 1 else "; "
    named = between.join(", ".join(str(value) for value in key.values()) for key in unknown[:10])
    more = " ..." if len(unknown) > 10 else ""
    told = ", ".join(names)
    return Refused(
        404, "predict.unknown-key", f"the feature store has no current values for {told} {named}{more}", told
    )


def _model_row(row: Row) -> list[Any]:
    """A row as the model takes it; a missing number is NaN."""
    values = list(row.values())
    return [math.nan if value is None else value for value in values] if None in values else values


def _finite(value: float | int | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _score(output: Any) -> float | list[float] | None:
    """What of an output is a score: numbers, and no texts."""
    if isinstance(output, float | list):
        return output
    return None if isinstance(output, str) else float(output)


def _finite_score(score: float | list[float]) -> bool:
    return all(map(math.isfinite, score)) if isinstance(score, list) else math.isfinite(score)


def _missing(row: Row) -> list[str]:
    return [name for name, value in row.items() if value is None] if None in row.values() else []
