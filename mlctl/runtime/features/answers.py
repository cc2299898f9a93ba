"""Rows of features as they are asked for by name: looked up by key, and computed on demand from those and the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.runtime.features.online import Looked, OnlineFeatures
from mlctl.runtime.features.stores.codec import Value
from mlctl.runtime.features.values import finite
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Key, KeyValue, OnlineView, Store, Transformation, keys_of
from mlctl.types.value import Json


class Answers:
    """One view, or one feature service: which keys and request values it wants, and which features it gives.

    The functions of transformations are those that training and the model server call.
    """

    def __init__(
        self,
        store: Store | None,
        views: Sequence[OnlineView],
        transformations: Sequence[Transformation] = (),
        columns: Sequence[str] | None = None,
    ) -> None:
        """Open the store, and load the functions. Raises MlctlError."""
        self.keys: list[Key] = keys_of(views)
        self.request = {name: kind for item in transformations for name, kind in item.request.items()}
        self._lookup = None if store is None or not views else OnlineFeatures(store, views)
        self._columns = columns
        self._loaded: list[Any] = []
        if transformations:
            from mlctl.runtime.features.transform import load

            self._loaded = list(load(transformations))

    def rows(
        self, keys: Sequence[Mapping[str, KeyValue]], requests: Sequence[Mapping[str, Value]] = ()
    ) -> list[dict[str, Json]]:
        """For each row {"keys", "features", "event_times"}, the last by view. Raises MlctlError as `OnlineFeatures.look` does."""
        wanted = requests or [{} for _ in keys]
        found = [Looked({}, {}) for _ in keys] if self._lookup is None else self._lookup.look(keys)
        features = [{name: finite(value) for name, value in looked.values.items()} for looked in found]
        self._compute(features, wanted)
        names = [key.name for key in self.keys]
        return [
            {
                "keys": {name: row[name] for name in names},
                "features": values if self._columns is None else {name: values[name] for name in self._columns},
                "event_times": {
                    view: None if at is None else at.isoformat() for view, at in looked.event_times.items()
                },
            }
            for row, values, looked in zip(keys, features, found, strict=True)
        ]

    def check(self) -> None:
        """See that the store answers and has the views. Raises MlctlError."""
        if self._lookup is not None:
            self._lookup.look([])

    def close(self) -> None:
        """Let the store go."""
        if self._lookup is not None:
            self._lookup.close()

    def _compute(self, features: Sequence[dict[str, Value]], requests: Sequence[Mapping[str, Value]]) -> None:
        """Put in what is computed on demand."""
        if not self._loaded or not features:
            return
        import numpy as np

        for request in requests:
            missing = sorted(self.request.keys() - request.keys())
            if missing:
                raise MlctlError.of(
                    "features.missing-request",
                    f"the request has no {', '.join(f'`{name}`' for name in missing)}",
                    "features are computed from it on demand",
                    "give it a value beside the keys; null is one",
                )
        rows = [{**values, **request} for values, request in zip(features, requests, strict=True)]
        for item in self._loaded:
            columns = {
                name: np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)
                for name in item.reads
            }
            for name, values in item.apply(columns).items():
                for row, kept, value in zip(rows, features, values.tolist(), strict=True):
                    row[name] = kept[name] = None if np.isnan(value) else value
