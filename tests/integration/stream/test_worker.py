"""A worker against real brokers: whatever comes twice, late or out of order, and whenever it is killed, online is what the batch computes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from mlctl.types.jobs.stream import DEAD_LETTERS
from tests.integration.servers import Redis, redis
from tests.integration.stream.rig import Draw, Rig, ago, now
from tests.integration.stream.tansu import tansu

pytestmark = pytest.mark.tools
TOPIC = "trips"


class Broker(Protocol):
    settings: dict[str, Any]

    def send(self, bodies: Sequence[bytes]) -> None: ...


class RedisTopic:
    """A Redis stream; entries come as FastStream writes them, or as anybody would."""

    def __init__(self, server: Redis) -> None:
        from redis import Redis as Client

        self.settings = {"type": "redis", "url": server.url}
        self.client = Client.from_url(server.url)

    def send(self, bodies: Sequence[bytes]) -> None:
        pipe = self.client.pipeline()
        for body in bodies:
            pipe.xadd(TOPIC, {"data": body})
        pipe.execute()


class KafkaTopic:
    """A topic of two partitions, with headers that are no text."""

    def __init__(self, broker: Any) -> None:
        self.settings = {"type": "kafka", "servers": [broker.address]}
        self._broker = broker
        broker.make_topic(TOPIC, partitions=2)

    def send(self, bodies: Sequence[bytes]) -> None:
        self._broker.send(TOPIC, bodies, headers=[("trace", b"\xff\xfe")])


@contextmanager
def broker(kind: str, folder: Path) -> Iterator[Broker]:
    if kind == "redis":
        with redis() as server:
            yield RedisTopic(server)
    else:
        with tansu(folder) as server:
            yield KafkaTopic(server)


def bodies(events: Sequence[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(event).encode() for event in events]


@pytest.mark.parametrize("kind", ["redis", pytest.param("kafka", marks=pytest.mark.soak)])
def test_online_is_the_batch_whatever_comes_and_whenever_it_is_killed(tmp_path: Path, kind: str) -> None:
    draw = Draw(11)
    history = draw.events(200, ago(300), ago(60))
    with broker(kind, tmp_path) as topic:
        rig = Rig(tmp_path, topic.settings, history, ttl_seconds=600 if kind == "redis" else None)
        rig.start()
        events = draw.events(300, ago(90), ago(2))  # in no order: most come after their step was closed
        topic.send([*bodies(events[:100]), b"no event", *bodies(events[:20])])
        rig.until(lambda: rig.status().get("events", 0) > 0, "something is kept")
        rig.kill()
        topic.send([*bodies(events[100:200]), *bodies(history[:10])])
        rig.start(wait=False)
        topic.send(bodies(events[150:]))
        rig.until(lambda: rig.status().get("lag") == 0 and rig.status().get("events", 0) >= 300, "all is kept")
        last = draw.event(now(), now())
        topic.send(bodies([last]))
        rig.until(lambda: (rig.status().get("last_step") or "") > last["at"], "the step of the last event is online")
        status = rig.status()
        end = datetime.fromisoformat(status["last_step"]).replace(tzinfo=None)
        wanted = rig.batch([*events, last], end)
        assert len(wanted) > 20
        assert rig.online(list(wanted), end) == wanted
        assert status["freshness_seconds"] < 10
        assert status["late"] > 0
        letters = [json.loads(line) for line in (rig.log / DEAD_LETTERS).read_text().splitlines()]
        assert {letter["body"] for letter in letters} == {"no event"}
        assert rig.stop()["status"] == "done"


def test_what_a_dead_worker_had_in_hand_is_taken_first(tmp_path: Path) -> None:
    """Entries that were delivered and never acknowledged, to whatever consumer of the group."""
    draw = Draw(12)
    with redis() as server:
        topic = RedisTopic(server)
        rig = Rig(tmp_path, topic.settings, draw.events(20, ago(90), ago(60)))
        events = draw.events(50, ago(50), ago(5))
        topic.send(bodies(events))
        topic.client.xgroup_create(TOPIC, rig.job.group, id="0")
        assert topic.client.xreadgroup(rig.job.group, "somebody", {TOPIC: ">"}, count=30)
        rig.start()
        rig.until(lambda: rig.status().get("lag") == 0, "all is kept")
        rig.stop()
        kept = [json.loads(line)["id"] for line in (rig.log / "events-000001.jsonl").read_text().splitlines()]
        assert sorted(kept) == sorted(event["id"] for event in events)
        assert topic.client.xpending(TOPIC, rig.job.group)["pending"] == 0


def test_a_broker_that_is_away_is_told_at_once_and_waited_for_later(tmp_path: Path) -> None:
    draw = Draw(13)
    with redis() as server:
        topic = RedisTopic(server)
        rig = Rig(tmp_path, topic.settings, draw.events(20, ago(90), ago(60)))
        server.stop()
        rig.start(wait=False)
        assert rig.process is not None
        rig.process.wait(timeout=60)
        rig.process = None
        result = json.loads((rig.folder / "result.json").read_text())
        assert result["diagnostics"][0]["code"] == "stream.broker-unreachable"
        server.start()
        rig.start()
        server.stop(signal.SIGKILL)
        server.start()  # without the stream and the group: it keeps nothing
        assert rig.process is not None
        rig.process.wait(timeout=60)
        rig.process = None
        result = json.loads((rig.folder / "result.json").read_text())
        assert result["diagnostics"][0]["code"] == "stream.ended"
        rig.start()
        topic.send(bodies(draw.events(5, ago(50), ago(5))))
        rig.until(lambda: rig.status().get("events") == 5, "it goes on")
        rig.stop()
