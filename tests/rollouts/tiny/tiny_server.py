"""A server without a model: it says its version, fails a share of its answers, and drains as the real one does. 0.2 s to start.

What it answers with is in the `serving` of its job: {"fail": 0.1, "delay": 0.002, "start": "raise" | "hang" | seconds}.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.runtime.server.handover import Handover, obtain
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.server import READY_FILE


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Serve until SIGTERM, then finish what is under way."""
    behaviour = params.get("behaviour", {})
    folder = report.folder.absolute()
    handover = Handover(folder)
    listener = obtain(folder, params.get("host", "127.0.0.1"), params["port"])
    begin = behaviour.get("start", 0.0)
    if begin == "raise":
        raise MlctlError.of("deploy.bad-model", "the model does not work: it was made to fail", "", "")
    time.sleep(3600 if begin == "hang" else begin)
    server = _Server(listener, _handler(params, behaviour, folder.name))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    port = listener.getsockname()[1]
    handover.open(listener)
    ready = {"deployment": params["deployment"], "release": report.folder.name, "host": "127.0.0.1", "port": port}
    atomic.write_json(report.folder / READY_FILE, {**ready, "url": f"http://127.0.0.1:{port}"})
    server.serve_forever(poll_interval=0.05)
    handover.close()
    server.server_close()
    deadline = time.monotonic() + 5
    while server.busy and time.monotonic() < deadline:
        time.sleep(0.01)
    return JobResult(JobStatus.DONE)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    busy = 0

    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.socket.listen(256)


def _handler(params: dict[str, Any], behaviour: dict[str, Any], release: str) -> type[BaseHTTPRequestHandler]:
    chance = random.Random(os.getpid())
    version = params.get("version") or params["model"]["version"]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            self.server.busy += 1  # type: ignore[attr-defined]
            try:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                time.sleep(behaviour.get("delay", 0.0))
                failed = chance.random() < behaviour.get("fail", 0.0)
                self._log(500 if failed else 200)
                self._answer(
                    500 if failed else 200,
                    {"version": version, "echo": json.loads(body or b"null"), "pid": os.getpid()},
                )
            finally:
                self.server.busy -= 1  # type: ignore[attr-defined]

        def _log(self, code: int) -> None:
            """As the prediction log has it, as far as rewards and comparisons need it."""
            if not params.get("log"):
                return
            folder = Path(params["log"]["folder"])
            folder.mkdir(parents=True, exist_ok=True)
            now = datetime.now(UTC)
            shadow = self.headers.get("host", "").partition(":")[0].endswith("-shadow")
            row = {
                "ts": now.isoformat(timespec="microseconds"), "request_id": self.headers.get("x-request-id"), "code": code,
                "role": "shadow" if shadow else "stable", "variant": self.headers.get("x-mlctl-variant"),
                "version": version, "propensity": self.headers.get("x-mlctl-propensity"),
                "latency_seconds": 0.001, "score": behaviour.get("score", 0.5), "prediction": None,
            }  # fmt: skip
            with open(folder / f"{now:%Y-%m-%d}.jsonl", "a") as stream:
                stream.write(json.dumps(row) + "\n")

        def do_GET(self) -> None:
            self._answer(200, {"deployment": params["deployment"], "release": release, "ready": True})

        def _answer(self, code: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

    return Handler
