"""Write single rows to the online store of a view as they come in: pushed from a file, or computed by a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlctl.runtime.features.stores.backend import Row, Table, latest, store_gone
from mlctl.runtime.features.stores.codec import KeyCodec, Value, encode_value
from mlctl.runtime.features.stores.opening import open_backend
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import KeyValue, Store, ViewSource

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Record = tuple[Mapping[str, KeyValue], datetime, Mapping[str, Value]]  # keys, event time with its zone, features


@dataclass(frozen=True, slots=True)
class Written:
    """What became of some rows: `older` were not written because the store has the same or something newer of their key,
    `future` because nobody may know them yet: one of them would hide the value that is good now."""

    written: int
    older: int
    future: int

    def __add__(self, other: Written) -> Written:
        return Written(self.written + other.written, self.older + other.older, self.future + other.future)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class OnlineWriter:
    """Puts rows of a view online: whole, at once for each key, and the later event time wins whatever the order.

    Safe against any number of other writers. Raises MlctlError `features.store-gone` when the view is not online.
    """

    def __init__(self, store: Store, source: ViewSource, now: Callable[[], datetime] = _utc_now) -> None:
        self._backend = open_backend(store)
        self._source = source
        self._table = Table(source.view, tuple(source.keys), tuple(source.features))
        self._codec = KeyCodec(source.keys)
        self._now = now
        self._backend.read([self._table], [[]])  # a view that is not online shows now

    def write(self, records: Iterable[Record]) -> Written:
        """Write some rows, each with every feature of the view. Writing them again is right, and changes nothing.

        Raises MlctlError `features.bad-key`, `features.missing-feature` and `features.bad-value` before anything is
        written, `features.store-down`, and `features.store-gone` for rows with features that the view has no more.
        """
        now, given = self._now(), [(self._row(record), record[1]) for record in records]
        known = [row for row, moment in given if moment <= now]
        rows = latest(known)
        stamp = self._backend.stamp(self._table.view)
        if stamp is not None and set(self._table.features) - set(stamp.features):
            raise store_gone(self._backend.where, f"the view `{self._source.view}` has other features by now")
        written = self._backend.write(self._table, rows)
        return Written(written, len(known) - written, len(given) - len(known))

    def close(self) -> None:
        """Let the connection go."""
        self._backend.close()

    def _row(self, record: Record) -> Row:
        keys, moment, features = record
        return Row(self._codec.encode(keys), (moment - _EPOCH) // timedelta(microseconds=1), self._values(features))

    def _values(self, features: Mapping[str, Value]) -> tuple[bytes, ...]:
        encoded = []
        for name, dtype in self._source.features.items():
            if name not in features:
                raise _refused(
                    "missing-feature", f"a row has no `{name}`", "give every feature of the view; null is a value"
                )
            try:
                encoded.append(encode_value(features[name], dtype))
            except ValueError as error:
                summary = f"{features[name]!r:.60} is no {dtype}, which `{name}` is: {error}"
                raise _refused("bad-value", summary, "give a number, or null") from None
        return tuple(encoded)


def _refused(code: str, summary: str, fix: str) -> MlctlError:
    return MlctlError.of(f"features.{code}", summary, "a row is written whole, as serving reads it", fix)
