from __future__ import annotations

import asyncio
import http.server
import threading
from typing import Any

from mlctl.runtime.llm.front import Front
from tests.unit.runtime.middleware.client import ask, run


def test_an_engine_is_asked_for_no_encoding_that_the_client_did_not_ask_for() -> None:
    seen: list[dict[str, str]] = []

    class Engine(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    engine = http.server.HTTPServer(("127.0.0.1", 0), Engine)
    thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    calls: list[None] = []

    async def stays() -> None:
        calls.append(None)
        if len(calls) > 1:  # the request is sent, and then the client waits for its answer
            await asyncio.sleep(5)

    async def asked() -> Any:
        front = Front(f"http://127.0.0.1:{engine.server_port}", "key", {}, 5.0, lambda: True, known=True)
        try:
            return await ask(front, path="/v1/chat/completions", before_each=stays)
        finally:
            await front.close()

    try:
        assert run(asked()).status == 200
    finally:
        engine.shutdown()
        thread.join()
        engine.server_close()
    [headers] = seen
    assert "accept-encoding" not in headers
    assert headers["authorization"] == "Bearer key"
