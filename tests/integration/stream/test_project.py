"""The project of docs/guides/streaming.md through the real command line, from apply to destroy."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import redis
from tests.integration.stream.rig import ago

pytestmark = pytest.mark.tools
GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "streaming.md"


class Cli:
    """A project folder and its command line."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *arguments: str, code: int = 0) -> str:
        command = [str(Path(sys.executable).with_name("mlctl")), *arguments]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def status(self) -> str:
        """What `status` says of the stream."""
        return next(line for line in self("status").splitlines() if line.startswith("streams."))


def trips(count: int, first: int, since: float, until: float, seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [
        {
            "trip_id": first + index,
            "user_id": draw.randrange(20),
            "distance": round(draw.uniform(1, 30), 2),
            "at": (ago(since) + timedelta(seconds=draw.random() * (since - until))).isoformat(timespec="microseconds"),
        }
        for index in range(count)
    ]


def wait(true: Callable[[], object], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def make_project(root: Path, url: str) -> None:
    import duckdb

    (root / "trips.jsonl").write_text("".join(json.dumps(trip) + "\n" for trip in trips(300, 0, 7200, 900, 1)))
    (root / "data" / "trips").mkdir(parents=True)
    types = "{trip_id: 'BIGINT', user_id: 'BIGINT', distance: 'DOUBLE', 'at': 'TIMESTAMP'}"
    duckdb.execute(
        f"COPY (SELECT * FROM read_json('{root}/trips.jsonl', columns={types})) TO '{root}/data/trips/one.parquet'"
    )
    block = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)[0]
    broker = 'broker: {type: kafka, servers: "127.0.0.1:9092"}'
    assert broker in block
    block = block.replace(broker, f"broker: {{type: redis, url: '{url}'}}").replace("lateness: 10s", "lateness: 1s")
    (root / "mlctl.yaml").write_text(f"project: rides\n{block}")


def test_the_project_of_the_guide(tmp_path: Path) -> None:
    from redis import Redis

    with redis() as server:
        make_project(tmp_path, server.url)
        cli = Cli(tmp_path)
        cli("apply", "--yes")
        try:
            client = Redis.from_url(server.url)
            for trip in trips(200, 1000, 300, 61, 2):
                client.xadd("trips", {"data": json.dumps(trip)})
            client.xadd("trips", {"data": "{"})
            wait(lambda: re.search(r"200 events, lag 0, online until .*, 1 bad", cli.status()))
            assert "No changes" in cli("plan")
            assert "offline = online for 20 keys" in cli("features", "parity")  # ahead of the snapshots by the stream
            assert "200 events of its stream are not in its snapshots" in cli("features", "materialize")
            record = json.loads(cli("show", "feature_views.activity", "--json").splitlines()[0])
            assert record["outputs"]["evidence"]["stream_events"] == 200
            found = json.loads(cli("features", "parity", "--sample", "5", "--json"))
            assert (found["passed"], found["keys"], found["ahead"]) == (True, 5, 0)
            assert "has no effect here" in cli("features", "parity", "--seed", "1", code=1)
            assert "has no effect here" in cli("features", "parity", "--since", "1d", code=1)
            assert "listening to `trips`" in cli("logs", "streams.trips_live")
            assert "No changes" in cli("plan")  # the view has other snapshots now, which is news to no worker that runs
            before = cli("logs", "streams.trips_live").count("listening")
            project = tmp_path / "mlctl.yaml"
            project.write_text(project.read_text().replace("trips_30m:", "trips_in_30m:"))
            assert "streams.trips_live: update (an input changed)" in cli("apply", "--yes")
            assert cli("logs", "streams.trips_live").count("listening") == before + 1
        finally:
            cli("destroy", "--yes")
        log = tmp_path / ".mlctl" / "default" / "features" / "streams" / "activity"
        assert len((log / "events-000001.jsonl").read_text().splitlines()) == 200  # they come from nowhere again
        cli("apply", "--yes", "--target", "feature_views.activity")
        record = json.loads(cli("show", "feature_views.activity", "--json").splitlines()[0])
        assert record["outputs"]["evidence"]["stream_events"] == 200
