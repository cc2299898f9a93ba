"""The online store in an SQLite file: one row for each key and feature, as Feast has it.

Feast keeps event times in whole seconds there. The column `created_ts`, which Feast never reads, takes the microseconds
here, so that two pushes within one second do not lose their order.
"""

# ruff: noqa: S608 (names go through quote(), everything else is a parameter)

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from mlctl.runtime.features.stores.backend import CHUNK_KEYS, Held, Row, Stamp, Table, store_down, store_gone, wins
from mlctl.runtime.features.stores.codec import MISSING
from mlctl.types.jobs.features import SqliteOnline

_WAIT_SECONDS = 60.0  # for other writers, each of which takes milliseconds at a time
_MILLION = 1_000_000
_KEYS_PER_QUERY = 10_000  # SQLite takes 32,766 values in one query

_COLUMNS = "entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, vector_value BLOB, event_ts timestamp, created_ts timestamp"


class SqliteBackend:
    """One connection for each thread; they go with their threads."""

    def __init__(self, project: str, online: SqliteOnline) -> None:
        self._project = project
        self._path = Path(online.path)
        self._local = threading.local()

    @property
    def where(self) -> str:
        """The file."""
        return str(self._path)

    def read(self, tables: Sequence[Table], keys: Sequence[Sequence[bytes]]) -> list[list[Held | None]]:
        """One query for each table: what it sees is of one moment, whatever is written meanwhile."""
        with self._errors():
            connection = self._connection()
            return [
                [found.get(key) for key in wanted]
                for table, wanted in zip(tables, keys, strict=True)
                for found in [self._held(connection, table, wanted)]
            ]

    def write(self, table: Table, rows: Sequence[Row]) -> int:
        """Each chunk is one transaction, so that a reader sees whole rows and other writers get their turn."""
        written = 0
        with self._errors():
            connection = self._connection()
            for start in range(0, len(rows), CHUNK_KEYS):
                written += self._write_chunk(connection, table, rows[start : start + CHUNK_KEYS])
        return written

    def _write_chunk(self, connection: sqlite3.Connection, table: Table, rows: Sequence[Row]) -> int:
        name = self._table(table)
        with _transaction(connection):
            held = self._held(connection, table, [row.key for row in rows])
            better = [row for row in rows if wins(row, held.get(row.key))]
            connection.executemany(f"DELETE FROM {name} WHERE entity_key = ?", [(row.key,) for row in better])
            connection.executemany(
                f"INSERT INTO {name} (entity_key, feature_name, value, event_ts, created_ts) VALUES (?, ?, ?, ?, ?)",
                (
                    (row.key, feature, value, row.moment // _MILLION, row.moment)
                    for row in better
                    for feature, value in zip(table.features, row.values, strict=True)
                ),
            )
        return len(better)

    def held_keys(self, table: Table) -> Iterator[tuple[bytes, int]]:
        """Read key by key, a portion at a time, so that no query stays open while the caller writes."""
        last = b""
        while True:
            with self._errors():
                found = (
                    self._connection()
                    .execute(
                        f"SELECT entity_key, max(event_ts), max(created_ts) FROM {self._table(table)} WHERE entity_key > ? "
                        "GROUP BY entity_key ORDER BY entity_key LIMIT ?",
                        (last, _KEYS_PER_QUERY),
                    )
                    .fetchall()
                )
            yield from ((key, _moment(seconds, exact)) for key, seconds, exact in found)
            if len(found) < _KEYS_PER_QUERY:
                return
            last = found[-1][0]

    def names(self, keys: Sequence[bytes]) -> list[bytes]:
        """The keys themselves."""
        return list(keys)

    def delete(self, table: Table, keys: Sequence[tuple[bytes, int]]) -> int:
        """In transactions of a chunk each."""
        name, removed = self._table(table), 0
        with self._errors():
            connection = self._connection()
            for start in range(0, len(keys), CHUNK_KEYS):
                with _transaction(connection):
                    for key, moment in keys[start : start + CHUNK_KEYS]:
                        (seconds,) = connection.execute(
                            f"SELECT max(event_ts) FROM {name} WHERE entity_key = ?", (key,)
                        ).fetchone()
                        if seconds == moment // _MILLION:
                            connection.execute(f"DELETE FROM {name} WHERE entity_key = ?", (key,))
                            removed += 1
        return removed

    def forget(self, table: Table, features: Sequence[str]) -> None:
        """All at once."""
        with self._errors(), _transaction(self._connection()) as connection:
            for feature in features:
                connection.execute(f"DELETE FROM {self._table(table)} WHERE feature_name = ?", (feature,))

    def drop(self, table: Table) -> None:
        """The whole table is the view's."""
        if self._path.is_file():
            with self._errors():
                self._connection().execute(f"DROP TABLE IF EXISTS {self._table(table)}")

    def make(self, table: Table) -> None:
        """Make the table as Feast makes it, in a file that can be read while it is written."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        name = self._table(table)
        with self._errors():
            connection = self._connection()
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({_COLUMNS}, PRIMARY KEY(entity_key, feature_name))")

    def stamp(self, view: str) -> Stamp | None:
        """The file is one environment's own, so that nobody else's rows are in it: there are no stamps."""
        return None

    def put_stamp(self, view: str, stamp: Stamp) -> None:
        """Nothing to keep; what stamps are for is told by the table itself."""

    def size(self, table: Table, keys: int) -> int:
        """How many values the table holds: features times keys."""
        with self._errors():
            return int(self._connection().execute(f"SELECT count(*) FROM {self._table(table)}").fetchone()[0])

    def close(self) -> None:
        """Close this thread's connection; those of others close with their threads."""
        held: tuple[Any, sqlite3.Connection] | None = getattr(self._local, "held", None)
        if held is not None:
            held[1].close()
            del self._local.held

    def _held(self, connection: sqlite3.Connection, table: Table, keys: Sequence[bytes]) -> dict[bytes, Held]:
        found: dict[bytes, Held] = {}
        if not keys:  # whether the view is there at all is asked without any
            connection.execute(f"SELECT 1 FROM {self._table(table)} LIMIT 0")
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            portion = list(keys[start : start + _KEYS_PER_QUERY])
            marks = ",".join("?" * len(portion))
            rows = connection.execute(
                f"SELECT entity_key, feature_name, value, event_ts, created_ts FROM {self._table(table)} "
                f"WHERE entity_key IN ({marks}) ORDER BY entity_key",
                portion,
            ).fetchall()
            for key, group in groupby(rows, lambda row: row[0]):
                found[key] = _whole(table, list(group))
        return found

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection to the file that has the name now: a file that was put in its place is another store."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise store_gone(self.where, f"there is no file: {error.strerror}") from None
        identity = (status.st_dev, status.st_ino)
        held: tuple[Any, sqlite3.Connection] | None = getattr(self._local, "held", None)
        if held is not None and held[0] == identity:
            return held[1]
        self.close()
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._local.held = (identity, connection)
        return connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                raise store_gone(self.where, str(error)) from None
            raise store_down(self.where, error) from None
        except sqlite3.DatabaseError as error:
            raise store_gone(self.where, str(error)) from None

    def _table(self, table: Table) -> str:
        return '"' + f"{self._project}_{table.view}".replace('"', '""') + '"'


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """With the right to write from the start on, so that nothing changes between looking and writing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _whole(table: Table, rows: Sequence[tuple[bytes, str, bytes | None, int, int | None]]) -> Held:
    """The newest event time of a key, and the values that are of it: what another program wrote in part is no row."""
    moments = {name: _moment(seconds, exact) for _, name, _, seconds, exact in rows}
    newest = max(moments.values())
    values = {name: value or b"" for _, name, value, _, _ in rows if moments[name] == newest}
    return Held(newest, tuple(values.get(name, MISSING) for name in table.features))


def _moment(seconds: int, exact: int | None) -> int:
    """The event time in microseconds; Feast's own writers leave whole seconds, and a time of creation or none beside them."""
    return exact if exact is not None and exact // _MILLION == seconds else seconds * _MILLION
