"""Real models behind Envoy, through the kind itself: a good version is promoted, one with errors is taken back and held."""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine.decide import decide
from mlctl.engine.ledger import Ledger
from mlctl.processes.environment import worker_environment
from mlctl.provider import Condition
from mlctl.providers.serving import controllers
from mlctl.providers.serving.client import predict
from mlctl.providers.serving.rollout_report import report
from mlctl.providers.serving.rollouts import standing
from mlctl.types.change import Action
from mlctl.types.state import State
from tests.integration.serving.project import Project, run_script, wait_until

pytestmark = pytest.mark.tools

BLOCK: dict[str, Any] = {
    "rollout": {"canary": {"steps": [{"weight": 40, "gate": "guard"}]}, "keep_old": "0s"},
    "gates": {
        "guard": {
            "metrics": [{"name": "error_rate", "margin": 0.1}], "min_requests": 100, "interval": "1s", "alpha": 0.05,
        }
    },
}  # fmt: skip


class Behind(Project):
    """The project of the model server's tests, with a rollout."""

    @property
    def controller(self) -> Path:
        return self.folder / controllers.FOLDER

    def says(self) -> str:
        found = standing(self.controller)
        return "" if found is None else found.says()

    def until(self, condition: Callable[[str], bool], seconds: float = 60.0) -> None:
        """Wait for what the rollout says of itself."""
        deadline = time.monotonic() + seconds
        while not condition(says := self.says()):
            assert time.monotonic() < deadline, (
                says,
                report("api", self.controller),
                (self.controller / "log.txt").read_text(),
            )
            time.sleep(0.05)

    def end(self) -> None:
        controllers.end(self.controller, "api", 0.0, self.ctx)
        super().end()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollout")
    run_script("make_models.py", folder, "models")
    script = str(Path(__file__).with_name("make_flaky.py"))
    ended = subprocess.run(
        [sys.executable, script, "models"], cwd=folder, env=worker_environment(), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder / "models"


@pytest.fixture
def project(tmp_path: Path, models: Path) -> Iterator[Behind]:
    made = Behind(tmp_path, models)
    try:
        yield made
    finally:
        made.end()


class Traffic(threading.Thread):
    """One client that asks all the time."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port, self.lost, self.over = port, [], threading.Event()  # type: ignore[var-annotated]

    def run(self) -> None:
        chance = random.Random(1)
        while not self.over.wait(0.002):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                body = {"instances": [{"amount": chance.random(), "visits": 1}]}
                connection.request("POST", "/predict", json.dumps(body).encode())
                response = connection.getresponse()
                answer = json.loads(response.read())
                if response.status != 200 and answer["code"] != "predict.failed":
                    self.lost.append(str(answer))
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            finally:
                connection.close()

    def __enter__(self) -> Traffic:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def test_a_good_version_is_promoted_and_one_with_errors_is_held_and_stays_so(project: Behind) -> None:
    first = project.apply("1", "one", **BLOCK)
    assert predict(first, {"instances": [{"amount": 1, "visits": 2}]})["version"] == "1"
    with Traffic(project.port) as traffic:
        second = project.apply("2", "two", **BLOCK)
        assert second.outputs["version"] == "2"
        assert project.says() == "canary: step 1 of 1, 40 %, shops v2"
        seen = project.read()
        assert seen is not None
        assert seen.condition is Condition.RUNNING
        project.until(lambda says: says == "")
        assert predict(second, {"instances": [{"amount": 1, "visits": 2}]})["version"] == "2"

        third = project.apply("3", "flaky", **BLOCK)
        project.until(lambda says: says.startswith("held: shops v3: error_rate"))
        wait_until(lambda: (found := standing(project.controller)) is not None and found.state.in_effect)
    assert traffic.lost == []
    assert predict(third, {"instances": [{"amount": 1, "visits": 2}]})["version"] == "2"

    desired = project.desired("3", "flaky", **BLOCK)
    change = decide(project.kind, desired, Ledger(State("l", 1, {third.key: third})), project.ctx)
    assert change.action is Action.NOOP  # a note, and no change
    assert change.detail.startswith("held: shops v3: error_rate")
    again = project.apply("3", "flaky", **BLOCK)  # and an apply does not try it again
    assert again.gate is not None
    assert not again.gate.passed
    roles = {(row["version"], row["role"]) for row in project.log_rows()}
    assert {("1", "stable"), ("2", "canary"), ("2", "stable"), ("3", "canary")} <= roles

    project.kind.delete(again, project.ctx)
    assert project.servers() == []
    assert project.log_rows()
