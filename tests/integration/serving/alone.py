"""A model server without a deployment, as a controller of rollouts starts it; it is ended with all its processes."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mlctl.processes import service, session, worker
from mlctl.types.job import RESULT_FILE
from mlctl.types.secret import Secrets
from tests.integration.serving.project import COLUMNS

START_SECONDS = 60.0


@dataclass(frozen=True)
class Alone:
    folder: Path
    port: int

    @property
    def pid(self) -> int:
        return int(service.find(self.folder).pid or 0)

    def call(
        self, body: Any = None, path: str = "/predict", headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> tuple[int, Mapping[str, str], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, data, dict(headers or {}))
            response = connection.getresponse()
            text = response.read()
            given = {name.lower(): value for name, value in response.getheaders()}
            return (
                response.status,
                given,
                json.loads(text) if given["content-type"] == "application/json" else text.decode(),
            )
        finally:
            connection.close()

    def metric(self, name: str, token: str = "", **labels: str) -> float:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        _, _, page = self.call(None, "/metrics", headers, "GET")
        total = 0.0
        for line in page.splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name and all(f'{key}="{value}"' in match[2] for key, value in labels.items()):
                total += float(match[3])
        return total

    def workers(self) -> list[psutil.Process]:
        """Those that live; what was killed a moment ago may still be listed."""
        found = []
        for item in psutil.Process(self.pid).children():
            with suppress(psutil.Error):
                if "mlctl.runtime.server.worker" in item.cmdline():
                    found.append(item)
        return found


def begin(root: Path, model: Path, secrets: Secrets | None = None, **changed: Any) -> Path:
    """Start a server in `root` on any port that is free; its folder."""
    folder = root / "releases" / "1"
    params = {
        "deployment": "api", "host": "127.0.0.1", "port": 0, "model": {"name": "shops", "version": "1", "folder": str(model)},
        "serving": {"columns": COLUMNS}, "batching": {"max_size": 16, "max_wait_seconds": 0.0}, "timeout_seconds": 30.0,
        "log": {"folder": str(root / "predictions"), "features": True}, **changed,
    }  # fmt: skip
    service.start("server", params, folder, root, secrets or Secrets(), environment={"OMP_NUM_THREADS": "1"})
    return folder


@contextmanager
def served(root: Path, model: Path, secrets: Secrets | None = None, **changed: Any) -> Iterator[Alone]:
    """A server that is ready."""
    folder = begin(root, model, secrets, **changed)
    since, leader = time.time(), int(service.find(folder).pid or 0)
    try:
        deadline = time.monotonic() + START_SECONDS
        while (state := service.find(folder)).ready is None:
            assert state.running, worker.log_tail(folder)
            assert time.monotonic() < deadline, worker.log_tail(folder)
            time.sleep(0.02)
        yield Alone(folder, int(state.ready["port"]))
    finally:
        worker.stop(folder, 2.0)
        session.end(leader, since - 60, 0.0)


def failed(folder: Path) -> Any:
    """Why a server did not start: its first diagnostic."""
    deadline = time.monotonic() + START_SECONDS
    while worker.running(folder):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return json.loads((folder / RESULT_FILE).read_bytes())["diagnostics"][0]
