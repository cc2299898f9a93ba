"""Events from a Redis stream."""

from __future__ import annotations

from collections.abc import Sequence

from mlctl.runtime.brokers.redis import Entry, RedisConsumer, body_of
from mlctl.runtime.stream.feed import BATCH, Take
from mlctl.types.jobs.stream import RedisSource, StreamJob

_POLL_MS = 200


class RedisFeed(RedisConsumer):
    """A consumer group of one. An entry is acknowledged once it is kept."""

    def __init__(self, job: StreamJob, source: RedisSource) -> None:
        super().__init__(source, job.topic, job.group, max_records=BATCH, poll_ms=_POLL_MS)

    async def start(self, take: Take) -> None:
        """Make the group when there is none, take what is pending, then read on."""

        async def keep(entries: Sequence[Entry]) -> None:
            await take([body_of(fields) for _, fields in entries])
            await self.acknowledge([mark for mark, _ in entries])

        await self.join(keep)
