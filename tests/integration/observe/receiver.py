"""A real receiver of OpenTelemetry: MLflow's tracking server, which takes OTLP at /v1/traces. It is ended whatever happens."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.processes.environment import worker_environment
from tests.integration.serving.project import free_port

EXPERIMENT = "0"
_START_SECONDS = 90.0


@dataclass(frozen=True)
class Receiver:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"x-mlflow-experiment-id": EXPERIMENT}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"content-type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text[:1] in b"{[" else text
        finally:
            connection.close()

    def spans(self, trace_id: str, at_least: int, seconds: float = 20.0) -> dict[str, dict[str, Any]]:
        """The spans of a trace by name, once so many have arrived."""
        deadline = time.monotonic() + seconds
        while True:
            status, found = self.ask("GET", f"/ajax-api/3.0/mlflow/traces/get?trace_id=tr-{trace_id}")
            spans = found["trace"].get("spans", []) if status == 200 and isinstance(found, dict) else []
            if len(spans) >= at_least:
                return {item["name"]: item for item in spans}
            assert time.monotonic() < deadline, (status, found)
            time.sleep(0.1)


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    """As plain values."""
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Receiver]:
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1",
        "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port), "--disable-security-middleware",
    ]  # fmt: skip
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=worker_environment(), stdout=log, stderr=log, start_new_session=True
        )
    receiver = Receiver(port)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with suppress(OSError):
                if receiver.ask("GET", "/health")[0] == 200:
                    break
            assert process.poll() is None, (folder / "mlflow.log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield receiver
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
