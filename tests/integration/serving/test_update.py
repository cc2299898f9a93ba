"""Servers are replaced, killed and cut off; one of the wanted kind is left, and clients notice nothing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from mlctl.provider import Condition
from mlctl.providers.serving.client import health, predict
from mlctl.types.diagnostic import MlctlError
from tests.integration.serving.project import Project, expected, free_port, wait_until

pytestmark = pytest.mark.tools

REPOSITORY = Path(__file__).parents[3]


class Load:
    """Clients that ask all the time: half of them connect for each request, half keep their connection."""

    def __init__(self, port: int, clients: int = 4) -> None:
        self.port = port
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number % 2 == 0,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/predict", b'{"instances": [{"amount": 1, "visits": 2}]}')
                response = connection.getresponse()
                answer = json.loads(response.read())
                right = expected({"1": "one", "2": "two"}[answer["version"]], 1, 2)
                if response.status != 200 or abs(answer["predictions"][0]["score"] - right) > 1e-6:
                    self.failures.append(f"{response.status} {answer}")
                self.answers[answer["version"]] += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            if not keep:
                connection.close()
            self._stop.wait(0.005)  # leave the processor to the server that is starting
        connection.close()


@pytest.mark.contract(16)
def test_no_request_is_lost_when_the_version_changes_and_the_port_can_move(project: Project) -> None:
    first = project.apply("1", "one")
    with Load(project.port) as load:
        wait_until(lambda: load.answers["1"] > 100)
        second = project.apply("2", "two")
        wait_until(lambda: load.answers["2"] > 100)
    assert load.failures == []
    assert (first.id, second.id) == ("1", "2")
    assert first.outputs["digest"] == second.outputs["digest"]  # the same address and log: dependents see no change
    assert len(project.servers()) == 1
    logged = Counter(row["version"] for row in project.log_rows())
    assert logged["1"] == load.answers["1"]  # the old server wrote its log to the end before it left

    old_port, project.port = project.port, free_port()
    moved = project.apply("2", "two", log={"predictions": False})
    assert health(f"http://127.0.0.1:{old_port}", 1.0) is None
    assert moved.outputs["port"] == project.port
    assert moved.outputs["predictions"] is None
    assert moved.outputs["digest"] != second.outputs["digest"]
    rows = len(project.log_rows())
    assert predict(moved, {"instances": [{"amount": 1, "visits": 2}]})["version"] == "2"
    [server] = project.servers()
    project.kind.delete(moved, project.ctx)
    assert not server.is_running()
    assert not (project.folder / "releases").exists()
    assert len(project.log_rows()) == rows > 0  # predictions are kept, and this release logged none
    project.kind.delete(moved, project.ctx)  # gone already is success


def detail(project: Project) -> str:
    """What is wrong with the server, which has to be found broken."""
    seen = project.read()
    assert seen is not None
    assert seen.condition is Condition.BROKEN
    return seen.detail


def test_a_killed_server_is_seen_and_healed(project: Project) -> None:
    record = project.apply("1", "one")
    predict(record, {"instances": [{"amount": 1, "visits": 2}]})
    [server] = project.servers()
    wait_until(lambda: len(project.log_rows()) == 1)
    [log] = (project.folder / "predictions").glob("*.jsonl")
    with open(log, "ab") as stream:
        stream.write(b'{"ts": "torn by the ki')
    server.send_signal(signal.SIGKILL)
    wait_until(lambda: f"pid {server.pid} is gone" in detail(project))
    with pytest.raises(MlctlError, match=r"predict\.unreachable"):
        predict(record, {"instances": [{"amount": 1, "visits": 2}]})

    stranger = socket.create_server(("127.0.0.1", project.port))
    assert f"its port is taken: pid {os.getpid()} holds it" in detail(project)
    with pytest.raises(MlctlError, match=r"deploy\.port-in-use"):
        project.apply("1", "one")
    stranger.close()

    healed = project.apply("1", "one")
    assert predict(healed, {"instances": [{"amount": 1, "visits": 2}]})["predictions"][0]["prediction"] == 1
    wait_until(lambda: len(log.read_text().splitlines()) == 3)
    first, torn, last = log.read_text().splitlines()
    assert torn == '{"ts": "torn by the ki'
    assert json.loads(first)["score"] == json.loads(last)["score"]
    seen = project.read()
    assert seen is not None
    assert seen.condition is Condition.READY


@pytest.mark.contract(15)
def test_a_model_that_fails_leaves_the_old_one_serving(project: Project) -> None:
    record = project.apply("1", "one")
    with pytest.raises(MlctlError) as raised:
        project.apply("2", "bad")
    [found] = raised.value.diagnostics
    assert found.code == "deploy.bad-model"
    assert "this model was made to fail" in found.summary
    assert len(project.servers()) == 1
    seen = project.kind.read(record, project.ctx)
    assert seen is not None
    assert seen.condition is Condition.READY
    assert predict(record, {"instances": [{"amount": 1, "visits": 2}]})["version"] == "1"


def cut(project: Project, version: str, model: str, point: str) -> None:
    """An apply in another process that is killed at a point."""
    command = [
        sys.executable,
        "-m",
        "tests.integration.serving.cut_apply",
        str(project.root),
        str(project.port),
        version,
        model,
        point,
    ]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-2000:]


def test_an_apply_that_was_cut_off_leaves_nothing_behind(project: Project) -> None:
    cut(project, "1", "one", "start")  # the release has a folder and no process
    assert project.servers() == []
    cut(project, "1", "one", "wait_ready")  # a process is on its way
    [loading] = project.servers()
    project.apply("1", "one")
    assert [server.pid for server in project.servers()] == [loading.pid]  # it was joined, not started again

    with Load(project.port, clients=2) as load:
        cut(project, "2", "two", "stop_all")  # the new one serves, and the old one was not stopped yet
        assert len(project.servers()) == 2
        wait_until(lambda: load.answers["2"] > 10)
        record = project.apply("1", "one")  # and the block was put back meanwhile
        assert [server.pid for server in project.servers()] == [loading.pid]
    assert load.failures == []
    assert record.id == "2"
    seen = project.read()
    assert seen is not None
    assert seen.condition is Condition.READY
    cut(project, "2", "two", "wait_ready")
    project.kind.delete(record, project.ctx)  # one serves, one is loading
    assert project.servers() == []
