"""Events from a Kafka topic, through FastStream."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage, Topic
from faststream.kafka import annotations as given
from faststream.kafka.message import KafkaAckableMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from mlctl.runtime.stream.feed import BATCH, STOP_SECONDS, Take, quiet_logger, unreachable
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.stream import KafkaSource, StreamJob

# A worker that was killed holds its partitions until the session ends; six seconds are the least that brokers allow.
_SESSION_MS = 6_000
_HEARTBEAT_MS = 2_000
_POLL_INTERVAL_MS = 3_600_000  # a full disk may hold a batch up for long, and nobody else waits for the partitions
_MECHANISMS = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


class KafkaFeed:
    """A consumer group of one, whose position is committed by hand."""

    def __init__(self, job: StreamJob, source: KafkaSource) -> None:
        self._where = ", ".join(source.servers)
        self._broker = KafkaBroker(
            source.servers,
            client_id=f"mlctl-{job.stream}",
            security=security(source),
            consumer_only=True,  # a topic belongs to whoever fills it
            graceful_timeout=STOP_SECONDS,
            logger=quiet_logger(),
        )
        self._subscriber = self._broker.subscriber(
            Topic(job.topic, declare=False),
            batch=True,
            group_id=job.group,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_records=BATCH,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            parser=self._parse,
            decoder=_undecoded,
        )

    async def start(self, take: Take) -> None:
        """Join the group."""

        async def handle(message: given.KafkaMessage) -> None:
            await take([record.value or b"" for record in message.raw_message])
            try:
                await message.ack()
            except (CommitFailedError, IllegalStateError) as error:
                # the group has moved on without us: the events are kept, come again, and are known then
                print(f"the position was not committed: {error}", flush=True)

        self._subscriber(handle)
        try:
            await self._broker.start()
        except (KafkaError, OSError) as error:
            await self._broker.stop()
            raise unreachable(self._where, error) from None

    async def stop(self) -> None:
        """Leave the group, once the batch under way is done."""
        await self._broker.stop()

    async def lag(self) -> int | None:
        """By the consumer's own figures, which come with every fetch."""
        consumer = self._subscriber.consumer
        if consumer is None or not consumer.assignment():
            return None
        waiting = 0
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            if end is None:
                return None
            try:
                waiting += max(0, end - await asyncio.wait_for(consumer.position(partition), 1.0))
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


def security(source: KafkaSource) -> BaseSecurity | None:
    """How a client says who it is, and whom it trusts. Raises MlctlError."""
    context = _ssl_context(source) if source.ssl else None
    if source.mechanism is not None:
        how = _MECHANISMS[source.mechanism]
        return how(source.username or "", source.password or "", ssl_context=context)
    return None if context is None else BaseSecurity(ssl_context=context)


def _ssl_context(source: KafkaSource) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=source.ca_file)
    except OSError as error:
        raise MlctlError.of(
            "stream.bad-ca",
            f"the certificates in `{source.ca_file}` cannot be read",
            str(error),
            "name a file of certificates in PEM format",
        ) from None
