"""`mlctl features serve` for real: rows over HTTP, who is let in, and a store that goes and comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from mlctl.processes.environment import worker_environment
from tests.integration.servers import Redis, free_port, redis

pytestmark = pytest.mark.tools

TOKEN = "a-long-random-token-of-a-test"
PROJECT = """
project: shop
feature_store: {{online: {{type: redis, url: "{url}"}}}}
datasets:
  visits: {{path: visits.csv, timestamp: at}}
entities:
  user: {{key: user_id}}
feature_views:
  activity:
    entity: user
    source: visits
    online: true
    ttl: 36500d
    features:
      visits_1d: {{aggregate: count, window: 1d}}
      spent_7d: {{aggregate: sum, column: spent, window: 7d}}
feature_services:
  model: {{views: [activity], features: [spent_7d]}}
schedules:
  fresh: {{cron: "5 * * * *", run: materialize, targets: [feature_views.activity]}}
"""
VISITS = "user_id,spent,at\n1,2.5,2026-01-01T10:00:00\n1,4,2026-01-01T11:00:00\n2,1,2026-01-02T09:00:00\n"


def mlctl(root: Path, *arguments: str, expect: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mlctl.cli.main", *arguments],
        cwd=root, env=worker_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Redis]]:
    root = tmp_path_factory.mktemp("shop")
    with redis() as server:
        (root / "mlctl.yaml").write_text(PROJECT.format(url=server.url))
        (root / "visits.csv").write_text(VISITS)
        mlctl(root, "apply", "--auto-approve")
        yield root, server


@contextmanager
def serving(root: Path, **environment: str) -> Iterator[str]:
    """The address of a running server; it has to end by itself, and well, when it is interrupted."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlctl.cli.main", "features", "serve", "--port", str(port)],
        cwd=root, env=worker_environment(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(URLError, OSError):
                urlopen(f"{url}/healthz").close()
                break
            assert process.poll() is None, process.stdout and process.stdout.read()
            time.sleep(0.05)
        yield url
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert f"serving activity, model on {url}" in said
        with pytest.raises(URLError):
            urlopen(f"{url}/healthz")
    finally:
        process.kill()
        process.wait()


def ask(url: str, body: Any, token: str = "") -> tuple[int, Any, dict[str, str]]:
    """Status, answer and headers."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(f"{url}/features", data, headers)) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except HTTPError as error:
        return error.code, json.load(error), dict(error.headers)


def test_rows_of_views_and_services_are_served_with_their_event_times(shop: tuple[Path, Redis]) -> None:
    root, _ = shop
    with serving(root) as url:
        status, answer, _ = ask(url, {"view": "activity", "keys": [1, {"user_id": 77}]})
        times = {"activity": "2026-01-03T00:00:00+00:00"}
        assert (status, answer["rows"]) == (
            200,
            [
                {"keys": {"user_id": 1}, "features": {"spent_7d": 6.5, "visits_1d": 0}, "event_times": times},
                {
                    "keys": {"user_id": 77},
                    "features": {"spent_7d": None, "visits_1d": None},
                    "event_times": {"activity": None},
                },
            ],
        )
        assert ask(url, {"service": "model", "keys": [2]})[1]["rows"][0]["features"] == {"spent_7d": 1.0}
        bodies = (
            b"no json",
            {"view": "activity"},
            {"view": "none", "keys": [1]},
            {"view": "activity", "keys": ["x"]},
            {"view": "activity", "keys": [{"user_id": 1, "z": 2}]},
            {"view": "activity", "keys": [1] * 10_001},
        )
        refused = [ask(url, body) for body in bodies]
        assert [(status, answer["code"]) for status, answer, _ in refused] == [
            (400, "features.bad-request"),
            (400, "features.bad-request"),
            (404, "features.unknown-name"),
            (400, "features.bad-key"),
            (400, "features.bad-request"),
            (413, "features.too-large"),
        ]


def test_with_a_token_nobody_is_let_in_without_it(shop: tuple[Path, Redis]) -> None:
    root, _ = shop
    with serving(root, MLCTL_TOKEN=TOKEN) as url:
        asked = {"view": "activity", "keys": [1]}
        assert [ask(url, asked, token)[0] for token in ("", "another", TOKEN)] == [401, 401, 200]
    files = [path for path in (root / ".mlctl").rglob("*") if path.is_file()]
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []


def test_other_machines_are_not_let_in_without_a_token(shop: tuple[Path, Redis]) -> None:
    root, _ = shop
    assert "MLCTL_TOKEN" not in os.environ
    said = mlctl(root, "features", "serve", "--host", "0.0.0.0", expect=1)
    assert "features.no-token" in said


def test_a_schedule_renders_the_line_that_materializes(shop: tuple[Path, Redis]) -> None:
    root, _ = shop
    assert "features materialize activity" in mlctl(root, "schedule", "render", "fresh")
    assert "2 keys online" in mlctl(root, "features", "materialize", "activity")


def test_a_store_that_is_away_is_503_and_served_again_when_it_is_back(shop: tuple[Path, Redis]) -> None:
    root, server = shop
    asked = {"view": "activity", "keys": [1]}
    with serving(root) as url:
        assert ask(url, asked)[0] == 200
        server.stop(signal.SIGKILL)
        status, answer, headers = ask(url, asked)
        assert (status, answer["code"], headers["retry-after"]) == (503, "features.store-down", "1")
        assert server.address in answer["message"]
        plan = mlctl(root, "plan")
        assert f"redis at {server.address}/0 does not answer" in plan
        server.start()
        assert ask(url, asked)[1]["code"] == "features.store-gone"  # it is back, and empty
        mlctl(root, "apply", "--auto-approve")
        status, answer, _ = ask(url, asked)
        assert (status, answer["rows"][0]["features"]["spent_7d"]) == (200, 6.5)
