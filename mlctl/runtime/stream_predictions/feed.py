"""What the worker needs of a broker, whichever it is: messages with their places, a way to publish, and a commit after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from mlctl.runtime.stream_predictions.messages import Message
from mlctl.types.jobs.stream_predictions import PredictionStreamJob


class Delivered(NamedTuple):
    """A message, and what the broker is told when it is done with."""

    message: Message
    mark: Any


class Outgoing(NamedTuple):
    """A message to be published, its id, and the mark of the message that it answers."""

    body: bytes
    id: str
    mark: Any


Take = Callable[[Sequence[Delivered]], Awaitable[None]]  # returns once there is room for more


class Unavailable(Exception):
    """The broker does not take or give anything just now; it is tried again."""


class Feed(Protocol):
    """The messages of one topic, each at least once, in the order of their partition."""

    async def start(self, take: Take) -> None:
        """Go on where the last commit was; for the first time, from the oldest message on. Raises MlctlError."""
        ...

    async def publish(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Returns when the broker has them all. Raises Unavailable, and then some may be there."""
        ...

    async def commit(self, done: Sequence[Delivered]) -> None:
        """Say that messages, and all before them in their partitions, are done with. Raises Unavailable."""
        ...

    async def stop(self) -> None:
        """Take no more, and leave. What was not committed comes again."""
        ...

    async def lag(self) -> int | None:
        """How many messages are not committed; None when the broker cannot tell now."""
        ...

    def problem(self) -> str:
        """Why no more messages will come, or nothing."""
        ...


def open_feed(job: PredictionStreamJob) -> Feed:
    """The feed of a job. Its client library is imported here; nothing is asked of a broker yet."""
    if job.broker.type == "kafka":
        from mlctl.runtime.stream_predictions.kafka import KafkaFeed

        return KafkaFeed(job, job.broker)
    from mlctl.runtime.stream_predictions.redis import RedisFeed

    return RedisFeed(job, job.broker)
