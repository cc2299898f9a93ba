"""A registry in an SQLite file, and a Redis that wants a password: nothing that stays or that people read has the password in it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from mlctl.processes.environment import worker_environment
from tests.integration.servers import Redis, redis

pytestmark = pytest.mark.tools

PASSWORD = "CANARY@9/x"
WRITTEN = quote(PASSWORD, safe="")
REGISTRY = "shared/registry/feast.db"
PROJECT = """
project: shop
variables:
  pw: {{type: string, sensitive: true}}
feature_store:
  registry: {{type: sql, url: "sqlite:///{registry}"}}
  online: {{type: redis, url: "redis://:${{var.pw}}@{address}/1"}}
datasets:
  visits: {{path: visits.csv, timestamp: at, key: [visit]}}
entities:
  user: {{key: user_id}}
feature_views:
  activity:
    entity: user
    source: visits
    online: true
    features: {{spent_7d: {{aggregate: sum, column: spent, window: 7d}}}}
streams:
  live: {{view: activity, broker: {{type: redis, url: "redis://:${{var.pw}}@{address}/2"}}, topic: visits}}
"""
VISITS = "visit,user_id,spent,at\n1,1,2.5,2026-01-01T10:00:00\n2,1,4,2026-01-01T11:00:00\n3,2,1,2026-01-02T09:00:00\n"


class Shop:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.said = ""

    def mlctl(self, *arguments: str, code: int = 0, password: str = WRITTEN) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mlctl.cli.main", *arguments],
            cwd=self.root, env=worker_environment({"MLCTL_VAR_pw": password}), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        self.said += done.stdout + done.stderr
        return done.stdout + done.stderr

    def views(self) -> list[str]:
        """The views in the registry, read without Feast."""
        with closing(sqlite3.connect(self.root / REGISTRY)) as connection:
            return [name for (name,) in connection.execute("SELECT feature_view_name FROM feature_views")]

    def leaks(self) -> list[str]:
        """Files and commands of ours that have the password in them, in either form."""
        marks = [PASSWORD.encode(), WRITTEN.encode()]
        files = [path for path in self.root.rglob("*") if path.is_file()]
        found = [str(path) for path in files if any(mark in path.read_bytes() for mark in marks)]
        for process in psutil.process_iter(["cmdline"]):
            command = " ".join(process.info["cmdline"] or [])
            if str(self.root) in command and any(mark.decode() in command for mark in marks):
                found.append(command)
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Redis]]:
    import redis as client

    root = tmp_path_factory.mktemp("shop")
    with redis() as server:
        with client.Redis.from_url(server.url) as connection:
            connection.config_set("requirepass", PASSWORD)
        (root / "mlctl.yaml").write_text(PROJECT.format(registry=REGISTRY, address=server.address))
        (root / "visits.csv").write_text(VISITS)
        made = Shop(root)
        try:
            yield made, server
        finally:
            made.mlctl("destroy", "--yes")


def test_a_view_is_declared_in_the_file_and_served_behind_the_password(shop: tuple[Shop, Redis]) -> None:
    made, _ = shop
    made.mlctl("apply", "--yes")
    assert made.views() == ["activity"]
    assert "6.5" in made.mlctl("features", "get", "activity", "1")
    assert "offline = online" in made.mlctl("features", "parity")
    made.mlctl("features", "describe", "activity")
    made.mlctl("show", "streams.live", "--json")
    made.mlctl("logs", "streams.live")
    assert "No changes" in made.mlctl("plan")


def test_a_wrong_password_is_told_without_it_and_a_registry_that_is_gone_is_made_again(
    shop: tuple[Shop, Redis],
) -> None:
    made, _ = shop
    said = made.mlctl("features", "get", "activity", "1", code=1, password="CANARY-wrong")
    assert "features.store-down" in said
    assert "CANARY-wrong" not in said
    (made.root / REGISTRY).unlink()
    assert "it is not in the Feast registry any more" in made.mlctl("plan")
    made.mlctl("apply", "--yes")
    assert made.views() == ["activity"]


def test_the_password_is_in_no_file_no_command_line_and_no_output(shop: tuple[Shop, Redis]) -> None:
    made, _ = shop
    assert [mark for mark in (PASSWORD, WRITTEN) if mark in made.said] == []
    assert made.leaks() == []


def test_a_destroy_takes_the_view_out_of_the_file(shop: tuple[Shop, Redis]) -> None:
    made, _ = shop
    made.mlctl("destroy", "--yes")
    assert made.views() == []
