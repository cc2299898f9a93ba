"""Whether a view is still in its registry and online, asked of files and servers by one small question each.

Plans ask, so that nothing heavy is imported: the client of a server only where the project uses one. A server that does
not answer is asked once in a while and not for each view.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlctl.types.jobs.features import DynamoOnline, RedisOnline, SqliteOnline, Store
from mlctl.types.jobs.stores import STAMP_ITEM, dynamo_table, redis_address, sql_address, sqlite_file, stamp_key
from mlctl.types.value import Json

_WAIT_SECONDS = 5.0
_ANSWER_SECONDS = 2.0
_DOWN_SECONDS = 10.0  # for so long nobody asks a server again that did not answer

_down: dict[str, tuple[float, str]] = {}


class Unreachable(Exception):
    """A server did not answer. The text says which and why, without credentials."""


def declared(store: Store, root: Path, view: str, mark: str) -> bool:
    """Whether the registry holds a view with this mark, looked for in its bytes, without importing Feast. Raises Unreachable."""
    return mark.encode() in _definition(store, root, view)


def mentioned(store: Store, root: Path, view: str) -> bool:
    """Whether the registry may hold a view of this name, of whomever. Raises Unreachable."""
    return view.encode() in _definition(store, root, view)


def online_trouble(store: Store, root: Path, view: str, evidence: Mapping[str, Json]) -> str | None:
    """What is wrong with the online rows of a view; None when they are as they were left. Raises Unreachable."""
    online = store.online
    if isinstance(online, SqliteOnline):
        rows = sqlite_rows(root / online.path, str(evidence["online_table"]))
        if rows is None:
            return "its online table is gone"
        # more is fine: they were pushed or streamed
        return (
            None
            if rows >= evidence["online_rows"]
            else f"its online table holds {rows:,} of {evidence['online_rows']:,} values"
        )
    text = (
        _redis_stamp(online, store.project, view)
        if isinstance(online, RedisOnline)
        else _dynamo_stamp(online, store.project, view)
    )
    if text is None:
        return f"its rows in {online_address(store)} are gone"
    stamp = json.loads(text)
    if stamp["filling"]:
        return f"writing its rows to {online_address(store)} was cut off"
    return (
        None
        if stamp["fill"] == evidence["online_fill"]
        else f"its rows in {online_address(store)} were written by something else"
    )


def online_address(store: Store) -> str:
    """What people call the online store, without credentials."""
    online = store.online
    if isinstance(online, RedisOnline):
        return f"redis at {redis_address(online.url)}"
    if isinstance(online, DynamoOnline):
        return f"DynamoDB in {online.region}" + (f" at {online.endpoint_url}" if online.endpoint_url else "")
    return online.path


def sqlite_rows(path: Path, table: str) -> int | None:
    """How many values an online table holds; None when there is no such table, or no such file."""
    if not path.is_file():
        return None
    import sqlite3  # entities, and plans of new views, have no use for it

    name = '"' + table.replace('"', '""') + '"'
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_WAIT_SECONDS)) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])  # noqa: S608  # the name is quoted
    except sqlite3.DatabaseError:
        return None


def _definition(store: Store, root: Path, view: str) -> bytes:
    """What the registry knows of a view: all of a file, or one row of a table. Empty when there is nothing."""
    if store.registry_is_file:
        try:
            return (root / store.registry).read_bytes()
        except FileNotFoundError:
            return b""
    where = sql_address(store.registry)
    _ask_again(where)
    file = sqlite_file(store.registry)
    if file is not None:
        return _sqlite_definition(root / file, store.project, view)
    import psycopg

    url = store.registry.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(url, connect_timeout=int(_ANSWER_SECONDS)) as connection:
            row = connection.execute(
                "SELECT feature_view_proto FROM feature_views WHERE project_id = %s AND feature_view_name = %s",
                (store.project, view),
            ).fetchone()
    except psycopg.errors.UndefinedTable:
        return b""
    except psycopg.Error as error:
        raise _unreachable(where, error) from None
    return b"" if row is None else bytes(row[0])


def _sqlite_definition(path: Path, project: str, view: str) -> bytes:
    import sqlite3

    if not path.is_file():
        return b""
    query = "SELECT feature_view_proto FROM feature_views WHERE project_id = ? AND feature_view_name = ?"
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_WAIT_SECONDS)
        ) as connection:
            row = connection.execute(query, (project, view)).fetchone()
    except sqlite3.DatabaseError:
        return b""
    return b"" if row is None else bytes(row[0])


def _redis_stamp(online: RedisOnline, project: str, view: str) -> Any:
    where = f"redis at {redis_address(online.url)}"
    _ask_again(where)
    import redis

    try:
        return _redis(online.url).get(stamp_key(project, view))
    except redis.RedisError as error:
        raise _unreachable(where, error) from None


@lru_cache(maxsize=8)
def _redis(url: str) -> Any:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # one retry: a connection that was kept from before may be closed
    return redis.Redis.from_url(
        url, socket_connect_timeout=_ANSWER_SECONDS, socket_timeout=_ANSWER_SECONDS, retry=Retry(NoBackoff(), 1)
    )


def _dynamo_stamp(online: DynamoOnline, project: str, view: str) -> Any:
    where = f"DynamoDB in {online.region}" + (f" at {online.endpoint_url}" if online.endpoint_url else "")
    _ask_again(where)
    from botocore.exceptions import BotoCoreError, ClientError

    client = _dynamo(online.region, online.endpoint_url)
    try:
        found = client.get_item(
            TableName=dynamo_table(project, view), Key={"entity_id": {"S": STAMP_ITEM}}, ConsistentRead=True
        )
    except client.exceptions.ResourceNotFoundException:
        return None
    except (BotoCoreError, ClientError) as error:
        raise _unreachable(where, error) from None
    return found["Item"]["stamp"]["S"] if "Item" in found else None


@lru_cache(maxsize=8)
def _dynamo(region: str, endpoint_url: str | None) -> Any:
    import boto3
    from botocore.config import Config

    settings = Config(connect_timeout=_ANSWER_SECONDS, read_timeout=_ANSWER_SECONDS, retries={"total_max_attempts": 2})
    return boto3.client("dynamodb", region_name=region, endpoint_url=endpoint_url, config=settings)


def _ask_again(where: str) -> None:
    """Raise Unreachable when a server did not answer a moment ago."""
    since, why = _down.get(where, (0.0, ""))
    if why and time.monotonic() - since < _DOWN_SECONDS:
        raise Unreachable(why)


def _unreachable(where: str, error: Exception) -> Unreachable:
    said = str(error).strip().partition("\n")[0][:200]
    why = f"{where} does not answer: {said}"
    _down[where] = (time.monotonic(), why)
    return Unreachable(why)
