"""A consumer group of one on a Redis stream. What a death left pending is taken first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from faststream import AckPolicy
from faststream.redis import BinaryMessageFormatV1, RedisBroker, StreamSub
from faststream.redis import annotations as given
from faststream.redis.message import RedisBatchStreamMessage
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from mlctl.runtime.brokers.common import STOP_SECONDS, quiet_logger, unreachable
from mlctl.types.jobs.stream import RedisSource

_CONSUMER = "mlctl"  # one worker runs at a time, so that all of them are the same consumer
_ENVELOPE = b"__data__"  # what FastStream's own publishers write
_FIELD = b"data"  # what others are asked to

Entry = tuple[bytes, Mapping[bytes, bytes]]  # its id and its fields


class RedisConsumer:
    """The clients: FastStream's, which reads on, and one of our own for all else."""

    def __init__(self, source: RedisSource, topic: str, group: str, *, max_records: int, poll_ms: int) -> None:
        self._url = source.url
        parts = urlsplit(source.url)
        self._where = f"{parts.hostname}:{parts.port or 6379}"  # without the password
        self._stream, self._group, self._most = topic, group, max_records
        self._client: Any = None
        self._broker = RedisBroker(source.url, graceful_timeout=STOP_SECONDS, logger=quiet_logger())
        self._subscriber = self._broker.subscriber(
            stream=StreamSub(
                topic,
                group=group,
                consumer=_CONSUMER,
                batch=True,
                max_records=max_records,
                polling_interval=poll_ms,
                last_id=">",
            ),
            ack_policy=AckPolicy.MANUAL,
            parser=self._parse,
            decoder=_undecoded,
        )

    async def join(self, take: Callable[[Sequence[Entry]], Awaitable[None]]) -> None:
        """Make the group when there is none, take what is pending, then read on. Raises MlctlError."""
        self._client = Redis.from_url(self._url)
        try:
            await self._make_group()
            await self._take_pending(take)
        except (RedisError, OSError) as error:
            await self._client.aclose()
            raise unreachable(self._where, error) from None

        async def handle(message: given.RedisBatchStreamMessage) -> None:
            raw: Any = message.raw_message
            await take(list(zip(raw["message_ids"], raw["data"], strict=True)))

        self._subscriber(handle)
        try:
            await self._broker.start()
        except (RedisError, OSError) as error:
            await self.stop()
            raise unreachable(self._where, error) from None

    async def acknowledge(self, marks: Sequence[bytes]) -> None:
        """Say that entries are done with. Raises what the client raises."""
        await self._client.xack(self._stream, self._group, *marks)

    async def stop(self) -> None:
        """End, once the batch under way is done."""
        await self._broker.stop()
        await self._client.aclose()

    async def lag(self) -> int | None:
        """What was never delivered, and what was and is not acknowledged; None when the server cannot tell now."""
        try:
            groups = await self._client.xinfo_groups(self._stream)
        except (RedisError, OSError):
            return None
        mine: Mapping[str, Any] = next((item for item in groups if item["name"] == self._group.encode()), {})
        waiting, pending = mine.get("lag"), mine.get("pending")
        return None if waiting is None or pending is None else int(waiting) + int(pending)

    def problem(self) -> str:
        """A group that somebody removed ends the consumer for good; a server that is away does not."""
        return (
            "" if self._subscriber.running else f"the stream `{self._stream}` or its group `{self._group}` was removed"
        )

    async def _make_group(self) -> None:
        try:
            await self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _take_pending(self, take: Callable[[Sequence[Entry]], Awaitable[None]]) -> None:
        """What was delivered to a worker that died before it said that it was done, in order."""
        start: bytes = b"0-0"
        while True:
            start, entries, *_ = await self._client.xautoclaim(
                self._stream, self._group, _CONSUMER, min_idle_time=0, start_id=start, count=self._most
            )
            found = [(mark, fields) for mark, fields in entries if fields is not None]
            if found:
                await take(found)
            if start == b"0-0":
                return

    async def _parse(self, raw: Any) -> RedisBatchStreamMessage:
        """A batch as it is."""
        return RedisBatchStreamMessage(body=b"", raw_message=raw, consumer=self._subscriber._client, group=self._group)


async def _undecoded(message: RedisBatchStreamMessage) -> RedisBatchStreamMessage:
    return message


def body_of(fields: Mapping[bytes, bytes]) -> bytes:
    """The JSON text of an entry. One in neither form is passed on as it is, to be told apart by the reader."""
    if _ENVELOPE in fields:
        data, _headers = BinaryMessageFormatV1.parse(fields[_ENVELOPE])
        return bytes(data)
    return fields.get(_FIELD, b"" if not fields else repr(dict(fields)).encode())
