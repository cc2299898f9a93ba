"""Predictions over Redis streams, through FastStream.

An entry is published under the id of the entry that it answers, so that Redis itself refuses it a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from faststream import AckPolicy
from faststream.redis import RedisBroker, StreamSub
from faststream.redis import annotations as given
from faststream.redis.message import RedisBatchStreamMessage
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from mlctl.runtime.stream.feed import STOP_SECONDS, quiet_logger, unreachable
from mlctl.runtime.stream.redis import body_of
from mlctl.runtime.stream_predictions.feed import Delivered, Outgoing, Take, Unavailable
from mlctl.runtime.stream_predictions.messages import Message
from mlctl.types.jobs.stream import RedisSource
from mlctl.types.jobs.stream_predictions import ID_HEADER, PredictionStreamJob

_CONSUMER = "mlctl"  # one worker runs at a time, so that all of them are the same consumer
_POLL_MS = 20


class RedisFeed:
    """A consumer group of one. An entry is acknowledged once its answer is published; what a death left pending is taken first."""

    def __init__(self, job: PredictionStreamJob, source: RedisSource) -> None:
        self._url = source.url
        parts = urlsplit(source.url)
        self._where = f"{parts.hostname}:{parts.port or 6379}"  # without the password
        self._stream, self._group, self._most = job.topic, job.group, job.max_records
        self._client: Any = None
        self._broker = RedisBroker(source.url, graceful_timeout=STOP_SECONDS, logger=quiet_logger())
        self._subscriber = self._broker.subscriber(
            stream=StreamSub(
                self._stream,
                group=self._group,
                consumer=_CONSUMER,
                batch=True,
                max_records=self._most,
                polling_interval=_POLL_MS,
                last_id=">",
            ),
            ack_policy=AckPolicy.MANUAL,
            parser=self._parse,
            decoder=_undecoded,
        )

    async def start(self, take: Take) -> None:
        """Make the group when there is none, take what is pending, then read on."""
        self._client = Redis.from_url(self._url)
        try:
            await self._make_group()
            await self._take_pending(take)
        except (RedisError, OSError) as error:
            await self._client.aclose()
            raise unreachable(self._where, error) from None

        async def handle(message: given.RedisBatchStreamMessage) -> None:
            raw: Any = message.raw_message
            await take([self._delivered(*item) for item in zip(raw["message_ids"], raw["data"], strict=True)])

        self._subscriber(handle)
        try:
            await self._broker.start()
        except (RedisError, OSError) as error:
            await self.stop()
            raise unreachable(self._where, error) from None

    async def publish(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """In order. An id that the stream has is there already; where somebody else's entries are in the way, Redis gives one."""
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for item in messages:
                    pipe.xadd(topic, _fields(item), id=item.mark)
                answers = await pipe.execute(raise_on_error=False)
            for item, answer in zip(messages, answers, strict=True):
                if isinstance(answer, ResponseError) and "equal or smaller" in str(answer):
                    if not await self._client.xrange(topic, item.mark, item.mark):
                        await self._client.xadd(topic, _fields(item))
                elif isinstance(answer, Exception):
                    raise answer
        except (RedisError, OSError) as error:
            raise Unavailable(f"the stream `{topic}` takes nothing: {_said(error)}") from None

    async def commit(self, done: Sequence[Delivered]) -> None:
        """Acknowledge the entries."""
        try:
            await self._client.xack(self._stream, self._group, *(item.mark for item in done))
        except (RedisError, OSError) as error:
            raise Unavailable(f"the stream `{self._stream}` takes no acknowledgement: {_said(error)}") from None

    async def stop(self) -> None:
        """End."""
        await self._broker.stop()
        await self._client.aclose()

    async def lag(self) -> int | None:
        """What was never delivered, and what was and is not acknowledged."""
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

    async def _take_pending(self, take: Take) -> None:
        """What was delivered to a worker that died before it said that it was done, in order."""
        start: bytes = b"0-0"
        while True:
            start, entries, *_ = await self._client.xautoclaim(
                self._stream, self._group, _CONSUMER, min_idle_time=0, start_id=start, count=self._most
            )
            found = [self._delivered(mark, fields) for mark, fields in entries if fields is not None]
            if found:
                await take(found)
            if start == b"0-0":
                return

    def _delivered(self, mark: bytes, fields: Mapping[bytes, bytes]) -> Delivered:
        return Delivered(Message(body_of(fields), f"{self._stream}/{mark.decode()}"), mark)

    async def _parse(self, raw: Any) -> RedisBatchStreamMessage:
        """A batch as it is."""
        return RedisBatchStreamMessage(body=b"", raw_message=raw, consumer=self._subscriber._client, group=self._group)


async def _undecoded(message: RedisBatchStreamMessage) -> RedisBatchStreamMessage:
    return message


def _fields(item: Outgoing) -> dict[str, bytes | str]:
    return {"data": item.body, ID_HEADER: item.id}


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
