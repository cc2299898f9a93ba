"""Predictions over Kafka topics, through FastStream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage, Topic
from faststream.kafka import annotations as given
from faststream.kafka.message import KafkaAckableMessage

from mlctl.runtime.stream.feed import STOP_SECONDS, quiet_logger, unreachable
from mlctl.runtime.stream.kafka import security
from mlctl.runtime.stream_predictions.feed import Delivered, Outgoing, Take, Unavailable
from mlctl.runtime.stream_predictions.messages import Message
from mlctl.types.jobs.stream import KafkaSource
from mlctl.types.jobs.stream_predictions import ID_HEADER, PredictionStreamJob

# A worker that was killed holds its partitions until the session ends; six seconds are the least that brokers allow.
_SESSION_MS = 6_000
_HEARTBEAT_MS = 2_000
_POLL_INTERVAL_MS = 3_600_000  # an online store that is down may hold a batch up for long
_REQUEST_MS = 10_000
_POLL_MS = 20


class KafkaFeed:
    """A member of a consumer group, whose positions are committed by hand, and a producer beside it. What is sent twice has the same id."""

    def __init__(self, job: PredictionStreamJob, source: KafkaSource) -> None:
        self._where = ", ".join(source.servers)
        self._next: dict[TopicPartition, int] = {}  # the first offset of each partition that is not committed
        self._broker = KafkaBroker(
            source.servers,
            client_id=f"mlctl-{job.name}",
            security=security(source),
            acks="all",
            request_timeout_ms=_REQUEST_MS,
            graceful_timeout=STOP_SECONDS,
            logger=quiet_logger(),
        )
        self._subscriber = self._broker.subscriber(
            Topic(job.topic, declare=False),
            batch=True,
            group_id=job.group,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_records=job.max_records,
            batch_timeout_ms=_POLL_MS,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            parser=self._parse,
            decoder=_undecoded,
        )

    async def start(self, take: Take) -> None:
        """Join the group."""

        async def handle(message: given.KafkaMessage) -> None:
            delivered = [_delivered(record) for record in message.raw_message]
            for item in delivered:
                self._next.setdefault(*item.mark)
            await take(delivered)

        self._subscriber(handle)
        try:
            await self._broker.start()
        except (KafkaError, OSError) as error:
            await self._broker.stop()
            raise unreachable(self._where, error) from None

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
            raise Unavailable(f"the topic `{topic}` takes nothing: {_said(error)}") from None

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
            raise Unavailable(f"the broker takes no commit: {_said(error)}") from None

    async def stop(self) -> None:
        """Leave the group."""
        await self._broker.stop()

    async def lag(self) -> int | None:
        """By the ends of the partitions, which come with every fetch."""
        consumer = self._subscriber.consumer
        if consumer is None or not consumer.assignment():
            return None
        waiting = 0
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            if end is None:
                return None
            try:
                known = self._next.get(partition)
                waiting += max(
                    0, end - (await asyncio.wait_for(consumer.position(partition), 1.0) if known is None else known)
                )
            except (KafkaError, TimeoutError):
                return None
        return waiting

    def problem(self) -> str:
        """The client connects again by itself, for as long as it takes."""
        return "" if self._subscriber.running else "the consumer has stopped"

    async def _parse(self, records: Any) -> KafkaMessage:
        """A batch as it is. FastStream's own parser decodes headers, and would drop a whole batch for one that is no text."""
        return KafkaAckableMessage(body=b"", raw_message=records, consumer=self._subscriber.consumer)


async def _undecoded(message: KafkaMessage) -> KafkaMessage:
    return message


def _delivered(record: Any) -> Delivered:
    place = f"{record.topic}/{record.partition}/{record.offset}"
    return Delivered(
        Message(record.value or b"", place), (TopicPartition(record.topic, record.partition), record.offset)
    )


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
