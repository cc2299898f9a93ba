"""What `mlctl metrics serve` does with clients that stay silent, or leave."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.cli import metric_serving
from mlctl.workspace import Workspace

SECONDS = 0.3


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(metric_serving, "_SECONDS", SECONDS)
    (tmp_path / "mlctl.yaml").write_text("project: quiet\n")
    with metric_serving.server(Workspace(tmp_path), 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def test_the_page_is_there_while_others_say_nothing_and_those_are_let_go(port: int) -> None:
    with connected(port) as silent, connected(port) as asking:
        silent.sendall(b"GET /metr")
        asking.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert asking.recv(100).startswith(b"HTTP/1.0 200")
        began = time.monotonic()
        assert silent.recv(100) == b""
        assert time.monotonic() - began < 5


def test_a_client_that_leaves_is_no_news(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    asking = connected(port)
    asking.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
    asking.close()
    with connected(port) as other:
        other.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.0 200")
    assert capfd.readouterr().err == ""
