from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlctl.cli.metric_sources import _fetched
from mlctl.types.diagnostic import MlctlError

SEEN: list[tuple[str, str | None]] = []


class Sends(BaseHTTPRequestHandler):
    """Sends whoever asks for /metrics on to another place, and is no web server at /odd."""

    def do_GET(self) -> None:
        SEEN.append((self.path, self.headers.get("authorization")))
        if self.path == "/odd":
            self.wfile.write(b"SSH-2.0-x\r\n")
            return
        self.send_response(302 if self.path == "/metrics" else 200)
        if self.path == "/metrics":
            self.send_header("location", "/elsewhere")
        self.end_headers()
        if self.path != "/metrics":
            self.wfile.write(b"mlctl_x 1\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    SEEN.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Sends) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_token_goes_to_who_was_asked_and_not_to_whom_that_one_names(url: str) -> None:
    assert _fetched(f"{url}/metrics", "t0ken") == "mlctl_x 1\n"
    assert SEEN == [("/metrics", "Bearer t0ken"), ("/elsewhere", None)]


def test_what_is_no_web_server_is_told_as_such(url: str) -> None:
    with pytest.raises(MlctlError) as caught:
        _fetched(f"{url}/odd", None)
    assert caught.value.diagnostics[0].code == "metrics.unreadable"
