"""Features of keys as of now, read from the online store through Feast, with the time to live that Feast leaves out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.runtime.features.feast_store import open_store
from mlctl.runtime.features.values import Value, is_alive
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import OnlineView, Store

_KEYS_PER_CALL = 10_000  # SQLite takes 32,766 values in one query


def _utc_now() -> datetime:
    return datetime.now(UTC)


class OnlineFeatures:
    """Looks up features by key for a model server. Feast is imported when one is made (seconds), not per request.

    From the `serving` output of a training or an evaluation:

        serving = ...  # {"columns": [...], "join_key": ..., "views": [...], "store": {...}}
        lookup = OnlineFeatures(
            Store.model_validate(serving["store"]), [OnlineView.model_validate(view) for view in serving["views"]], serving["join_key"]
        )
        rows = lookup.get([1, 2, 77])  # [{"purchase_amount_7d": 12.5, ...}, ...] in the order of the keys

    Safe to call from several threads. Paths of the store start at the working directory (the project folder).
    """

    def __init__(
        self, store: Store, views: Sequence[OnlineView], join_key: str, now: Callable[[], datetime] = _utc_now
    ) -> None:
        """Open the store and read one key that cannot exist, so that a missing table shows now. Raises MlctlError."""
        if not Path(store.registry).is_file() or not Path(store.online.path).is_file():
            raise _gone(store, "a file of it does not exist")
        self.join_key = join_key
        self._store = store
        self._views = tuple(views)
        self._now = now
        self._references = [f"{view.view}:{feature}" for view in views for feature in view.features]
        self._feast = open_store(store)
        self._key_type = self._read_key_type()
        self._read([0] if self._key_type is int else [""])

    def get(self, keys: Sequence[int | str]) -> list[dict[str, Value]]:
        """One row for each key, in order; every feature of every view is in it, None when missing or expired.

        A value is good while `event time <= now <= event time + ttl`, the same rule as in the point-in-time join, so
        that serving sees what training saw. Raises MlctlError `features.bad-key` for a key of another type than the
        entity's, and `features.store-gone` when the store does not exist any more.
        """
        for key in keys:
            if type(key) is not self._key_type:
                raise MlctlError.of(
                    "features.bad-key",
                    f"{key!r} is not a key: `{self.join_key}` is {'an integer' if self._key_type is int else 'text'}",
                    "",
                    "send the key as the entity declares it",
                )
        rows: list[dict[str, Value]] = []
        for start in range(0, len(keys), _KEYS_PER_CALL):
            rows += self._rows(self._read(keys[start : start + _KEYS_PER_CALL]))
        return rows

    def _read_key_type(self) -> type:
        from feast.errors import FeatureViewNotFoundException
        from feast.types import Int64

        try:
            columns = [
                column for view in self._views for column in self._feast.get_feature_view(view.view).entity_columns
            ]
        except FeatureViewNotFoundException as error:
            raise _gone(self._store, str(error)) from None
        types = {column.dtype for column in columns if column.name == self.join_key}
        if not types:
            raise _gone(self._store, f"its views have no key `{self.join_key}`")
        return int if types == {Int64} else str

    def _read(self, keys: Sequence[int | str]) -> dict[str, list[Any]]:
        """What Feast gives for some keys, by column; a value's event time (seconds) is in the column `<name>__ts`."""
        from feast.errors import FeatureViewNotFoundException

        try:
            response = self._feast.get_online_features(
                self._references, [{self.join_key: key} for key in keys], full_feature_names=True
            )
        except (FeatureViewNotFoundException, sqlite3.OperationalError) as error:
            raise _gone(self._store, str(error)) from None
        found: dict[str, list[Any]] = response.to_dict(include_event_timestamps=True)
        return found

    def _rows(self, found: dict[str, list[Any]]) -> list[dict[str, Value]]:
        """Columns as rows, with values that are not good at this moment left out."""
        now = self._now().timestamp()
        rows: list[dict[str, Value]] = [{} for _ in found[self.join_key]]
        for view in self._views:
            for feature in view.features:
                name = f"{view.view}__{feature}"
                for row, value, seconds in zip(rows, found[name], found[f"{name}__ts"], strict=True):
                    row[feature] = value if is_alive(seconds, now, view.ttl_seconds) else None
        return rows


def _gone(store: Store, why: str) -> MlctlError:
    return MlctlError.of(
        "features.store-gone",
        f"the online store {store.online.path} cannot be read",
        why,
        "run `mlctl apply`: the plan finds what is missing and makes it again",
    )
