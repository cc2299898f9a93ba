"""A project with models and a deployment, without a project file; every process it starts is ended with it."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from mlctl.processes import worker
from mlctl.processes.environment import worker_environment
from mlctl.provider import Desired, Observed
from mlctl.providers.serving.deployment import Deployment
from mlctl.testing.harness import make_context, make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record

COLUMNS = ["amount", "visits"]
WEIGHTS = {"one": (0.5, -0.25), "two": (-1.0, 0.125)}
STORE = {
    "project": "serving",
    "registry": "store/registry.db",
    "online": {"type": "sqlite", "path": "store/online.db"},
    "offline": {"type": "duckdb"},
}
KEYS = [{"name": "household_id", "type": "int64"}]
VIEWS = [{"view": "spending", "keys": KEYS, "features": COLUMNS, "ttl_seconds": 7 * 86400}]


def expected(model: str, amount: float | None, visits: float) -> float:
    """What a model of make_models.py gives."""
    a, b = WEIGHTS[model]
    return 1 / (1 + math.exp(-(a * (amount or 0.0) + b * visits)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_script(name: str, folder: Path, argument: str) -> None:
    """Run a script that stands beside this file, with heavy libraries, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name(name)), argument]
    ended = subprocess.run(command, cwd=folder, env=worker_environment({"TZ": "UTC"}), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]


class Project:
    """One deployment, `deployments.api`, of `shops@champion`."""

    def __init__(self, root: Path, models: Path | None) -> None:
        self.root = root
        if models is not None:
            shutil.copytree(models, root / "models")
        self.ctx = make_context(root)
        self.messages: list[str] = []
        self.ctx = dataclasses.replace(self.ctx, progress=lambda progress: self.messages.append(progress.message))
        self.kind = Deployment()
        self.port = free_port()
        self.record: Record | None = None

    @property
    def folder(self) -> Path:
        return self.root / ".mlctl/default/objects/deployments.api/self"

    def evaluation(self, version: str | None, model: str, store: bool = False) -> Record:
        serving = {
            "columns": COLUMNS,
            "keys": KEYS,
            "views": VIEWS if store else [],
            "store": STORE if store else None,
        }
        outputs = {
            "name": "shops", "alias": "champion", "version": version, "model": f"models/{model}", "run_id": "r1",
            "serving": serving, "digest": f"{version}-{model}",
        }  # fmt: skip
        return Record(ObjectKey.parse("evaluations.gate#1"), "1", outputs=outputs)

    def desired(self, version: str | None, model: str, store: bool = False, **block: Any) -> Desired:
        values = {"model": "shops@champion", **block, "serve": {"port": self.port, **block.get("serve", {})}}
        return make_desired(
            self.kind, "deployments.api", values, self.ctx, {"evaluations.gate": self.evaluation(version, model, store)}
        )

    def apply(self, version: str, model: str, store: bool = False, **block: Any) -> Record:
        desired = self.desired(version, model, store, **block)
        self.record = make_record(desired, self.kind.apply(desired, self.record, self.ctx))
        return self.record

    def read(self) -> Observed | None:
        assert self.record is not None
        return self.kind.read(self.record, self.ctx)

    def servers(self) -> list[psutil.Process]:
        """The live server processes of this project, found without mlctl."""
        found = []
        for found_process in psutil.process_iter():
            try:
                command = [word for word in found_process.cmdline() if word]  # a fork shows room that is left
                if (
                    "mlctl.runtime" in command
                    and str(self.root) in command[-1]
                    and found_process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(found_process)
            except psutil.Error:
                continue
        return found

    def log_rows(self) -> list[dict[str, Any]]:
        """All whole rows of the prediction log."""
        lines = [
            line
            for path in sorted((self.folder / "predictions").glob("*.jsonl"))
            for line in path.read_text().splitlines()
        ]
        return [json.loads(line) for line in lines if line]

    def end(self) -> None:
        for path in (self.folder / "releases").glob("*"):
            worker.stop(path, grace_seconds=0)
        assert self.servers() == []


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def ended(project: Project) -> Iterator[Project]:
    """For fixtures: hand a project out, and end its processes whatever happens."""
    try:
        yield project
    finally:
        project.end()
