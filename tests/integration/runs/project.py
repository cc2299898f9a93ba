"""A project with two environments: a small table, a training of some seconds, its gate, and a server on a port of each."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests import nursery

MLCTL = str(Path(sys.executable).with_name("mlctl"))
PATIENCE_SECONDS = 120.0

FILE = """
project: shop
variables:
  port: {type: int}
  epochs: {type: int, default: 2}
  lr: {type: float, default: 0.01}
environments:
  dev: {default: true, variables: {port: DEV_PORT}}
  prod:
    variables: {port: PROD_PORT}
    tracking: {mlflow: {uri: "sqlite:///.mlctl/prod-mlflow.db"}}
datasets:
  labels: {path: data/labels.csv, timestamp: at, key: [id]}
  holdout: {path: data/holdout.csv, timestamp: at, key: [id]}
training:
  churn:
    data: {labels: labels, columns: [a, b], target: y}
    model: {type: mlp, hidden: [8]}
    epochs: ${var.epochs}
    batch_size: 32
    optimizer: {lr: "${var.lr}"}
    checkpoint: {every: 1 epochs, keep: 2}
    seed: 7
evaluations:
  gate:
    model: ${training.churn.model}
    dataset: holdout
    require: {accuracy: {min: 0.3}}
    register: {name: churn, alias: champion}
deployments:
  api:
    model: churn@champion
    serve: {port: "${var.port}"}
"""


@dataclass
class Shop:
    """The project in a folder of its own; `close` ends every process that works in it."""

    root: Path
    ports: dict[str, int]

    @classmethod
    def make(cls, root: Path) -> Shop:
        (root / "data").mkdir(parents=True)
        for name, start in (("labels", 0), ("holdout", 400)):
            rows = [
                f"{number},2024-01-{number % 28 + 1:02},{number % 13},{number % 7},{int(number % 13 > 6)}"
                for number in range(start, start + 300)
            ]
            (root / "data" / f"{name}.csv").write_text("\n".join(["id,at,a,b,y", *rows]) + "\n")
        ports = {"dev": free_port(), "prod": free_port()}
        text = FILE.replace("DEV_PORT", str(ports["dev"])).replace("PROD_PORT", str(ports["prod"]))
        (root / "mlctl.yaml").write_text(text)
        return cls(root.resolve(), ports)

    def home(self, environment: str = "dev") -> Path:
        return self.root / ".mlctl" / environment

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return nursery.mlctl(*arguments, folder=self.root)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command that goes on while the test does, without a terminal."""
        null = subprocess.DEVNULL
        command = [MLCTL, "-C", str(self.root), *arguments]
        return subprocess.Popen(command, env=environment(), stdin=null, stdout=null, stderr=null)

    def ok(self, *arguments: str, code: int = 0) -> str:
        done = self.run(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ok(*arguments, "--json").splitlines()]

    def workers(self, program: str = "") -> list[psutil.Process]:
        """The live worker processes of the project; those of one program by its name."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            if process.info["status"] == psutil.STATUS_ZOMBIE or not any(str(self.root) in word for word in words):
                continue
            if "mlctl.runtime" in words and (not program or program in words):
                found.append(process)
        return found

    def served(self, environment: str) -> dict[str, Any]:
        """What the server of an environment says of itself."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.ports[environment], timeout=10)
        connection.request(
            "POST", "/predict", json.dumps({"instances": [{"a": 3.0, "b": 1.0}]}), {"content-type": "application/json"}
        )
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, body
        return dict(body)

    def close(self) -> None:
        for _ in range(3):
            for process in psutil.process_iter(["cmdline"]):
                if any(str(self.root) in word for word in process.info["cmdline"] or []):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
            time.sleep(0.1)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """The environment of a command on a terminal: `CI` would take the questions away."""
    return {name: value for name, value in os.environ.items() if name != "CI"}
