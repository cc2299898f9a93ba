"""Bring the online rows of a view to one moment: what is newer is written, what is no more is removed, whole row by whole row."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from mlctl.runtime.features.stores.backend import CHUNK_KEYS, Backend, Row, Stamp, Table, not_ours, store_down
from mlctl.runtime.features.stores.codec import KeyCodec, encode_value
from mlctl.runtime.profile.database import database, literal, own_parquet, quote
from mlctl.runtime.report import Report
from mlctl.types.jobs.features import EVENT_TIMESTAMP, MaterializeParams
from mlctl.types.value import digest

_CHUNK_ROWS = 10 * CHUNK_KEYS
_SEEN_FILE = "online-keys.db"

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill came to: keys that are online now, how many rows it wrote and removed, and what tells the state later."""

    keys: int
    written: int
    removed: int
    size: int
    fill: str


def table_of(params: MaterializeParams) -> Table:
    """The online table of a view."""
    return Table(params.view, tuple(params.keys), tuple(item.name for item in params.features))


def fill(
    backend: Backend,
    params: MaterializeParams,
    records: Iterable[Sequence[Any]],
    until: datetime,
    content: str,
    report: Report,
) -> Filled:
    """Write records (keys, event time in microseconds, features), and remove older rows of keys that are not among them.

    Rows that are newer than `until` were pushed or streamed since, and stay. A fill that is cut off leaves each key with
    its old row or its new one, and the next one does the rest: it writes only what differs. Raises MlctlError, and
    `provider.not-ours` when another project fills a view of this name in the same store.
    """
    table = table_of(params)
    backend.make(table)
    stamp = _begin(backend, table, params)
    there = backend.stamp(table.view)
    kept = _Kept(report.folder / _SEEN_FILE)
    try:
        written = 0
        for rows in _portions(_rows(params, table, records)):
            kept.add(backend.names([row.key for row in rows]))
            written += backend.write(table, rows)
            report.progress("writing to the online store", kept.count, None, "keys", written=written)
        removed, ahead = _prune(backend, table, kept, _microseconds(until), report)
        keys = kept.count + ahead
    finally:
        kept.close()
    done = _name_of(content, until, table)
    if backend.stamp(table.view) != there:
        raise store_down(backend.where, "it was emptied, or written by another mlctl, while rows were written to it")
    backend.put_stamp(
        table.view, replace(stamp, features=list(table.features), fill=done, rows=keys, filling=False, served=True)
    )
    return Filled(keys, written, removed, backend.size(table, keys), done)


def snapshot_records(params: MaterializeParams, until: datetime, folder: Path) -> Iterator[tuple[Any, ...]]:
    """The row of every key that is known at a moment, from the view's snapshots.

    A dense view has one of each key at that very moment; of a sparse one the latest counts as taken then; of a
    precomputed table the latest is as old as it is.
    """
    with database(folder) as connection:
        connection.execute(_snapshot_query(params, until))
        while rows := connection.fetchmany(_CHUNK_ROWS):
            yield from rows


def _snapshot_query(params: MaterializeParams, until: datetime) -> str:
    at = f"CAST({literal(until.astimezone(UTC).replace(tzinfo=None).isoformat())} AS TIMESTAMP)"
    keys, features = [quote(key.name) for key in params.keys], [quote(item.name) for item in params.features]
    table, time = own_parquet(params.snapshot), quote(EVENT_TIMESTAMP)
    if params.grid_seconds and not params.sparse:
        return f"SELECT {', '.join([*keys, f'epoch_us({time})', *features])} FROM {table} WHERE {time} = {at}"
    moment = f"epoch_us({at})" if params.sparse else f"epoch_us(rows.{time})"
    picked = ", ".join([*(f"rows.{key}" for key in keys), moment, *(f"rows.{name}" for name in features)])
    same = " AND ".join(f"rows.{key} = latest.{key}" for key in keys)
    newest = f"SELECT {', '.join(keys)}, max({time}) AS newest FROM {table} WHERE {time} <= {at} GROUP BY ALL"
    return f"SELECT {picked} FROM {table} AS rows JOIN ({newest}) AS latest ON {same} AND rows.{time} = latest.newest"


def take_over(backend: Backend, params: MaterializeParams, until: datetime, content: str) -> Filled:
    """Put our stamp beside rows that another program wrote, when nobody else's is there. Changes none of them."""
    table = table_of(params)
    stamp = backend.stamp(table.view)
    if stamp is not None and stamp.lineage != params.marks.lineage:
        raise not_ours(backend.where, table.view, stamp, params.marks)
    keys, done = sum(1 for _ in backend.held_keys(table)), _name_of(content, until, table)
    taken = Stamp(**_facts(params), features=list(table.features), fill=done, rows=keys, filling=False, served=True)
    backend.put_stamp(table.view, taken)
    return Filled(keys, 0, 0, backend.size(table, keys), done)


def next_known(params: MaterializeParams, until: datetime, folder: Path) -> datetime | None:
    """When the next row of a precomputed table becomes known, if it has rows that are dated ahead."""
    at = literal(until.astimezone(UTC).replace(tzinfo=None).isoformat())
    time = quote(EVENT_TIMESTAMP)
    query = f"SELECT epoch_us(min({time})) FROM {own_parquet(params.snapshot)} WHERE {time} > CAST({at} AS TIMESTAMP)"
    with database(folder) as connection:
        ((moment,),) = connection.execute(query).fetchall()
    return None if moment is None else datetime.fromtimestamp(moment / 1_000_000, UTC)


def _name_of(content: str, until: datetime, table: Table) -> str:
    """What a fill is known by: the same values of the same moment are the same fill."""
    return digest([content, until.isoformat(), list(table.features)])


def _facts(params: MaterializeParams) -> dict[str, Any]:
    """Whose a view is, and by what its rows are found."""
    keys = [key.model_dump() for key in params.keys]
    return {"lineage": params.marks.lineage, "object": params.marks.object, "keys": keys}


def _begin(backend: Backend, table: Table, params: MaterializeParams) -> Stamp:
    """Say what is being done before doing it, and take away what the view has no more, so that no row is of two times."""
    marks, stamp = params.marks, backend.stamp(table.view)
    if stamp is not None and stamp.lineage != marks.lineage:
        raise not_ours(backend.where, table.view, stamp, marks)
    before = [] if stamp is None else stamp.features
    every = list(dict.fromkeys([*table.features, *before]))
    started = Stamp(**_facts(params), features=every, served=stamp is not None and stamp.served)
    backend.put_stamp(table.view, started)
    gone = [name for name in before if name not in table.features]
    if gone:
        backend.forget(table, gone)
    return started


def _prune(backend: Backend, table: Table, kept: _Kept, until: int, report: Report) -> tuple[int, int]:
    """Remove rows of keys that are no more. Gives how many, and how many keys there are beyond those that were kept."""
    removed = ahead = 0
    for portion in _portions(backend.held_keys(table)):
        others = kept.without(portion)
        stale = [item for item in others if item[1] <= until]
        ahead += len(others) - len(stale)
        if stale:
            removed += backend.delete(table, stale)
            report.progress("removing keys that are no more", removed, None, "keys")
    return removed, ahead


def _rows(params: MaterializeParams, table: Table, records: Iterable[Sequence[Any]]) -> Iterator[Row]:
    codec, names = KeyCodec(table.keys), [key.name for key in table.keys]
    types = [item.dtype for item in params.features]
    at = len(names)
    for record in records:
        values = tuple(encode_value(value, dtype) for value, dtype in zip(record[at + 1 :], types, strict=True))
        yield Row(codec.encode(dict(zip(names, record, strict=False))), record[at], values)


def _portions(items: Iterable[Item]) -> Iterator[list[Item]]:
    waiting = iter(items)
    while portion := list(islice(waiting, CHUNK_KEYS)):
        yield portion


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class _Kept:
    """The keys that were written, on disk: there may be more of them than fit in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF"):  # nobody reads it after a crash
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("CREATE TABLE kept (name BLOB PRIMARY KEY) WITHOUT ROWID")
        self.count = 0

    def add(self, names: Sequence[bytes]) -> None:
        """Remember some."""
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO kept VALUES (?)", ((name,) for name in names))
        self._database.execute("COMMIT")
        self.count += len(names)

    def without(self, items: Sequence[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        """Those of some items whose key was not added."""
        marks = ",".join("?" * len(items))
        known = self._database.execute(f"SELECT name FROM kept WHERE name IN ({marks})", [name for name, _ in items])
        found = {name for (name,) in known}
        return [item for item in items if item[0] not in found]

    def close(self) -> None:
        """Forget them all."""
        self._database.close()
        self._path.unlink(missing_ok=True)
