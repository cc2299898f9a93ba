"""Events from a Kafka topic."""

from __future__ import annotations

from aiokafka.errors import CommitFailedError, IllegalStateError
from faststream.kafka import KafkaMessage

from mlctl.runtime.brokers.kafka import KafkaConsumer
from mlctl.runtime.stream.feed import BATCH, Take
from mlctl.types.jobs.stream import KafkaSource, StreamJob

_POLL_MS = 200


class KafkaFeed(KafkaConsumer):
    """A consumer group of one. A batch is committed once it is kept."""

    def __init__(self, job: StreamJob, source: KafkaSource) -> None:
        super().__init__(
            source, job.topic, job.group, name=job.stream, max_records=BATCH, batch_timeout_ms=_POLL_MS
        )  # fmt: skip

    async def start(self, take: Take) -> None:
        """Join the group."""

        async def keep(message: KafkaMessage) -> None:
            await take([record.value or b"" for record in message.raw_message])
            try:
                await message.ack()
            except (CommitFailedError, IllegalStateError) as error:
                # the group has moved on without us: the events are kept, come again, and are known then
                print(f"the position was not committed: {error}", flush=True)

        await self.join(keep)
