"""Rows for a model from what a message brings: its features as they are, or those of its keys in the online store as of now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlctl.runtime.features.transform import load as load_transformations
from mlctl.types.jobs.features import KeyValue
from mlctl.types.jobs.server import ServedFeatures

Values = Mapping[str, float | None]


class OnlineRows:
    """Looks features up, and computes those of transformations, by the code and types that training applied them with."""

    def __init__(self, serving: ServedFeatures) -> None:
        """Open the store, where the model reads one. Raises MlctlError."""
        self._columns = serving.columns
        self._lookup: Any = None
        if serving.store is not None and serving.views:
            from mlctl.runtime.features.online import OnlineFeatures

            self._lookup = OnlineFeatures(serving.store, serving.views)
        self._transformations = load_transformations(serving.transformations)
        for item in self._transformations:
            item.try_out()

    def get(self, keys: Sequence[Mapping[str, KeyValue]], request: Sequence[Values]) -> list[Values | None]:
        """The model's columns for each row; None for keys that no view knows now. Raises MlctlError when the store is gone."""
        found = [dict(row) for row in self._lookup.get(keys)] if self._lookup is not None else [{} for _ in request]
        known = [self._lookup is None or any(value is not None for value in row.values()) for row in found]
        if self._transformations and found:
            self._transform(found, request)
        return [
            {name: row.get(name) for name in self._columns} if there else None
            for row, there in zip(found, known, strict=True)
        ]

    def close(self) -> None:
        """Let connections go."""
        if self._lookup is not None:
            self._lookup.close()

    def _transform(self, rows: Sequence[dict[str, Any]], request: Sequence[Values]) -> None:
        columns: dict[str, Any] = {}
        for item in self._transformations:
            for name in item.reads:
                source = request if name in item.transformation.request else rows
                columns[name] = np.array([row[name] for row in source], dtype=np.float64)  # None is NaN
        made: dict[str, Any] = {}
        for item in self._transformations:
            made |= item.apply(columns)
        for name, values in made.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = float(value) if math.isfinite(value) else None
