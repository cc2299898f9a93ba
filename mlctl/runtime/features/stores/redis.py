"""The online store on a Redis server: one hash for each key, shared by the views of an entity, as Feast has it.

A row is put in by a script that compares what is there with what was seen, so that of two writers the later event time
wins whatever the order, and a reader sees whole rows.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, TypeVar

from mlctl.runtime.features.stores.backend import CHUNK_KEYS, Held, Row, Stamp, Table, store_down, store_gone, wins
from mlctl.runtime.features.stores.codec import MISSING, KeyCodec, decode_moment, encode_moment
from mlctl.types.jobs.features import RedisOnline
from mlctl.types.jobs.stores import redis_address, stamp_key

Result = TypeVar("Result")

_CONNECT_SECONDS, _ANSWER_SECONDS = 1.0, 5.0
_WRITING_PATIENCE_SECONDS = 10.0  # a server that is started again, or fails over, is back within that
_READING_PATIENCE_SECONDS = 0.3  # a request waits for this
_SCAN_KEYS = 1000
_ROUNDS = 50  # how often a row is offered again when others write the same key at the same time

# What is there, and nothing, as one text.
_SEEN = "local held = redis.call('HGET', KEYS[1], ARGV[1]); local seen = held and ('t' .. held) or 'n'"
# Put a row in place of the one that was seen; 0 when there is another by now. Lua takes some thousand arguments at once.
_PUT = f"""
{_SEEN}
if seen ~= ARGV[2] then return 0 end
for i = 4, #ARGV, 2000 do redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(i + 1999, #ARGV))) end
if ARGV[3] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
# Remove the fields of a row that still has the event time that was seen.
_TAKE = f"""
{_SEEN}
if seen ~= ARGV[2] then return 0 end
for i = 3, #ARGV, 2000 do redis.call('HDEL', KEYS[1], unpack(ARGV, i, math.min(i + 1999, #ARGV))) end
return 1
"""


class RedisBackend:
    """A pool of connections, shared by all threads."""

    def __init__(self, project: str, online: RedisOnline) -> None:
        import redis
        import redis.backoff
        import redis.retry

        self._redis = redis
        self._project = project.encode()
        self._expire = online.key_ttl_seconds or 0
        self._where = f"redis at {redis_address(online.url)}"
        self._client = redis.Redis.from_url(
            online.url,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),  # how long to try is said call by call
        )
        self._put = self._client.register_script(_PUT)
        self._take = self._client.register_script(_TAKE)
        self._stamps: dict[bytes, Stamp | None] = {}

    @property
    def where(self) -> str:
        """Host, port and database."""
        return self._where

    def read(self, tables: Sequence[Table], keys: Sequence[Sequence[bytes]]) -> list[list[Held | None]]:
        """One round trip. Each row is read by one command, and whether the views are there at all in the same trip."""
        names = [_fields(table) for table in tables]

        def ask(pipe: Any) -> None:
            for table in tables:
                pipe.get(self._stamp_key(table.view))
            for fields, wanted in zip(names, keys, strict=True):
                for key in wanted:
                    pipe.hmget(key + self._project, fields)

        answers = iter(self._pipeline(ask, _READING_PATIENCE_SECONDS))
        for table in tables:
            self._expect_served(table, next(answers))
        return [[_held(next(answers)) for _ in wanted] for wanted in keys]

    def write(self, table: Table, rows: Sequence[Row]) -> int:
        """Look at what is there, and put in what is newer; what somebody else put in between is looked at again."""
        written = 0
        for start in range(0, len(rows), CHUNK_KEYS):
            left = list(rows[start : start + CHUNK_KEYS])
            for _ in range(_ROUNDS):
                if not left:
                    break
                put, left = self._put_rows(table, left)
                written += put
            if left:
                raise store_down(self._where, f"{len(left)} keys are written all the time by others")
        return written

    def _put_rows(self, table: Table, rows: Sequence[Row]) -> tuple[int, list[Row]]:
        fields = _fields(table)
        seen = self._seen(fields, [row.key for row in rows])
        better = [(row, held) for row, held in zip(rows, seen, strict=True) if wins(row, held)]

        def ask(pipe: Any) -> None:
            for row, held in better:
                pairs = [
                    part for pair in zip(fields, (encode_moment(row.moment), *row.values), strict=True) for part in pair
                ]
                self._put(
                    keys=[row.key + self._project], args=[fields[0], _seen(held), self._expire, *pairs], client=pipe
                )

        answers = self._pipeline(ask, _WRITING_PATIENCE_SECONDS) if better else []
        return sum(answers), [row for (row, _), done in zip(better, answers, strict=True) if not done]

    def _seen(self, fields: Sequence[bytes], keys: Sequence[bytes]) -> list[Held | None]:
        def ask(pipe: Any) -> None:
            for key in keys:
                pipe.hmget(key + self._project, fields)

        return [_held(answer) for answer in self._pipeline(ask, _WRITING_PATIENCE_SECONDS)]

    def held_keys(self, table: Table) -> Iterator[tuple[bytes, int]]:
        """A scan of the server for keys of this entity that end in exactly our project, and that this view has a row of."""
        codec, ts = KeyCodec(table.keys), _time_field(table.view)
        pattern, cursor = _literally(codec.prefix) + b"*" + _literally(self._project), 0
        while True:
            scan = partial(self._client.scan, cursor, match=pattern, count=_SCAN_KEYS)
            cursor, found = self._asked(scan, _WRITING_PATIENCE_SECONDS)
            halves = (codec.split(name) for name in found)
            ours = [half[0] for half in halves if half is not None and half[1] == self._project]

            def ask(pipe: Any, ours: Sequence[bytes] = ours) -> None:
                for key in ours:
                    pipe.hget(key + self._project, ts)

            for key, held in zip(ours, self._pipeline(ask, _WRITING_PATIENCE_SECONDS) if ours else [], strict=True):
                if held is not None:
                    yield key, decode_moment(held)
            if cursor == 0:
                return

    def names(self, keys: Sequence[bytes]) -> list[bytes]:
        """The keys themselves."""
        return list(keys)

    def delete(self, table: Table, keys: Sequence[tuple[bytes, int]]) -> int:
        """The row is fields of a hash that other views may share; Redis removes a hash with its last field."""
        fields, removed = _fields(table), 0
        for start in range(0, len(keys), CHUNK_KEYS):
            portion = keys[start : start + CHUNK_KEYS]

            def ask(pipe: Any, portion: Sequence[tuple[bytes, int]] = portion) -> None:
                for key, moment in portion:
                    args = [fields[0], b"t" + encode_moment(moment), *fields]
                    self._take(keys=[key + self._project], args=args, client=pipe)

            removed += sum(self._pipeline(ask, _WRITING_PATIENCE_SECONDS))
        return removed

    def forget(self, table: Table, features: Sequence[str]) -> None:
        """Feast leaves them in the hash for good."""
        self._remove(table, [_field(table.view, name) for name in features])

    def drop(self, table: Table) -> None:
        """All fields of the view, and last the stamp: a kill in between leaves what says that there is more to do."""
        self._remove(table, _fields(table))
        self._asked(lambda: self._client.delete(self._stamp_key(table.view)), _WRITING_PATIENCE_SECONDS)

    def _remove(self, table: Table, fields: Sequence[bytes]) -> None:
        portion: list[bytes] = []

        def flush() -> None:
            def ask(pipe: Any) -> None:
                for key in portion:
                    pipe.hdel(key + self._project, *fields)

            if portion and fields:
                self._pipeline(ask, _WRITING_PATIENCE_SECONDS)
            portion.clear()

        for key, _ in self.held_keys(table):
            portion.append(key)
            if len(portion) == CHUNK_KEYS:
                flush()
        flush()

    def make(self, table: Table) -> None:
        """A hash comes into being with its first field."""

    def size(self, table: Table, keys: int) -> int:
        """The keys, as they were counted: counting them again is a scan."""
        return keys

    def stamp(self, view: str) -> Stamp | None:
        """A text beside the hashes, under a name that is no key of Feast's."""
        text = self._asked(lambda: self._client.get(self._stamp_key(view)), _WRITING_PATIENCE_SECONDS)
        return Stamp.parse(text)

    def put_stamp(self, view: str, stamp: Stamp) -> None:
        """One command."""
        self._asked(lambda: self._client.set(self._stamp_key(view), stamp.text()), _WRITING_PATIENCE_SECONDS)

    def close(self) -> None:
        """Close all connections of the pool."""
        self._client.close()

    def _expect_served(self, table: Table, text: bytes | None) -> None:
        """Raise MlctlError when the view was never filled to the end, or the server was emptied since."""
        if text is not None and text not in self._stamps:
            self._stamps = {**dict(list(self._stamps.items())[-100:]), text: Stamp.parse(text)}
        stamp = None if text is None else self._stamps[text]
        if stamp is None or not stamp.served:
            raise store_gone(self._where, f"the view `{table.view}` is not in it, or was never filled to the end")

    def _stamp_key(self, view: str) -> bytes:
        return stamp_key(self._project.decode(), view).encode()

    def _pipeline(self, ask: Callable[[Any], None], patience: float) -> list[Any]:
        def call() -> list[Any]:
            with self._client.pipeline(transaction=False) as pipe:
                ask(pipe)
                answers: list[Any] = pipe.execute()
                return answers

        return self._asked(call, patience)

    def _asked(self, call: Callable[[], Result], patience: float) -> Result:
        """What a call gives, tried again for a while when the server is away. Every call may be made twice."""
        errors, deadline, pause = self._redis.exceptions, time.monotonic() + patience, 0.01
        while True:
            try:
                return call()
            except errors.AuthenticationError as error:
                raise store_down(self._where, error) from None
            except (errors.ConnectionError, errors.TimeoutError) as error:
                if time.monotonic() + pause > deadline:
                    raise store_down(self._where, error) from None
            except errors.RedisError as error:
                raise store_down(self._where, error) from None
            time.sleep(pause)
            pause = min(2 * pause, 1.0)


def _field(view: str, feature: str) -> bytes:
    """The name of a feature in the hash: Feast's."""
    import mmh3

    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def _time_field(view: str) -> bytes:
    return f"_ts:{view}".encode()


@lru_cache(maxsize=1024)
def _fields(table: Table) -> list[bytes]:
    """The event time, then the features in the order of the table."""
    return [_time_field(table.view), *(_field(table.view, name) for name in table.features)]


def _held(answer: Sequence[bytes | None]) -> Held | None:
    """A row as HMGET gives it; a feature that was never written makes it one that is worth writing again."""
    moment, *values = answer
    if moment is None:
        return None
    return Held(decode_moment(moment), tuple(value if value is not None else MISSING for value in values))


def _seen(held: Held | None) -> bytes:
    return b"n" if held is None else b"t" + encode_moment(held.moment)


def _literally(data: bytes) -> bytes:
    """Bytes as a pattern that matches just them."""
    return b"".join(
        b"\\" + data[i : i + 1] if data[i : i + 1] in b"*?[]\\^" else data[i : i + 1] for i in range(len(data))
    )
