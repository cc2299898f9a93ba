"""Machines far away, of which nothing is heard any more."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlctl.runtime import secrets
from mlctl.runtime.trainer.executors import away
from mlctl.runtime.trainer.executors.away import Away, AwayAttempt
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Storage
from mlctl.types.jobs.remote import KubernetesExecutor
from mlctl.types.secret import Secrets

SECRET = "correct-horse-battery"


def test_a_secret_in_what_a_cluster_is_given_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "known", lambda: Secrets({"var.token": SECRET}))
    asked = KubernetesExecutor(
        storage=Storage(url="s3://b/p"), image="i", cpus="1", memory="1Gi", env={"TOKEN": f"Bearer {SECRET}"}
    )
    executor: Any = object.__new__(Away)
    executor._job = SimpleNamespace(executor=asked)
    with pytest.raises(MlctlError, match=r"`executor` holds `var\.token`") as caught:
        executor.start(tmp_path)
    assert SECRET not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Bucket:
    """Objects in memory, those of all places together."""

    kept: dict[str, bytes]

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def names(self, prefix: str = "", after: str | None = None) -> dict[str, int]:
        return {}

    def get(self, name: str) -> bytes | None:
        return self.kept.get(f"{self.storage.url}/{name}")

    def get_json(self, name: str) -> Any:
        data = self.get(name)
        return None if data is None else json.loads(data)

    def delete(self, names: list[str]) -> None: ...

    def put(self, name: str, data: bytes) -> None:
        self.kept[f"{self.storage.url}/{name}"] = data


class Forgetful:
    """A cluster that knows no job."""

    ask_seconds = 0.0

    def find(self, name: str) -> None:
        return None


def test_a_job_that_a_cluster_lost_is_told_to_stop_should_it_come_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bucket, "kept", {}, raising=False)
    monkeypatch.setattr(away, "Objects", Bucket)
    monkeypatch.setattr(away, "_LOST_SECONDS", -1.0)
    cluster: Any = Forgetful()
    attempt = AwayAttempt(cluster, Storage(url="s3://b/p"), tmp_path, {"name": "mlctl-a", "attempt": "1234"})
    deadline = time.monotonic() + 10
    while attempt.running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "does not know it any more" in attempt.end().why
    assert "s3://b/p/run/1234/stop" in Bucket.kept


@pytest.mark.parametrize("limit", [None, 7200.0])
def test_machines_that_the_budget_ended_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float | None
) -> None:
    told = {"ended": {"status": "preempted"}, "files": {}, "limit": limit}
    monkeypatch.setattr(Bucket, "kept", {"s3://b/p/run/1234/ended.json": json.dumps(told).encode()}, raising=False)
    monkeypatch.setattr(away, "Objects", Bucket)
    cluster: Any = Forgetful()
    attempt = AwayAttempt(cluster, Storage(url="s3://b/p"), tmp_path, {"name": "mlctl-a", "attempt": "1234"})
    deadline = time.monotonic() + 10
    while attempt.running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert attempt.end().limit == limit
