"""Serves the project's metrics to Prometheus, on this machine alone."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mlctl.cli.project_metrics import page
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.workspace import Workspace

_HOST = "127.0.0.1"
_SECONDS = 10.0  # for which a client may be silent
_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news; all else is told in a line, and the next may ask."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"the metrics could not be told: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def server(workspace: Workspace, port: int) -> ThreadingHTTPServer:
    """What answers on this machine alone, not yet at work. Raises OSError when the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        """Knows one page."""

        timeout = _SECONDS

        def do_GET(self) -> None:
            """The page, read anew: another command may have written meanwhile."""
            if self.path.partition("?")[0] != "/metrics":
                self._answer(404, "there is /metrics\n", "text/plain; charset=utf-8")
                return
            try:
                fresh = Workspace(workspace.root, workspace.file, workspace.chosen)
                self._answer(200, page(fresh), _TYPE)
            except MlctlError as error:
                self._answer(500, f"{error.diagnostics[0].summary}\n", "text/plain; charset=utf-8")

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: it is asked every few seconds."""

        def _answer(self, status: int, text: str, kind: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return _Server((_HOST, port), Handler)


def serve(workspace: Workspace, port: int) -> int:
    """Answer until Ctrl-C. Raises MlctlError when the port is taken."""
    try:
        opened = server(workspace, port)
    except OSError as error:
        raise MlctlError.of(
            "metrics.port", f"port {port} cannot be had", error.strerror or str(error), "choose another with `--port`"
        ) from None
    print(
        f"metrics of {workspace.environment} at http://{_HOST}:{opened.server_address[1]}/metrics",
        file=sys.stderr,
        flush=True,
    )
    try:
        opened.serve_forever()
    except KeyboardInterrupt:
        return ExitCode.OK
    finally:
        opened.server_close()
    return ExitCode.OK
