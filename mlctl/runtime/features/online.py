"""Features of keys as of now, read from the online store in Feast's layout, with the time to live that Feast leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlctl.runtime.features.stores.backend import Held, Table, store_gone
from mlctl.runtime.features.stores.codec import KeyCodec, Value, decode_value
from mlctl.runtime.features.stores.opening import open_backend
from mlctl.types.jobs.features import KeyValue, OnlineView, Store, keys_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLION = 1_000_000


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Looked:
    """What one request found: every feature of every view, None when missing or expired, and how old each view's row is.

    `event_times` has the time of the row of each view, None where there is none; a row that is expired or still to come
    has its time here and no values above.
    """

    values: dict[str, Value]
    event_times: dict[str, datetime | None]


class OnlineFeatures:
    """Looks up features by key for a model server. Feast is not imported: its layout is read as it is.

    From the `serving` output of a training or an evaluation:

        serving = ...  # {"columns": [...], "keys": [...], "views": [...], "store": {...}}
        lookup = OnlineFeatures(
            Store.model_validate(serving["store"]), [OnlineView.model_validate(view) for view in serving["views"]]
        )
        rows = lookup.get([{"household_id": 1}, {"household_id": 77}])  # [{"purchase_amount_7d": 12.5, ...}, ...]

    Views of different entities may be read together; a row then has the key columns of all. Safe to call from several
    threads. Paths of the store start at the working directory (the project folder).
    """

    def __init__(self, store: Store, views: Sequence[OnlineView], now: Callable[[], datetime] = _utc_now) -> None:
        """Open the store and look whether the views are there, so that a missing one shows now. Raises MlctlError."""
        self.keys = keys_of(views)
        self._views = tuple(views)
        self._now = now
        self._tables = [Table(view.view, tuple(view.keys), tuple(view.features)) for view in views]
        self._codecs = {table.keys: KeyCodec(table.keys) for table in self._tables}
        self._backend = open_backend(store)
        self._backend.read(self._tables, [[] for _ in self._tables])

    def get(self, rows: Sequence[Mapping[str, KeyValue]]) -> list[dict[str, Value]]:
        """One row for each mapping of key columns, in order; every feature of every view is in it, None when missing or expired.

        A value is good while `event time <= now <= event time + ttl`, the same rule as in the point-in-time join, so
        that serving sees what training saw, and all values of a view are of one event time. Raises MlctlError
        `features.bad-key` for a key of another type than the entity's, `features.store-down` when the server does not
        answer, and `features.store-gone` when the store has no such view any more.
        """
        return [found.values for found in self.look(rows)]

    def look(self, rows: Sequence[Mapping[str, KeyValue]]) -> list[Looked]:
        """The same, with the event times."""
        encoded = {keys: [codec.encode(row) for row in rows] for keys, codec in self._codecs.items()}
        held = self._backend.read(self._tables, [encoded[table.keys] for table in self._tables])
        # after the read: a row that is written while it is asked for is not taken for one of the future
        now = (self._now() - _EPOCH) // timedelta(microseconds=1)
        looked = [Looked({}, {}) for _ in rows]
        for view, found in zip(self._views, held, strict=True):
            for row, there in zip(looked, found, strict=True):
                self._put(row, view, there, now)
        return looked

    def close(self) -> None:
        """Let connections go."""
        self._backend.close()

    def _put(self, row: Looked, view: OnlineView, held: Held | None, now: int) -> None:
        row.event_times[view.view] = None if held is None else _EPOCH + timedelta(microseconds=held.moment)
        if held is None or not _is_alive(held.moment, now, view.ttl_seconds):
            row.values.update(dict.fromkeys(view.features))
            return
        try:
            row.values.update(zip(view.features, map(decode_value, held.values), strict=True))
        except ValueError as error:
            raise store_gone(self._backend.where, f"of {view.view}, {error}") from None


def _is_alive(moment: int, now: int, ttl_seconds: int | None) -> bool:
    """The rule of the point-in-time join, in microseconds, which no rounding touches."""
    return moment <= now and (ttl_seconds is None or now - moment <= ttl_seconds * _MILLION)
