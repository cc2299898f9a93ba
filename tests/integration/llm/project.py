"""A deployment of a language model, without a project file and without a model; every process it starts is ended with it."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from mlctl.processes import engine, service, worker
from mlctl.provider import Desired, Observed
from mlctl.providers.serving.deployment import Deployment
from mlctl.testing.harness import make_context, make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record
from tests.integration.serving.project import free_port

SMALL_ENGINE = str(Path(__file__).with_name("small_engine.py"))
COMMAND = [
    sys.executable,
    SMALL_ENGINE,
    "--host",
    "{host}",
    "--port",
    "{port}",
    "--model",
    "{model}",
    "--name",
    "{name}",
]


class Project:
    """One deployment, `deployments.chat`, of `helper@champion`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.messages: list[str] = []
        self.ctx = dataclasses.replace(
            make_context(root), progress=lambda progress: self.messages.append(progress.message)
        )
        self.kind = Deployment()
        self.port = free_port()
        self.record: Record | None = None
        base = root / "models" / "base"
        base.mkdir(parents=True)
        (base / "config.json").write_text("{}")
        self.python = root / "python"  # stands for an environment with vLLM
        self.python.write_text(f'#!/bin/sh\nexec {sys.executable} {SMALL_ENGINE} "$@"\n')
        self.python.chmod(0o755)

    @property
    def folder(self) -> Path:
        return self.root / ".mlctl/default/objects/deployments.chat/self"

    @property
    def releases(self) -> Path:
        return self.folder / "releases"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def train(self, version: str, *, form: str = "messages", rank: int = 8, **settings: Any) -> Record:
        """What an evaluation puts out of a model that was trained as an adapter."""
        made = self.root / "made" / version
        (made / "model").mkdir(parents=True, exist_ok=True)
        (made / "model" / "mlctl.json").write_text(json.dumps({"form": form}))
        (made / "adapter").mkdir(exist_ok=True)
        config = {"base_model_name_or_path": "models/base", "r": rank, **settings}
        (made / "adapter" / "adapter_config.json").write_text(json.dumps(config))
        outputs = {
            "name": "helper", "alias": "champion", "version": version, "model": f"made/{version}/model", "run_id": version,
            "task": "causal_lm", "digest": f"helper {version}",
        }  # fmt: skip
        return Record(ObjectKey.parse("evaluations.gate#1"), "1", outputs=outputs)

    def vllm(self, **fields: Any) -> dict[str, Any]:
        """The block of an engine that passes for vLLM."""
        return {"type": "vllm", "python": str(self.python), "lora": {"max_rank": 16}, **fields}

    def desired(self, evaluation: Record, engine_block: Mapping[str, Any], **serve: Any) -> Desired:
        values = {
            "model": "helper@champion",
            "serve": {"port": self.port, "timeout": "20s", "engine": dict(engine_block), **serve},
        }
        return make_desired(self.kind, "deployments.chat", values, self.ctx, {"evaluations.gate": evaluation})

    def apply(self, evaluation: Record, engine_block: Mapping[str, Any], **serve: Any) -> Record:
        wanted = self.desired(evaluation, engine_block, **serve)
        self.record = make_record(wanted, self.kind.apply(wanted, self.record, self.ctx))
        return self.record

    def read(self) -> Observed | None:
        assert self.record is not None
        return self.kind.read(self.record, self.ctx)

    def command(self, environment: Mapping[str, str] | None = None, **fields: Any) -> dict[str, Any]:
        """The block of an engine that is any command."""
        return {"type": "command", "command": COMMAND, "environment": dict(environment or {}), **fields}

    def server(self, number: int | None = None) -> psutil.Process:
        """The process of a release, the newest if not told which."""
        numbers = sorted(int(path.name) for path in self.releases.iterdir() if path.name.isdecimal())
        pid = service.find(self.releases / str(number or numbers[-1])).pid
        assert pid is not None
        return psutil.Process(pid)

    def log(self, number: int) -> str:
        return (self.releases / str(number) / "log.txt").read_text()

    def of_engine(self) -> list[psutil.Process]:
        """All processes of all engines of this project, whoever started them; but for what the tests start programs with."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.pid == os.getpid() or any(part.startswith("tests.nursery") for part in process.cmdline())
                if process.environ().get("MLCTL_TEST") == str(self.root) and not ours:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def end(self) -> None:
        if self.record is not None and (self.folder / "rollout").is_dir():
            self.kind.delete(self.record, self.ctx)
        for path in sorted(self.releases.glob("*")) if self.releases.is_dir() else []:
            if path.is_dir():
                worker.stop(path, 5.0)
                engine.sweep(path, 0.0)


def ask(url: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """One request: the status, and the answer as JSON or text."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(
            "GET" if body is None else "POST", path, data, {"content-type": "application/json", **(headers or {})}
        )
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    try:
        return response.status, json.loads(text)
    except ValueError:
        return response.status, text


def chat(content: str, model: str = "helper", **more: Any) -> dict[str, Any]:
    """The body of a request."""
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


def until(holds: Any, seconds: float = 15.0) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def ended(project: Project) -> Iterator[Project]:
    """For a fixture: the project, and the end of all it started."""
    os.environ["MLCTL_TEST"] = str(project.root)
    try:
        yield project
    finally:
        project.end()
        del os.environ["MLCTL_TEST"]
        for process in project.of_engine():
            process.kill()
        shutil.rmtree(project.root, ignore_errors=True)
