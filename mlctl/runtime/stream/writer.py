"""The values of a step into the online store, where the later event time wins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from mlctl.runtime.features.stores.backend import Backend, Row, Table
from mlctl.runtime.features.stores.codec import KeyCodec, encode_value
from mlctl.runtime.features.stores.opening import open_backend
from mlctl.runtime.stream.window import Served
from mlctl.types.jobs.features import MaterializeParams

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Writer:
    """Writes to the table of one view. To be used by one thread."""

    def __init__(self, view: MaterializeParams) -> None:
        self._types = {item.name: item.dtype for item in view.features}
        self._table = Table(view.view, tuple(view.keys), tuple(self._types))
        self._codec = KeyCodec(view.keys)
        self._store = view.store
        self._backend: Backend | None = None

    def open(self) -> None:
        """See that the store answers and has the view. Raises MlctlError."""
        self._backend = open_backend(self._store)
        self._backend.read([self._table], [[]])

    def write(self, rows: Sequence[Served], until: datetime) -> int:
        """Serve these values as of the end of a step, naive in UTC. Gives how many keys had nothing newer. Raises MlctlError."""
        moment = (until.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
        made = [
            Row(
                self._codec.encode(keys),
                moment,
                tuple(encode_value(values[name], kind) for name, kind in self._types.items()),
            )
            for keys, values in rows
        ]
        return 0 if self._backend is None else self._backend.write(self._table, made)

    def close(self) -> None:
        """Let connections go."""
        if self._backend is not None:
            self._backend.close()
