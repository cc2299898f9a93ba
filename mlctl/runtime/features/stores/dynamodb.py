"""The online store in DynamoDB: one table for each view, one item for each key, as Feast has it.

Each item is put by one conditional request, so that the later event time wins whatever the order, and a reader sees whole
rows. Credentials come from the environment, as for every AWS client.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from mlctl.runtime.features.stores.backend import Held, Row, Stamp, Table, store_down, store_gone, wins
from mlctl.runtime.features.stores.codec import MISSING
from mlctl.types.jobs.features import DynamoOnline
from mlctl.types.jobs.stores import STAMP_ITEM, dynamo_table

_KEYS_PER_REQUEST = 100  # the most that BatchGetItem takes
_AT_ONCE = 16
_MADE_SECONDS = 120.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DynamoBackend:
    """One client, shared by all threads."""

    def __init__(self, project: str, online: DynamoOnline) -> None:
        import boto3
        from botocore.config import Config

        self._project = project
        self._where = f"DynamoDB in {online.region}" + (f" at {online.endpoint_url}" if online.endpoint_url else "")
        self._client = boto3.client(
            "dynamodb",
            region_name=online.region,
            endpoint_url=online.endpoint_url,
            config=Config(
                connect_timeout=2, read_timeout=10, max_pool_connections=2 * _AT_ONCE,
                retries={"mode": "standard", "total_max_attempts": 4},
            ),
        )  # fmt: skip
        self._pool = ThreadPoolExecutor(_AT_ONCE, "dynamodb")
        self._served: set[str] = set()
        self._lock = threading.Lock()

    @property
    def where(self) -> str:
        """Region, and endpoint where it is another than AWS's."""
        return self._where

    def read(self, tables: Sequence[Table], keys: Sequence[Sequence[bytes]]) -> list[list[Held | None]]:
        """As many requests as it takes, 100 keys each, side by side. Each item is read whole."""
        for table in tables:
            self._expect_served(table)
        waiting = [
            [
                self._pool.submit(self._items, table, wanted[start : start + _KEYS_PER_REQUEST])
                for start in range(0, len(wanted), _KEYS_PER_REQUEST)
            ]
            for table, wanted in zip(tables, keys, strict=True)
        ]
        return [[held for portion in portions for held in portion.result()] for portions in waiting]

    def write(self, table: Table, rows: Sequence[Row]) -> int:
        """What is newer than what is there is offered item by item; DynamoDB takes it if it still is."""
        written = 0
        for start in range(0, len(rows), _KEYS_PER_REQUEST):
            portion = rows[start : start + _KEYS_PER_REQUEST]
            held = self._items(table, [row.key for row in portion])
            better = [row for row, there in zip(portion, held, strict=True) if wins(row, there)]
            written += sum(self._pool.map(lambda row: self._put(table, row), better))
        return written

    def held_keys(self, table: Table) -> Iterator[tuple[bytes, int]]:
        """A scan of the table. Items are known by the hash of their key, which stands for the key here."""
        start: dict[str, Any] = {}
        while True:
            page = self._asked(
                self._client.scan, TableName=self._name(table.view), ProjectionExpression="entity_id, event_ts", **start
            )
            for item in page["Items"]:
                if item["entity_id"]["S"] != STAMP_ITEM:
                    yield bytes.fromhex(item["entity_id"]["S"]), _moment(item["event_ts"]["S"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def names(self, keys: Sequence[bytes]) -> list[bytes]:
        """What `held_keys` calls these keys."""
        return [bytes.fromhex(_id(key)) for key in keys]

    def delete(self, table: Table, keys: Sequence[tuple[bytes, int]]) -> int:
        """By the names that `held_keys` gave."""
        return sum(self._pool.map(lambda item: self._take(table, *item), keys))

    def forget(self, table: Table, features: Sequence[str]) -> None:
        """An item is replaced as a whole, and what is left in one that was not is asked for by nobody: nothing to do."""

    def make(self, table: Table) -> None:
        """Make the table as Feast makes it, and wait until it can be used."""
        name, errors = self._name(table.view), self._client.exceptions
        try:
            self._asked(
                self._client.create_table, TableName=name, BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": "entity_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "entity_id", "AttributeType": "S"}],
            )  # fmt: skip
        except errors.ResourceInUseException:
            pass  # it is there
        deadline = time.monotonic() + _MADE_SECONDS
        while self._asked(self._client.describe_table, TableName=name)["Table"]["TableStatus"] != "ACTIVE":
            if time.monotonic() > deadline:
                raise store_down(self._where, f"the table {name} is still being made")
            time.sleep(1)

    def drop(self, table: Table) -> None:
        """The whole table is the view's."""
        try:
            self._asked(self._client.delete_table, TableName=self._name(table.view))
        except self._client.exceptions.ResourceNotFoundException:
            pass
        with self._lock:
            self._served.discard(table.view)

    def size(self, table: Table, keys: int) -> int:
        """The keys, as they were counted: DynamoDB's own count is hours old."""
        return keys

    def stamp(self, view: str) -> Stamp | None:
        """An item of its own in the table."""
        try:
            found = self._asked(
                self._client.get_item,
                TableName=self._name(view),
                Key={"entity_id": {"S": STAMP_ITEM}},
                ConsistentRead=True,
            )
        except self._client.exceptions.ResourceNotFoundException:
            return None
        return Stamp.parse(found["Item"]["stamp"]["S"]) if "Item" in found else None

    def put_stamp(self, view: str, stamp: Stamp) -> None:
        """One request."""
        item = {
            "entity_id": {"S": STAMP_ITEM},
            "event_ts": {"S": str(_EPOCH)},
            "values": {"M": {}},
            "stamp": {"S": stamp.text()},
        }
        self._asked(self._client.put_item, TableName=self._name(view), Item=item)

    def close(self) -> None:
        """End the threads, and let connections go."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _items(self, table: Table, keys: Sequence[bytes]) -> list[Held | None]:
        """At most 100 keys. What DynamoDB leaves out of an answer is asked for again."""
        ids = [_id(key) for key in keys]
        found: dict[str, Held] = {}
        name = self._name(table.view)
        left = (
            {name: {"Keys": [{"entity_id": {"S": id}} for id in dict.fromkeys(ids)], "ConsistentRead": True}}
            if ids
            else {}
        )
        while left:
            try:
                answer = self._asked(self._client.batch_get_item, RequestItems=left)
            except self._client.exceptions.ResourceNotFoundException as error:
                raise store_gone(self._where, f"the table {name} does not exist: {error}"[:300]) from None
            for item in answer["Responses"].get(name, []):
                values = item["values"]["M"]
                row = tuple(values[feature]["B"] if feature in values else MISSING for feature in table.features)
                found[item["entity_id"]["S"]] = Held(_moment(item["event_ts"]["S"]), row)
            left = answer.get("UnprocessedKeys") or {}
        return [found.get(id) for id in ids]

    def _put(self, table: Table, row: Row) -> int:
        when = str(_EPOCH + timedelta(microseconds=row.moment))
        values = {name: {"B": value} for name, value in zip(table.features, row.values, strict=True)}
        try:
            self._asked(
                self._client.put_item, TableName=self._name(table.view),
                Item={"entity_id": {"S": _id(row.key)}, "event_ts": {"S": when}, "values": {"M": values}},
                # As texts they are in the order of time: all are of UTC and written alike.
                ConditionExpression="attribute_not_exists(event_ts) OR event_ts <= :when",
                ExpressionAttributeValues={":when": {"S": when}},
            )  # fmt: skip
        except self._client.exceptions.ConditionalCheckFailedException:
            return 0
        return 1

    def _take(self, table: Table, name: bytes, moment: int) -> int:
        try:
            self._asked(
                self._client.delete_item, TableName=self._name(table.view), Key={"entity_id": {"S": name.hex()}},
                ConditionExpression="event_ts = :when",
                ExpressionAttributeValues={":when": {"S": str(_EPOCH + timedelta(microseconds=moment))}},
            )  # fmt: skip
        except self._client.exceptions.ConditionalCheckFailedException:
            return 0
        return 1

    def _expect_served(self, table: Table) -> None:
        """Raise MlctlError when the view was never filled to the end. Asked once: a table that goes later is an error by itself."""
        if table.view in self._served:
            return
        stamp = self.stamp(table.view)
        if stamp is None or not stamp.served:
            raise store_gone(
                self._where, f"the table {self._name(table.view)} is not in it, or was never filled to the end"
            )
        with self._lock:
            self._served.add(table.view)

    def _name(self, view: str) -> str:
        return dynamo_table(self._project, view)

    def _asked(self, call: Callable[..., Any], **request: Any) -> Any:
        """What a request gives, tried again by the client itself. Errors that say something of the table are the caller's."""
        from botocore.exceptions import BotoCoreError, ClientError

        known = self._client.exceptions
        try:
            return call(**request)
        except (known.ResourceNotFoundException, known.ResourceInUseException, known.ConditionalCheckFailedException):
            raise
        except (BotoCoreError, ClientError) as error:
            raise store_down(self._where, error) from None


def _id(key: bytes) -> str:
    import mmh3

    return mmh3.hash_bytes(key).hex()


def _moment(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
