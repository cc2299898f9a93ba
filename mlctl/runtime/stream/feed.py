"""What the worker needs of a broker, whichever it is: messages in batches, and a commit once a batch is on the disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from mlctl.types.jobs.stream import StreamJob

BATCH = 5000  # messages that are taken together, at most

Take = Callable[
    [Sequence[bytes]], Awaitable[None]
]  # returns when the messages of a batch are kept, however long it takes


class Feed(Protocol):
    """The messages of one topic, each at least once, in the order of their partition."""

    async def start(self, take: Take) -> None:
        """Go on where the last commit was; for the first time, from the oldest message on. Raises MlctlError."""
        ...

    async def stop(self) -> None:
        """Let the batch that is under way be kept and committed, and end."""
        ...

    async def lag(self) -> int | None:
        """How many messages wait; None when the broker cannot tell now."""
        ...

    def problem(self) -> str:
        """Why no more messages will come, or nothing."""
        ...


def open_feed(job: StreamJob) -> Feed:
    """The feed of a job. Its client library is imported here; nothing is asked of a broker yet."""
    if job.broker.type == "kafka":
        from mlctl.runtime.stream.kafka import KafkaFeed

        return KafkaFeed(job, job.broker)
    from mlctl.runtime.stream.redis import RedisFeed

    return RedisFeed(job, job.broker)
