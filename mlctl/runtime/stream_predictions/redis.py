"""Predictions over Redis streams.

An entry is published under the id of the entry that it answers, so that Redis itself refuses it a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redis.exceptions import RedisError, ResponseError

from mlctl.runtime.brokers.common import spoken
from mlctl.runtime.brokers.redis import Entry, RedisConsumer, body_of
from mlctl.runtime.stream_predictions.feed import Delivered, Outgoing, Take, Unavailable
from mlctl.runtime.stream_predictions.messages import Message
from mlctl.types.jobs.stream import RedisSource
from mlctl.types.jobs.stream_predictions import ID_HEADER, PredictionStreamJob

_POLL_MS = 20


class RedisFeed(RedisConsumer):
    """A consumer group of one. An entry is acknowledged once its answer is published."""

    def __init__(self, job: PredictionStreamJob, source: RedisSource) -> None:
        super().__init__(source, job.topic, job.group, max_records=job.max_records, poll_ms=_POLL_MS)

    async def start(self, take: Take) -> None:
        """Make the group when there is none, take what is pending, then read on."""

        async def hand_on(entries: Sequence[Entry]) -> None:
            await take([self._delivered(mark, fields) for mark, fields in entries])

        await self.join(hand_on)

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
            raise Unavailable(f"the stream `{topic}` takes nothing: {spoken(error)}") from None

    async def commit(self, done: Sequence[Delivered]) -> None:
        """Acknowledge the entries."""
        try:
            await self.acknowledge([item.mark for item in done])
        except (RedisError, OSError) as error:
            raise Unavailable(f"the stream `{self._stream}` takes no acknowledgement: {spoken(error)}") from None

    def _delivered(self, mark: bytes, fields: Mapping[bytes, bytes]) -> Delivered:
        return Delivered(Message(body_of(fields), f"{self._stream}/{mark.decode()}"), mark)


def _fields(item: Outgoing) -> dict[str, bytes | str]:
    return {"data": item.body, ID_HEADER: item.id}
