"""A deployment of small servers behind a real gateway, with a real controller; everything it starts is ended with it."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from mlctl.provider import Context
from mlctl.providers.serving import controllers, gatewayed
from mlctl.providers.serving.rollouts import Standing, standing
from mlctl.testing.harness import make_context
from mlctl.types.jobs.rollout import (
    GateRule,
    GatewaySpec,
    MetricRule,
    Order,
    Revision,
    Step,
    Stepwise,
    Strategy,
    Unit,
    Wanted,
)
from mlctl.types.value import digest

TINY = Path(__file__).with_name("tiny")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def revision(version: str, **behaviour: Any) -> Revision:
    params = {"deployment": "api", "version": version, "behaviour": behaviour, "log": {"folder": "predictions"}}
    return Revision(digest=digest(params), model="churn", version=version, program="server", params=params)


def canary(*steps: Step, keep_old: float = 1800.0) -> Stepwise:
    return Stepwise(type="canary", steps=list(steps), keep_old_seconds=keep_old)


def errors_gate(*, margin: float = 0.03, **rule: Any) -> GateRule:
    values = {"min_requests": 200, "interval_seconds": 1.0, "alpha": 0.01, **rule}
    return GateRule(metrics=[MetricRule(name="error_rate", margin=margin)], **values)


class World:
    """One deployment, `deployments.api`."""

    def __init__(self, root: Path, gateway: str = "python") -> None:
        self.root = root
        self.messages: list[str] = []
        self.ctx: Context = dataclasses.replace(
            make_context(root), progress=lambda progress: self.messages.append(progress.message)
        )
        self.folder = root / ".mlctl/default/objects/deployments.api/self/rollout"
        self.port = free_port()
        self.gateway = gateway

    def wanted(self, item: Revision | None, strategy: Strategy, **more: Any) -> Wanted:
        spec = GatewaySpec(
            type=self.gateway, host="127.0.0.1", port=self.port, timeout_seconds=10.0, max_body_bytes=1_000_000
        )
        values = {"unit": Unit(header="x-user", salt="s"), "gates": {}, **more}
        return Wanted(
            serial=0,
            deployment="api",
            address="deployments.api",
            gateway=spec,
            revision=item,
            strategy=strategy,
            **values,
        )

    def apply(self, item: Revision | None, strategy: Strategy, *, again: bool = False, **more: Any) -> Standing:
        return gatewayed.converge(self.wanted(item, strategy, **more), self.folder, self.ctx, again=again)

    def order(self, what: Any, **more: Any) -> None:
        controllers.order(Order(what=what, who="somebody", **more), self.folder)

    def standing(self) -> Standing:
        found = standing(self.folder)
        assert found is not None
        return found

    def wait(self, condition: Callable[[Standing], bool], seconds: float = 20.0) -> Standing:
        deadline = time.monotonic() + seconds
        while True:
            found = standing(self.folder)
            if found is not None and condition(found):
                return found
            assert time.monotonic() < deadline, (found and (found.state.phase, found.state.reason), self.log()[-3000:])
            time.sleep(0.02)

    def ask(self, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(
                "POST", "/predict", json.dumps(body).encode(), {"content-type": "application/json", **headers}
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def log(self) -> str:
        path = self.folder / "log.txt"
        return path.read_text() if path.exists() else ""

    def history(self) -> list[dict[str, Any]]:
        path = self.folder / "history.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def controller(self) -> psutil.Process:
        return psutil.Process(json.loads((self.folder / "process.json").read_text())["pid"])

    def release(self, number: int) -> psutil.Process:
        path = self.folder / "releases" / str(number) / "process.json"
        return psutil.Process(json.loads(path.read_text())["pid"])

    def processes(self) -> list[psutil.Process]:
        """Everything alive that was started for this deployment, found without mlctl: by its command or its working folder."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = str(self.root) in " ".join(process.cmdline()) or process.cwd().startswith(str(self.root))
                if mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def gateways(self) -> list[psutil.Process]:
        """The processes that hold the deployment's port."""
        return [
            psutil.Process(item.pid)
            for item in psutil.net_connections("tcp")
            if item.status == psutil.CONN_LISTEN and item.laddr.port == self.port and item.pid is not None
        ]

    def destroy(self) -> None:
        controllers.end(self.folder, "api", 5.0, self.ctx)


class Load:
    """Clients that ask all the time, each as a user of its own, half of them on a connection that they keep."""

    def __init__(self, world: World, clients: int = 4, pause: float = 0.004) -> None:
        self.world, self.pause = world, pause
        self.answers: Counter[str] = Counter()  # by version
        self.failed: Counter[str] = Counter()  # 5xx of a version
        self.lost: list[str] = []  # no answer, a wrong one, or one of the gateway itself
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, number: int) -> None:
        chance = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", self.world.port, timeout=20)
        while not self._stop.is_set():
            asked = chance.randrange(10**9)
            try:
                headers = {"content-type": "application/json", "x-user": f"u{asked}"}
                connection.request("POST", "/predict", json.dumps(asked).encode(), headers)
                response = connection.getresponse()
                answer = json.loads(response.read())
                if answer.get("echo") != asked:
                    self.lost.append(f"{time.time():.2f} {response.status} {answer}")
                elif response.status == 200:
                    self.answers[answer["version"]] += 1
                else:
                    self.failed[answer["version"]] += 1
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.lost.append(f"{time.time():.2f} {error!r}")
                connection.close()
            if number % 2:
                connection.close()
            self._stop.wait(self.pause)
        connection.close()


@contextmanager
def living(world: World) -> Iterator[World]:
    """Hand a world out with small servers in place of model servers, and end all its processes whatever happens."""
    path = os.pathsep.join([str(TINY), *filter(None, [os.environ.get("PYTHONPATH")])])
    with mock.patch.dict(os.environ, {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}):
        try:
            yield world
        finally:
            for process in world.processes():
                try:
                    process.kill()
                except psutil.Error:
                    pass
