"""The windows of one step, computed by the code of the batch over the events that they reach.

The events within reach lie in a database file beside the job. It holds nothing that is not in the dataset or in the event
log, and is made anew by each start; so a kill costs it nothing.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal(), expressions are checked before they come here)

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.files.event_log import count
from mlctl.runtime.features import windows
from mlctl.runtime.features.expression import embed, with_expressions
from mlctl.runtime.features.inputs import inputs_of
from mlctl.runtime.features.sql import key_names, key_values, only_row
from mlctl.runtime.profile.database import database, literal, own_parquet, quote
from mlctl.runtime.stream.log import log_relation, relation_with
from mlctl.types.jobs.features import EVENT_TIMESTAMP, KeyValue, MaterializeParams, StreamLog
from mlctl.types.jobs.profile import Source
from mlctl.types.jobs.stream import SEQUENCE

_FILE = "window.duckdb"
_MOMENT = "mlctl_moment"
_PORTION = 10_000
# Keys that no entity has, for the one row that says up to where the steps go.
_NOBODY: Mapping[str, KeyValue] = {"int64": -(2**63), "string": "\x7fmlctl nobody\x7f"}

Served = tuple[dict[str, KeyValue], dict[str, Any]]  # the key columns, and all features


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of events that were loaded."""

    duplicates: int
    late: int


@dataclass(frozen=True, slots=True)
class Known:
    """The time of the last event of all, and how many events of the log were read."""

    last_event: datetime | None
    events: int


class Window:
    """The events of one view within reach of its windows. To be used by one thread."""

    def __init__(self, view: MaterializeParams, log: Path, folder: Path) -> None:
        """Make the database anew. Nothing is in it yet."""
        self._view = view
        self._log = log
        self._folder = folder
        self._grid = timedelta(seconds=view.grid_seconds)
        self._steps = sorted({item.window_steps for item in view.features})
        self._clear()
        self._open = ExitStack()
        self._connection = self._open.enter_context(database(folder))
        self._connection.execute(f"ATTACH {literal(str(folder / _FILE))} AS w")
        self._dense = view.ttl_seconds is not None
        self._everything = False
        self._since = datetime.max

    @property
    def reach(self) -> timedelta:
        """How far back the longest window goes."""
        return self._grid * self._steps[-1]

    def close(self) -> None:
        """Let the database go."""
        self._open.close()
        self._clear()

    def fill(self, since: datetime, *, everything: bool = False) -> Known:
        """Read the dataset and the log once: all events from `since` on. With `everything` the first step is of all keys.

        A view whose values expire serves every key anew at each step, so all its keys are kept too.
        """
        self._since = since
        log = StreamLog(folder=str(self._log), events=count(self._log))
        both, keys = relation_with(self._view.source, log), self._keys()
        moment = self._moment()
        self._connection.execute(f"CREATE TABLE w.events AS SELECT * FROM {both} WHERE {moment} >= {_time(since)}")
        self._connection.execute(f"CREATE TABLE w.late AS SELECT {keys} FROM w.events LIMIT 0")
        self._everything = everything
        if self._dense or everything:
            self._connection.execute(
                f"CREATE TABLE w.known AS SELECT DISTINCT {keys} FROM ({self._prepared(both)}) WHERE {self._whole()}"
            )
        (last,) = only_row(
            self._connection,
            f"SELECT max({moment}) FROM ({self._prepared(both)}) WHERE isfinite({moment}) AND {self._whole()}",
        )
        self._connection.execute(f"CREATE TABLE w.extremes AS SELECT * FROM ({self._largest(both)})")
        return Known(None if last is None else naive(last), log.events)

    def load(self, events: Sequence[Mapping[str, Any]], closed: datetime | None) -> Loaded:
        """Add events that are in the log now. Those of a step before `closed` are late. Known ones change nothing."""
        beside = self._folder / "fresh.jsonl"
        with open(beside, "w", encoding="utf-8") as stream:
            stream.writelines(
                json.dumps({SEQUENCE: index, **event}, ensure_ascii=False) + "\n" for index, event in enumerate(events)
            )
        run = self._connection.execute
        source = self._view.source
        key = ", ".join(map(quote, source.key))
        names = ", ".join(map(quote, source.columns))
        run(f"CREATE OR REPLACE TEMP TABLE came AS SELECT * FROM {log_relation([beside], source)}")
        run(
            f"CREATE OR REPLACE TEMP TABLE fresh AS SELECT {names} FROM came "
            f"ANTI JOIN (SELECT {key} FROM w.events SEMI JOIN came USING ({key})) USING ({key}) "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {SEQUENCE}) = 1"
        )
        beside.unlink()
        late = "false" if closed is None else f"{self._moment()} < {_time(closed)}"
        (count, behind) = only_row(self._connection, f"SELECT count(*), count(*) FILTER ({late}) FROM fresh")
        keys = self._keys()
        run("BEGIN")
        run(f"INSERT INTO w.events BY NAME SELECT * FROM fresh WHERE {self._moment()} >= {_time(self._since)}")
        run(f"INSERT INTO w.late SELECT {keys} FROM ({self._prepared('fresh')}) WHERE {late}")
        if self._dense or self._everything:
            named = ", ".join(key_names(self._view.keys))
            run(
                f"INSERT INTO w.known SELECT DISTINCT {keys} FROM ({self._prepared('fresh')}) "
                f"WHERE {self._whole()} EXCEPT SELECT {named} FROM w.known"
            )
        run(f"CREATE OR REPLACE TABLE w.extremes AS SELECT * FROM ({self._largest('w.extremes', 'fresh')})")
        run("COMMIT")
        return Loaded(len(events) - count, behind)

    def compute(self, since: datetime | None, until: datetime) -> Iterator[list[Served]]:
        """The windows that end at a step's end, of all keys whose values may have changed since the end of an earlier one.

        Without `since`, of all keys with an event within reach. In portions; to be read to the end.
        """
        self._choose(since, until)
        reach, made = self._folder / "reach.parquet", self._folder / "made.parquet"
        self._write_reach(until, reach)
        columns = {
            row[0]: row[1].lower()
            for row in self._connection.execute(f"DESCRIBE SELECT * FROM {own_parquet(str(reach))}").fetchall()
        }
        params = self._view.model_copy(
            update={
                "source": Source(files=[str(reach)], format="parquet", columns=columns),
                "timestamp": _MOMENT,
                "log": None,
                "where": None,
                "expressions": {},
                "sparse": True,
            }
        )
        with database(self._folder / "step") as connection:
            windows.compute(connection, params, made)
        yield from self._latest(made, until)
        reach.unlink()
        made.unlink()

    def forget(self, until: datetime) -> None:
        """Drop what no later step can reach."""
        self._everything = False
        since = until - self.reach - self._grid
        if since > self._since:
            self._since = since
            self._connection.execute(f"DELETE FROM w.events WHERE {self._moment()} < {_time(since)}")
        self._connection.execute("DELETE FROM w.late")

    def _choose(self, since: datetime | None, until: datetime) -> None:
        """The table of keys to compute: where an event comes into a window or leaves one, and those with late events."""
        keys, moment = self._keys(), self._moment()
        if self._dense or self._everything:
            self._connection.execute("CREATE OR REPLACE TEMP TABLE chosen AS SELECT * FROM w.known")
            return
        edges = "true"
        if since is not None:
            edges = " OR ".join(
                f"({moment} >= {_time(since - self._grid * steps)} AND {moment} < {_time(until - self._grid * steps)})"
                for steps in [0, *self._steps]
            )
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE chosen AS "
            f"SELECT DISTINCT {keys} FROM ({self._prepared('w.events')}) "
            f"WHERE ({edges}) AND {moment} < {_time(until)} AND {self._whole()} UNION SELECT * FROM w.late"
        )

    def _largest(self, *tables: str) -> str:
        """For each input of the windows the row with the largest value, as a query.

        The digits that sums are kept with follow from the largest value of all, in reach or not.
        """
        names = ", ".join(map(quote, self._view.source.columns))
        table = "(" + " UNION ALL BY NAME ".join(f"SELECT {names} FROM {item}" for item in tables) + ")"
        types = {
            row[0]: row[1].lower() for row in self._connection.execute(f"DESCRIBE {self._prepared(table)}").fetchall()
        }
        numeric = [item for item in inputs_of(self._view.features, types).values() if item.numeric]
        none = f"SELECT {names} FROM {table} LIMIT 0"
        counted = f"{self._whole()} AND isfinite({self._moment()})"  # as in the batch: other rows are in no window
        rows = (
            f"(SELECT {names} FROM ({self._prepared(table)}) WHERE {counted} "
            f"ORDER BY abs(CAST({item.sql} AS DOUBLE)) DESC NULLS LAST LIMIT 1)"
            for item in numeric
        )
        return " UNION ALL ".join([f"({none})", *rows])

    def _write_reach(self, until: datetime, path: Path) -> None:
        """The chosen keys' events in reach; for each key a row before it, which no window holds; last rows of nobody's.

        The row before gives every key a value, that of an empty window where it is one. The last rows make the steps go on
        up to the end of this one, and bring the largest values along.
        """
        view, first = self._view, until - self.reach
        names = ", ".join(key_names(view.keys))
        typed = ", ".join(
            f"{value} AS {name}" for value, name in zip(key_values(view.keys), key_names(view.keys), strict=True)
        )
        nobody = ", ".join(f"{_literal(_NOBODY[key.type])} AS {quote(key.name)}" for key in view.keys)
        events = (
            f"SELECT e.* REPLACE ({typed}), CAST({quote(view.timestamp)} AS TIMESTAMP) AS {_MOMENT} "
            f"FROM ({self._prepared('w.events')}) AS e"
        )
        tick = timedelta(microseconds=1)
        self._connection.execute(
            f"COPY (SELECT * FROM ({events}) SEMI JOIN chosen USING ({names}) "
            f"WHERE {_MOMENT} >= {_time(first)} AND {_MOMENT} < {_time(until)} "
            f"UNION ALL BY NAME SELECT *, {_time(first - tick)} AS {_MOMENT} FROM chosen "
            f"UNION ALL BY NAME SELECT {nobody}, {_time(until - tick)} AS {_MOMENT} "
            f"UNION ALL BY NAME SELECT * REPLACE ({nobody}), {_time(until - tick)} AS {_MOMENT} "
            f"FROM ({self._prepared('w.extremes')})) "
            f"TO {literal(str(path))} (FORMAT parquet)"
        )

    def _latest(self, made: Path, until: datetime) -> Iterator[list[Served]]:
        keys = [key.name for key in self._view.keys]
        features = [item.name for item in self._view.features]
        names = ", ".join(map(quote, [*keys, *features]))
        nobody = " AND ".join(f"{quote(key.name)} = {_literal(_NOBODY[key.type])}" for key in self._view.keys)
        key = ", ".join(map(quote, keys))
        result = self._connection.execute(
            f"SELECT {names} FROM {own_parquet(str(made))} "
            f"WHERE {EVENT_TIMESTAMP} <= {_time(until)} AND NOT ({nobody}) "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {EVENT_TIMESTAMP} DESC) = 1"
        )
        while rows := result.fetchmany(_PORTION):
            yield [
                (dict(zip(keys, row[: len(keys)], strict=True)), dict(zip(features, row[len(keys) :], strict=True)))
                for row in rows
            ]

    def _prepared(self, table: str) -> str:
        """The rows of a table that are events, with the columns that the view computes, as in the batch."""
        where = "" if self._view.where is None else f" WHERE {embed(self._view.where)}"
        return f"SELECT * FROM ({with_expressions(table, self._view.expressions)}){where}"

    def _keys(self) -> str:
        pairs = zip(key_values(self._view.keys), key_names(self._view.keys), strict=True)
        return ", ".join(f"{value} AS {name}" for value, name in pairs)

    def _whole(self) -> str:
        """Rows without a key belong to nobody."""
        return " AND ".join(f"{name} IS NOT NULL" for name in key_names(self._view.keys))

    def _moment(self) -> str:
        return f"CAST({quote(self._view.timestamp)} AS TIMESTAMP)"

    def _clear(self) -> None:
        for name in (_FILE, f"{_FILE}.wal", "fresh.jsonl", "reach.parquet", "made.parquet"):
            (self._folder / name).unlink(missing_ok=True)


def _time(moment: datetime) -> str:
    return f"CAST({literal(moment.isoformat())} AS TIMESTAMP)"


def naive(moment: datetime) -> datetime:
    """A moment without its zone, in UTC, as columns of times hold it."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _literal(value: KeyValue) -> str:
    return literal(value) if isinstance(value, str) else f"CAST({literal(str(value))} AS BIGINT)"
