"""The `gateway` program: the Python gateway as a process of its own, which outlives whoever configures it.

Its folder holds the spec and the routes. On a Unix socket in it, a line is a question: `reload` takes the files in again,
`counts` tells what was counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import threading
from pathlib import Path
from typing import Any

from mlctl.runtime.gateway import kept
from mlctl.runtime.gateway.base import bound
from mlctl.runtime.gateway.python import CONTROL_SOCKET
from mlctl.runtime.gateway.python.proxy import Proxy
from mlctl.runtime.gateway.sockets import listening
from mlctl.runtime.report import Report
from mlctl.runtime.server.handover import bind_failed
from mlctl.types.job import JobResult, JobStatus

_PATIENCE_SECONDS = 5.0
_DRAIN_SECONDS = 86_400.0  # whoever stops us says when it is enough, by SIGKILL


def main(params: dict[str, object], report: Report) -> JobResult:
    """Take the port, wait for routes, and serve until told to stop."""
    folder = report.folder.absolute()
    spec = kept.load_spec(folder)
    if spec is None:
        raise ValueError(f"{folder} has no {kept.SPEC_FILE}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = most if most != resource.RLIM_INFINITY else 1_048_576
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))  # each connection is a file
    listener = bound(spec.host, spec.port)  # before there are routes, a client is better refused
    proxy = Proxy(spec)
    from mlctl.runtime.server.serve import run

    control = Control(folder, proxy)
    try:
        control.routed.wait()
        app: Any = proxy
        run(app, listener, _idle, control.serving.set, control.serving.clear, _DRAIN_SECONDS)
    except OSError as error:
        raise bind_failed(spec.host, spec.port, error) from None
    finally:
        control.close()
    return JobResult(JobStatus.DONE)


class Control:
    """Answers on the socket, in a thread of its own. Swapping routes is one assignment."""

    def __init__(self, folder: Path, proxy: Proxy) -> None:
        self._folder = folder
        self._proxy = proxy
        self.routed = threading.Event()
        self.serving = threading.Event()
        self._take()
        self._listener = listening(folder / CONTROL_SOCKET)
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def close(self) -> None:
        """Answer nothing any more."""
        self._listener.close()
        (self._folder / CONTROL_SOCKET).unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with connection, contextlib.suppress(OSError):  # the one who asked may be gone
                connection.settimeout(_PATIENCE_SECONDS)
                connection.sendall(json.dumps(self._answer(connection.recv(64).strip())).encode())

    def _answer(self, question: bytes) -> dict[str, Any]:
        if question == b"reload":
            try:
                self._take()
            except ValueError as error:
                return {"error": str(error)}
            self.serving.wait(_PATIENCE_SECONDS if self.routed.is_set() else 0)
        counted = {"requests": dict(self._proxy.requests), "errors": dict(self._proxy.errors)}
        return {**counted, "serving": self.serving.is_set()}

    def _take(self) -> None:
        """Do as the files say."""
        self._proxy.spec = kept.load_spec(self._folder) or self._proxy.spec
        routes = kept.load_routes(self._folder)
        if routes is not None:
            self._proxy.follow(routes)
            self.routed.set()


async def _wait() -> None:
    await asyncio.Event().wait()


def _idle() -> asyncio.Future[None]:
    """Nothing runs beside the requests."""
    return asyncio.ensure_future(_wait())
