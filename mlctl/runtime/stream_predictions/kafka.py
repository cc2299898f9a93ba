"""Predictions over Kafka topics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream.kafka import KafkaMessage

from mlctl.runtime.brokers.common import spoken
from mlctl.runtime.brokers.kafka import KafkaConsumer
from mlctl.runtime.stream_predictions.feed import Delivered, Outgoing, Take, Unavailable
from mlctl.runtime.stream_predictions.messages import Message
from mlctl.types.jobs.stream import KafkaSource
from mlctl.types.jobs.stream_predictions import ID_HEADER, PredictionStreamJob

_REQUEST_MS = 10_000
_POLL_MS = 20


class KafkaFeed(KafkaConsumer):
    """A member of a consumer group, and a producer beside it. What is sent twice has the same id."""

    def __init__(self, job: PredictionStreamJob, source: KafkaSource) -> None:
        super().__init__(
            source, job.topic, job.group, name=job.name, max_records=job.max_records, batch_timeout_ms=_POLL_MS,
            producing={"acks": "all", "request_timeout_ms": _REQUEST_MS},
        )  # fmt: skip
        self._next: dict[TopicPartition, int] = {}  # the first offset of each partition that is not committed

    async def start(self, take: Take) -> None:
        """Join the group."""

        async def hand_on(message: KafkaMessage) -> None:
            delivered = [_delivered(record) for record in message.raw_message]
            for item in delivered:
                self._next.setdefault(*item.mark)
            await take(delivered)

        await self.join(hand_on)

    async def publish(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """All at once; by their id as key, messages of one id are in one partition, and compaction keeps the last."""
        try:
            sent = [
                await self._broker.publish(
                    item.body, topic, key=item.id.encode(), headers={ID_HEADER: item.id}, correlation_id=item.id, no_confirm=True
                )
                for item in messages
            ]  # fmt: skip
            await asyncio.gather(*sent)
        except (KafkaError, OSError) as error:
            raise Unavailable(f"the topic `{topic}` takes nothing: {spoken(error)}") from None

    async def commit(self, done: Sequence[Delivered]) -> None:
        """The offsets after the last message of each partition."""
        offsets: dict[TopicPartition, int] = {}
        for item in done:
            place, offset = item.mark
            offsets[place] = max(offset + 1, offsets.get(place, 0))
        consumer: Any = self._subscriber.consumer
        try:
            await consumer.commit(offsets)
            self._next |= offsets
        except (CommitFailedError, IllegalStateError) as error:
            # the group has moved on without us: whoever has the partition now publishes these again, with the same ids
            print(f"the position was not committed: {error}", flush=True)
        except (KafkaError, OSError) as error:
            raise Unavailable(f"the broker takes no commit: {spoken(error)}") from None

    async def _place(self, consumer: Any, partition: TopicPartition) -> int:
        """What is delivered and not committed waits, too."""
        known = self._next.get(partition)
        return await super()._place(consumer, partition) if known is None else known


def _delivered(record: Any) -> Delivered:
    place = f"{record.topic}/{record.partition}/{record.offset}"
    return Delivered(
        Message(record.value or b"", place), (TopicPartition(record.topic, record.partition), record.offset)
    )
