"""One block of stream predictions against a broker, without a project file; the worker is ended with it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlctl.processes import worker
from mlctl.provider import Observed
from mlctl.providers.faststream.predictions import StreamPredictions
from mlctl.testing.harness import make_context, make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record
from tests.integration.servers import redis
from tests.integration.serving.project import COLUMNS, KEYS, STORE, VIEWS
from tests.integration.stream.tansu import Tansu, tansu

IN, OUT, BAD = "events", "scores", "rejects"


class Topics:
    """A broker with the topics, and what is in them."""

    settings: dict[str, Any]

    def send(self, bodies: Sequence[bytes]) -> None:
        """Into the topic that is predicted."""
        raise NotImplementedError

    def found(self, topic: str) -> list[tuple[str, bytes]]:
        """All messages of a topic: the id in their header, and the body."""
        raise NotImplementedError


class RedisTopics(Topics):
    def __init__(self, url: str) -> None:
        from redis import Redis

        self.settings = {"type": "redis", "url": url}
        self.client = Redis.from_url(url)

    def send(self, bodies: Sequence[bytes]) -> None:
        pipe = self.client.pipeline()
        for body in bodies:
            pipe.xadd(IN, {"data": body})
        pipe.execute()

    def found(self, topic: str) -> list[tuple[str, bytes]]:
        return [(fields[b"mlctl-id"].decode(), fields[b"data"]) for _, fields in self.client.xrange(topic)]


class KafkaTopics(Topics):
    def __init__(self, broker: Tansu) -> None:
        self.settings = {"type": "kafka", "servers": [broker.address]}
        self._broker = broker
        for topic, partitions in ((IN, 2), (OUT, 1), (BAD, 1)):
            broker.make_topic(topic, partitions)

    def send(self, bodies: Sequence[bytes]) -> None:
        self._broker.send(IN, bodies, headers=[("trace", b"\xff\xfe")])

    def found(self, topic: str) -> list[tuple[str, bytes]]:
        return asyncio.run(self._found(topic))

    async def _found(self, topic: str) -> list[tuple[str, bytes]]:
        from aiokafka import AIOKafkaConsumer, TopicPartition

        consumer: Any = AIOKafkaConsumer(bootstrap_servers=self._broker.address)
        await consumer.start()
        try:
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            end = (await consumer.end_offsets([place]))[place]
            found: list[tuple[str, bytes]] = []
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(place, timeout_ms=500)).values():
                    found += [(dict(record.headers)["mlctl-id"].decode(), record.value) for record in records]
            return found
        finally:
            await consumer.stop()


@contextmanager
def topics(kind: str, folder: Path) -> Iterator[Topics]:
    if kind == "redis":
        with redis() as server:
            yield RedisTopics(server.url)
    else:
        with tansu(folder) as server:
            yield KafkaTopics(server)


class StreamProject:
    """`stream_predictions.live`, of `shops@champion`."""

    def __init__(self, root: Path, models: Path, broker: Mapping[str, Any]) -> None:
        self.root = root
        shutil.copytree(models, root / "models")
        self.ctx = make_context(root)
        self.kind = StreamPredictions()
        self.record: Record | None = None
        self._broker = dict(broker)

    @property
    def folder(self) -> Path:
        return self.root / ".mlctl/default/objects/stream_predictions.live/self"

    def apply(self, version: str = "1", model: str = "one", store: bool = False, **block: Any) -> Record:
        serving = {"columns": COLUMNS, "keys": KEYS, "views": VIEWS if store else [], "store": STORE if store else None}
        outputs = {
            "name": "shops", "alias": "champion", "version": version, "model": f"models/{model}", "serving": serving,
            "views": [], "digest": f"{version}-{model}",
        }  # fmt: skip
        gate = Record(ObjectKey.parse("evaluations.gate#1"), "1", outputs=outputs)
        values = {"model": "shops@champion", "broker": self._broker, "topic": IN, "output": {"topic": OUT}, **block}
        desired = make_desired(self.kind, "stream_predictions.live", values, self.ctx, {"evaluations.gate": gate})
        self.record = make_record(desired, self.kind.apply(desired, self.record, self.ctx))
        return self.record

    def read(self) -> Observed:
        assert self.record is not None
        found = self.kind.read(self.record, self.ctx)
        assert found is not None
        return found

    def kill(self) -> None:
        """End the worker in the middle of whatever it does."""
        os.killpg(json.loads((self.folder / "worker" / "process.json").read_text())["pid"], signal.SIGKILL)
        self.until(lambda: not worker.running(self.folder / "worker"))

    def until(self, true: Callable[[], object], seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            log = self.folder / "worker" / "log.txt"
            assert time.monotonic() < deadline, log.read_text() if log.exists() else "no log"
            time.sleep(0.05)

    def end(self) -> None:
        worker.stop(self.folder / "worker", grace_seconds=0)
