"""A model served over Redis, through the real command line: features that differ hold a release back, and Redis dies and comes back."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from mlctl.processes.environment import worker_environment
from tests.integration.servers import Redis, free_port, redis

pytestmark = pytest.mark.tools

START = datetime(2026, 1, 1)
USERS = 8
API = "deployments.api"
PROJECT = """
project: shop
feature_store: {{online: {{type: redis, url: "{url}"}}}}
datasets:
  visits: {{path: visits.csv, timestamp: at}}
  labels: {{path: labels.csv, timestamp: at, key: [user_id, at]}}
  later: {{path: later.csv, timestamp: at, key: [user_id, at]}}
entities:
  user: {{key: user_id}}
feature_views:
  activity:
    entity: user
    source: visits
    online: true
    features:
      visits_7d: {{aggregate: count, window: 7d}}
      spent_7d: {{aggregate: sum, column: spent, window: 7d}}
training:
  model:
    data: {{labels: labels, features: [activity], target: bought, split: {{by: random}}}}
    model: {{type: mlp, hidden: [2]}}
    epochs: 1
    optimizer: {{type: adamw, lr: 0.01}}
evaluations:
  gate:
    model: "${{training.model.model}}"
    dataset: later
    require: {{roc_auc: {{min: 0}}}}
    register: {{name: shop, alias: champion}}
deployments:
  api:
    model: shop@champion
    serve: {{port: {port}, timeout: {timeout}}}
"""
GATE = "    require: {feature_parity: {tolerance: 1e-5}}\n"


class Shop:
    """A project folder with its server, on a Redis of its own."""

    def __init__(self, root: Path, server: Redis) -> None:
        self.root, self.server, self.port = root, server, free_port()
        draw = random.Random(1)
        times = [START + timedelta(minutes=draw.randrange(20 * 1440)) for _ in range(300)]
        rows = (f"{draw.randrange(USERS)},{draw.randrange(1, 50)},{at.isoformat()}\n" for at in times)
        (root / "visits.csv").write_text("user_id,spent,at\n" + "".join(rows))
        for name, days in (("labels", range(3, 15)), ("later", range(15, 20))):
            labels = (
                f"{user},{(START + timedelta(days=day)).isoformat()},{draw.randrange(2)}\n"
                for day in days
                for user in range(USERS)
            )
            (root / f"{name}.csv").write_text("user_id,at,bought\n" + "".join(labels))
        self.write()

    def write(self, timeout: str = "10s", more: str = "") -> None:
        text = PROJECT.format(url=self.server.url, port=self.port, timeout=timeout)
        (self.root / "mlctl.yaml").write_text(text + more)

    def mlctl(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mlctl.cli.main", *arguments],
            cwd=self.root, env=worker_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def deployment(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.mlctl("show", API, "--json").splitlines()[0])
        return found

    def ask(self, path: str = "predict") -> tuple[int, dict[str, Any], str | None]:
        """Status, answer, and when to try again."""
        body = json.dumps({"user_id": 3}).encode() if path == "predict" else None
        try:
            with urlopen(Request(f"http://127.0.0.1:{self.port}/{path}", body), timeout=20) as answer:
                return answer.status, json.loads(answer.read()), None
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read()), error.headers["retry-after"]

    def spoil(self) -> None:
        """Give a user the row of another, behind everybody's back."""
        import redis as client

        with client.Redis.from_url(self.server.url) as connection:
            rows = sorted(key for key in connection.keys("*") if connection.type(key) == b"hash")
            one = connection.hgetall(rows[0])
            other = next(row for row in map(connection.hgetall, rows) if row != one)
            connection.hset(rows[0], mapping=other)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with redis() as server:
        made = Shop(tmp_path_factory.mktemp("shop"), server)
        try:
            made.mlctl("apply", "--yes")
            yield made
        finally:
            server.stop()  # a test that failed may have left it stopped
            server.start()
            made.mlctl("destroy", "--yes")


def test_apply_holds_a_release_back_while_features_differ_and_approve_starts_it(shop: Shop) -> None:
    first = shop.deployment()
    status, answer, _ = shop.ask()
    assert (status, "score" in json.dumps(answer)) == (200, True)
    shop.spoil()
    shop.write("9s", GATE)
    said = shop.mlctl("apply", "--yes", code=3)
    assert "offline and online features differ: activity" in said
    assert shop.deployment()["id"] == first["id"]
    assert shop.ask()[0] == 200  # what runs stays
    shop.mlctl("apply", "--yes", code=3)  # compared again, and held back again
    shop.mlctl("approve", API, "--why", "known, and mended tonight")
    assert shop.deployment()["id"] != first["id"]
    assert shop.ask()[0] == 200
    shop.mlctl("apply", "--yes")  # the approval holds for as long as the same values differ
    assert "No changes" in shop.mlctl("plan")


def test_a_redis_that_dies_is_503_and_the_same_server_answers_again_when_it_is_back_and_filled(shop: Shop) -> None:
    before, running = shop.ask(), shop.deployment()["id"]
    shop.server.stop(signal.SIGKILL)
    status, answer, again = shop.ask()
    assert (status, answer["code"], again) == (503, "features.store-down", "1")
    assert shop.server.address in answer["message"]
    assert shop.ask("healthz")[0] == 200
    said = shop.mlctl("apply", "--yes", code=1)
    assert "does not answer" in said
    shop.server.start()
    status, answer, _ = shop.ask()
    assert (status, answer["code"]) == (503, "features.store-gone")  # it is back, and empty
    shop.mlctl("apply", "--yes")
    assert shop.ask()[0] == before[0] == 200
    assert shop.deployment()["id"] == running
