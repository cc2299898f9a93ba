"""A small server of OpenAI's API for chats: a deployment that knows some answers, and a judge whose errors are known."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Behaviour:
    """What the server does; tests change it as they go. `seen` are the requests."""

    answers: dict[str, str] = field(default_factory=dict)
    wrong_every: int = 10  # of numbered answers, every so many are judged wrongly
    strict: bool = False  # a judge who fails everything
    down: bool = False
    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def answer(self, body: dict[str, Any]) -> str:
        """By who is asked."""
        return (
            self._ruling(body["messages"])
            if body["model"] == "judge-1"
            else self.answers[body["messages"][-1]["content"]]
        )

    def _ruling(self, messages: list[dict[str, str]]) -> str:
        quality, number = re.findall(r"(GOOD|BAD) #(\d+)", messages[-1]["content"])[-1]
        first = re.findall(r"Rule `(\w+)`", messages[0]["content"])[-1]
        good = (quality == "GOOD") ^ (int(number) % self.wrong_every == 0)
        verdict = first if int(number) % 20 == 7 else "pass" if good else "fail"  # some depend on the order alone
        return json.dumps({"result": "fail" if self.strict else verdict, "rationale": "it says so"})


@contextmanager
def serving() -> Iterator[tuple[str, Behaviour]]:
    """Its address, and what it does."""
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            behaviour.seen.append(body)
            behaviour.headers.append({name.lower(): value for name, value in self.headers.items()})
            message = {"role": "assistant", "content": "" if behaviour.down else behaviour.answer(body)}
            told = {
                "id": "c-1", "object": "chat.completion", "created": 1, "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }  # fmt: skip
            data = json.dumps(told).encode()
            self.send_response(403 if behaviour.down else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", behaviour
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
