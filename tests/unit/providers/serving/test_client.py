from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mlctl.providers.serving.client import health, path_of, predict, url_of
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from mlctl.types.value import Json


@contextmanager
def server(status: int, body: bytes, delay: float = 0.0) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            time.sleep(delay)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    running = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def record(url: str | None) -> Record:
    return Record(ObjectKey.parse("deployments.api#"), "1", outputs={} if url is None else {"url": url})


def code(url: str | None, timeout: float = 5.0) -> str:
    with pytest.raises(MlctlError) as raised:
        predict(record(url), {"household_id": 1}, timeout)
    return raised.value.diagnostics[0].code


def test_an_answer() -> None:
    with server(200, b'{"predictions": [{"score": 0.5}], "model": "m"}') as url:
        assert predict(record(url), {"household_id": 1})["model"] == "m"


def test_what_goes_wrong_is_told_apart() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert code(nobody) == "predict.unreachable"
        assert health(nobody, 1.0) is None
    assert code(None) == "predict.not-deployed"
    with server(200, b"<html>") as url:
        assert code(url) == "predict.unreachable"
        assert health(url, 1.0) is None
    with server(200, b"[]") as url:
        assert code(url) == "predict.not-ours"
        assert health(url, 1.0) is None
    with server(404, b'{"code": "predict.unknown-key", "message": "no such", "field": "household_id"}') as url:
        assert code(url) == "predict.unknown-key"
    with server(200, b"{}", delay=0.5) as url:
        with pytest.raises(MlctlError, match="did not answer within"):
            predict(record(url), {}, 0.1)
        assert health(url, 0.1) is None


@pytest.mark.parametrize(
    ("serve", "path"),
    [
        ({"port": 1}, "/predict"),
        ({"port": 1, "engine": {"type": "vllm"}}, "/v1/chat/completions"),
        ({"port": 1, "engine": {"type": "command", "command": ["a", "{port}"]}}, "/v1/chat/completions"),
    ],
)
def test_a_deployment_is_asked_where_its_engine_answers(serve: Json, path: str) -> None:
    assert path_of(Record(ObjectKey.parse("deployments.api#"), "1", spec={"serve": serve})) == path


def test_what_has_no_address_is_not_deployed() -> None:
    with pytest.raises(MlctlError, match="is not deployed"):
        url_of(record(None))
