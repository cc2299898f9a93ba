"""A worker against real brokers: each message is predicted, whenever it is killed, and a prediction that comes twice is the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Condition
from mlctl.types.diagnostic import MlctlError
from tests.integration.serving.project import expected, run_script
from tests.integration.stream_predictions.project import BAD, IN, OUT, RedisTopics, StreamProject, Topics, topics

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    run_script("make_models.py", folder, "models")
    return folder / "models"


@contextmanager
def working(kind: str, root: Path, models: Path) -> Iterator[tuple[Topics, StreamProject]]:
    with topics(kind, root) as broker:
        project = StreamProject(root, models, broker.settings)
        try:
            yield broker, project
        finally:
            project.end()


def bodies(first: int, count: int) -> list[bytes]:
    return [
        json.dumps({"event": f"e{number}", "amount": None if number % 9 == 0 else number / 100, "visits": number % 5, "shop": "a"}).encode()
        for number in range(first, first + count)
    ]  # fmt: skip


def scores(found: list[tuple[str, bytes]]) -> dict[str, dict[str, Any]]:
    """Predictions by id. Those of one id are the same to the byte."""
    by_id: dict[str, bytes] = {}
    for id, body in found:
        assert by_id.setdefault(id, body) == body
    return {id: json.loads(body) for id, body in by_id.items()}


@pytest.mark.parametrize("kind", ["kafka", pytest.param("redis", marks=pytest.mark.soak)])
def test_every_message_is_predicted_whenever_the_worker_is_killed(tmp_path: Path, models: Path, kind: str) -> None:
    with working(kind, tmp_path, models) as (broker, project):
        broker.send([*bodies(0, 300), b"{", b'{"event": "x", "amount": 1}', b'{"amount": 1, "visits": 2}'])
        block = {"key": "event", "batch": {"max_records": 50}}
        project.apply(**block)
        project.until(lambda: len(broker.found(OUT)) >= 300)
        project.until(lambda: "300 predicted, lag 0" in project.read().detail)
        assert "3 bad" in project.read().detail
        broker.send(bodies(300, 3000))
        project.until(lambda: len(broker.found(OUT)) > 400)
        project.kill()
        assert project.read().condition is Condition.BROKEN
        before = len(broker.found(OUT))
        record = project.apply(**block)
        project.until(lambda: len(scores(broker.found(OUT))) >= 3300)
        found = broker.found(OUT)
        made = scores(found)
        assert made.keys() == {f"e{number}" for number in range(3300)}
        for number in (0, 7, 9, 299, 300, 3299):
            score = expected("one", None if number % 9 == 0 else number / 100, number % 5)
            assert made[f"e{number}"]["score"] == pytest.approx(score, abs=1e-6)
            assert made[f"e{number}"]["prediction"] == int(score >= 0.5)
        assert before < len(found) < 3300 + 200  # what comes twice is at most what was in hand
        if kind == "redis":
            assert len(found) == 3300  # Redis refuses the same id
        project.until(lambda: "lag 0" in project.read().detail)
        assert project.kind.describe(record) == "events to scores by shops v1"
        letters = [json.loads(line) for line in (project.folder / "dead-letters.jsonl").read_text().splitlines()]
        by_body = {letter["body"]: letter for letter in letters}
        assert by_body["{"]["reason"].startswith("it is not JSON")
        assert by_body['{"event": "x", "amount": 1}']["reason"].startswith("predict.missing-feature")
        assert by_body['{"event": "x", "amount": 1}']["id"] == "x"
        assert "which names a message" in by_body['{"amount": 1, "visits": 2}']["reason"]
        project.kind.delete(record, project.ctx)
        assert (project.folder / "dead-letters.jsonl").exists()  # they come from nowhere again
        assert not (project.folder / "worker").exists()


def test_features_are_looked_up_by_key_and_another_model_goes_on_where_the_last_one_was(
    tmp_path: Path, models: Path
) -> None:
    with working("redis", tmp_path, models) as (broker, project):
        assert isinstance(broker, RedisTopics)
        run_script("make_store.py", tmp_path, "store")
        broker.send([json.dumps({"household_id": key}).encode() for key in (1, 2, 3, 77, "x")])
        block = {"store": True, "dead_letters": {"topic": BAD}}
        project.apply(**block)
        project.until(lambda: len(broker.found(OUT)) == 3 and len(broker.found(BAD)) == 2)
        made = [json.loads(body) for _, body in broker.found(OUT)]
        assert [item["keys"] for item in made] == [{"household_id": 1}, {"household_id": 2}, {"household_id": 3}]
        wanted = [expected("one", 2.0, 4), expected("one", -1.0, 0), expected("one", None, 2)]
        assert [item["score"] for item in made] == pytest.approx(wanted, abs=1e-6)
        letters = [json.loads(body) for _, body in broker.found(BAD)]
        assert (
            letters[0]["reason"] == "predict.unknown-key: the feature store has no current values for household_id 77"
        )
        assert letters[1]["reason"].startswith("predict.bad-key")
        place = broker.client.xrange(IN)[0][0].decode()
        assert made[0]["id"] == f"{IN}/{place}"
        project.apply(version="2", model="two", **block)
        broker.send([json.dumps({"household_id": 1}).encode()])
        project.until(lambda: len(broker.found(OUT)) == 4)
        newest = json.loads(broker.found(OUT)[-1][1])
        assert (newest["version"], newest["score"]) == ("2", pytest.approx(expected("two", 2.0, 4), abs=1e-6))


@pytest.mark.soak
def test_a_worker_that_is_told_to_stops_at_the_first_message_without_a_prediction(tmp_path: Path, models: Path) -> None:
    with working("redis", tmp_path, models) as (broker, project):
        broker.send([*bodies(0, 3), b"nonsense", *bodies(3, 3)])
        project.apply(on_bad="stop", batch={"max_records": 1})
        project.until(lambda: project.read().condition is Condition.BROKEN)
        assert "gets no prediction: it is not JSON" in project.read().detail
        assert len(broker.found(OUT)) == 3


@pytest.mark.soak
def test_a_broker_that_is_not_there_is_told_at_once(tmp_path: Path, models: Path) -> None:
    project = StreamProject(tmp_path, models, {"type": "redis", "url": "redis://:secret@127.0.0.1:1/0"})
    with pytest.raises(MlctlError) as caught:
        project.apply()
    assert caught.value.diagnostics[0].code == "stream.broker-unreachable"
    assert "secret" not in str(caught.value.diagnostics)


def test_redis_takes_each_prediction_once_and_also_where_others_write(tmp_path: Path) -> None:
    from mlctl.runtime.stream_predictions.feed import Delivered, Outgoing, Unavailable
    from mlctl.runtime.stream_predictions.redis import RedisFeed
    from mlctl.types.jobs.stream import RedisSource
    from mlctl.types.jobs.stream_predictions import PredictionStreamJob

    model = {"name": "m", "version": "1", "folder": "m", "digest": "d", "serving": None}
    with topics("redis", tmp_path) as broker:
        assert isinstance(broker, RedisTopics)
        source = RedisSource.model_validate(broker.settings)
        job = PredictionStreamJob.model_validate(
            {
                "name": "live", "model": model, "broker": broker.settings, "topic": IN, "group": "g", "output": OUT, "key": None,
                "max_records": 10, "max_wait_seconds": 0.0, "on_bad": "dead_letter", "dead_letters": None,
            }
        )  # fmt: skip
        broker.send([b"{}"] * 3)

        async def live(publish: bool) -> list[Delivered]:
            feed = RedisFeed(job, source)
            came: asyncio.Queue[list[Delivered]] = asyncio.Queue()
            await feed.start(lambda messages: came.put(list(messages)))
            taken = await asyncio.wait_for(came.get(), 10)
            assert await feed.lag() == 3
            out = [Outgoing(b"1", item.message.place, item.mark) for item in taken]
            await feed.publish(OUT, out[:2])
            if publish:
                broker.client.xadd(OUT, {"data": "foreign", "mlctl-id": "foreign"})
                await feed.publish(OUT, out)
                await feed.commit(taken)
                assert await feed.lag() == 0
                broker.client.set("text", "no stream")
                with pytest.raises(Unavailable):
                    await feed.publish("text", out)
            await feed.stop()
            return taken

        first = asyncio.run(live(publish=False))  # it dies between publishing and the commit
        assert asyncio.run(live(publish=True)) == first  # they come again
        places = [item.message.place for item in first]
        assert [id for id, _ in broker.found(OUT)] == [places[0], places[1], "foreign", places[2]]
