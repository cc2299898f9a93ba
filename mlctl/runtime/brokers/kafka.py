"""A member of a consumer group of Kafka, whose positions are committed by hand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage, Topic
from faststream.kafka import annotations as given
from faststream.kafka.message import KafkaAckableMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from mlctl.runtime.brokers.common import STOP_SECONDS, quiet_logger, unreachable
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.stream import KafkaSource

# A worker that was killed holds its partitions until the session ends; six seconds are the least that brokers allow.
_SESSION_MS = 6_000
_HEARTBEAT_MS = 2_000
_POLL_INTERVAL_MS = 3_600_000  # a full disk or a store that is down may hold a batch up for long
_MECHANISMS = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


class KafkaConsumer:
    """The client, and its part of the topic. `producing` are the producer's settings; without them it only reads."""

    def __init__(
        self,
        source: KafkaSource,
        topic: str,
        group: str,
        *,
        name: str,
        max_records: int,
        batch_timeout_ms: int,
        producing: Mapping[str, Any] | None = None,
    ) -> None:
        self._where = ", ".join(source.servers)
        self._broker = KafkaBroker(
            source.servers,
            client_id=f"mlctl-{name}",
            security=_security(source),
            consumer_only=producing is None,  # a topic belongs to whoever fills it
            graceful_timeout=STOP_SECONDS,
            logger=quiet_logger(),
            **(producing or {}),
        )
        self._subscriber = self._broker.subscriber(
            Topic(topic, declare=False),
            batch=True,
            group_id=group,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_records=max_records,
            batch_timeout_ms=batch_timeout_ms,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            parser=self._parse,
            decoder=_undecoded,
        )

    async def join(self, take: Callable[[KafkaMessage], Awaitable[None]]) -> None:
        """Join the group; each batch goes to `take`, as it came. Raises MlctlError."""

        async def handle(message: given.KafkaMessage) -> None:
            await take(message)

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
        """How many messages wait, by the ends of the partitions that come with every fetch; None when that cannot be told now."""
        consumer = self._subscriber.consumer
        if consumer is None or not consumer.assignment():
            return None
        waiting = 0
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            if end is None:
                return None
            try:
                waiting += max(0, end - await self._place(consumer, partition))
            except (KafkaError, TimeoutError):
                return None
        return waiting

    def problem(self) -> str:
        """The client connects again by itself, for as long as it takes."""
        return "" if self._subscriber.running else "the consumer has stopped"

    async def _place(self, consumer: Any, partition: TopicPartition) -> int:
        """The first offset of a partition that is not taken."""
        return int(await asyncio.wait_for(consumer.position(partition), 1.0))

    async def _parse(self, records: Any) -> KafkaMessage:
        """A batch as it is. FastStream's own parser decodes headers, and would drop a whole batch for one that is no text."""
        return KafkaAckableMessage(body=b"", raw_message=records, consumer=self._subscriber.consumer)


async def _undecoded(message: KafkaMessage) -> KafkaMessage:
    return message


def _security(source: KafkaSource) -> BaseSecurity | None:
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
