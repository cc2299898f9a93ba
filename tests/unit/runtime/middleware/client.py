"""Ask a middleware without a network, as a server would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from mlctl.runtime.middleware import STATE, Call, Middleware, Settings

Body = bytes | Sequence[bytes]


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: Any,
    body: Body = b"{}",
    headers: Iterable[tuple[str, str]] = (),
    path: str = "/predict",
    method: str = "POST",
    before_each: Callable[[], Awaitable[None]] | None = None,
) -> Answer:
    """One request; a body of several parts comes in several messages, and ends without the last one saying so when that is None."""
    parts = [body] if isinstance(body, bytes) else list(body)
    given = [(name.encode(), value.encode()) for name, value in headers]
    answer = Answer()

    async def receive() -> Any:
        if before_each is not None:
            await before_each()
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    await app({"type": "http", "method": method, "path": path, "headers": given}, receive, send)
    return answer


def settings(**changed: Any) -> Settings:
    return Settings(**{"deployment": "api", "model": "shops", "version": "3", "behind_gateway": True, **changed})


def around(app: Any, **changed: Any) -> Middleware:
    return Middleware(app, settings(**changed), CollectorRegistry())


def echo(status: int = 200, **said: Any) -> Any:
    """An application that answers with what it is asked, and tells the middleware of one row."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        call: Call = scope["state"][STATE]
        asked = json.loads(call.body)
        call.rows = [{"key": {"id": 1}, "features": {"a": 2.0}, "score": 0.25, "prediction": 0}]
        call.predictions, call.scores, call.missing = 1, [0.25], ["b"]
        app.calls += 1
        await respond(send, {"asked": asked, "request_id": call.request_id, **said}, status)

    app.calls = 0
    return app


async def respond(send: Any, value: Any, status: int = 200) -> None:
    body = json.dumps(value).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def run(work: Awaitable[Any]) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(10):
            return await work

    return asyncio.run(main())


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
