"""The server in front of an engine: it holds the deployment's port, and passes requests and streams on as they come.

The engine may be gone for a moment or not know how to drain; whoever asks here gets an answer of ours then. What counts,
logs and admits requests is the middleware around this application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import aiohttp

from mlctl.runtime.llm.inside.guard import HEALTH, KEY_HEADER, answer, models, refusal, refused, told
from mlctl.runtime.middleware.call import MODEL_HEADER, VERSION_HEADER
from mlctl.types.jobs.llm import Adapter

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

METRICS = "/metrics"
_CONNECT_SECONDS = 5.0
_LATER_SECONDS = 1.0  # the middleware says first that an answer did not begin in time; we, that it does not go on
# of one connection, and so not passed on; `host` is the engine's own, and no encoding that we would have to undo is asked for
_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer", b"transfer-encoding",
     b"upgrade", b"host", b"content-length", b"accept-encoding", b"expect", b"authorization", KEY_HEADER)
)  # fmt: skip
_HOP_BACK = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"server", b"date"))


class Front:
    """The application behind the middleware. `close` ends its connections to the engine."""

    def __init__(
        self,
        url: str,
        key: str,
        who: dict[str, str],
        timeout_seconds: float,
        ready: Callable[[], bool],
        *,
        known: bool,
        names: Sequence[str] = (),
    ) -> None:
        self._names = names  # what requests may call the model, where we know it
        self._url, self._who, self._timeout, self._ready, self._known = url, who, timeout_seconds, ready, known
        self._bearer = {"Authorization": f"Bearer {key}"}  # our own: who may ask us, the middleware has seen to
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        path = scope["path"]
        if refused(scope["method"], path, known=self._known):
            await answer(send, 403, refusal(path))
        elif path == HEALTH:
            await answer(send, 200, {**self._who, "ready": self._ready()})
        elif told(scope["method"], path, self._names):
            await answer(send, *models(path, self._names))
        elif path == METRICS:
            await self._metrics(send)
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask the engine, and give its answer piece by piece. A client that goes away ends its request there too."""
        body = await _body(receive)
        if body is None:
            return
        asking = asyncio.ensure_future(self._ask(scope, body, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((asking, leaving), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                await asking
        finally:
            for task in (asking, leaving):
                task.cancel()
            await asyncio.gather(asking, leaving, return_exceptions=True)

    async def _ask(self, scope: Scope, body: bytes, send: Send) -> None:
        started = False
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"] if name not in _HOP
        ]
        query = scope.get("query_string", b"")
        target = scope.get("raw_path", scope["path"].encode()).decode("latin-1") + (
            f"?{query.decode('latin-1')}" if query else ""
        )
        try:
            async with self._connections().request(
                scope["method"], self._url + target, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                kept = [(name.lower(), value) for name, value in response.raw_headers if name.lower() not in _HOP_BACK]
                await send({"type": "http.response.start", "status": response.status, "headers": kept})
                started = True
                async for chunk in response.content.iter_any():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:  # the engine's silence: aiohttp's own is one, and an OSError as well
            if started:
                raise
            await answer(send, 504, _said("predict.timeout", f"the engine said nothing for {self._timeout:g} s"))
        except (aiohttp.ClientError, OSError) as error:
            if started:
                raise
            await answer(send, 503, _said("predict.engine-gone", f"the engine does not answer: {type(error).__name__}"))

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=_CONNECT_SECONDS, sock_read=self._timeout + _LATER_SECONDS
                ),
                headers=self._bearer,
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session

    async def _metrics(self, send: Send) -> None:
        """Our own figures, and those of the engine when it has some."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        text = generate_latest()
        try:
            async with self._connections().get(self._url + METRICS) as response:
                if response.status == 200:
                    text += await response.read()
        except (aiohttp.ClientError, OSError):
            pass
        headers = [(b"content-type", CONTENT_TYPE_LATEST.encode()), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})


class Named:
    """Around the middleware: says which adapter answers, if one does. What a client says of that is not believed."""

    def __init__(self, app: App, adapter: Adapter | None) -> None:
        self._app = app
        self._named: list[tuple[bytes, bytes]] = []
        if adapter is not None:
            self._named = [(MODEL_HEADER, adapter.name.encode()), (VERSION_HEADER, adapter.version.encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or one of the server's own events."""
        if scope["type"] == "http":
            headers = [pair for pair in scope["headers"] if pair[0] not in (MODEL_HEADER, VERSION_HEADER)]
            scope = {**scope, "headers": [*headers, *self._named]}
        await self._app(scope, receive, send)


async def _body(receive: Receive) -> bytes | None:
    """The whole request; None when the client went away in the middle of it. The middleware has seen to its size."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _left(receive: Receive) -> None:
    """Return when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _said(code: str, message: str) -> dict[str, Any]:
    """A refusal in our own form and in that of OpenAI's clients."""
    return {"code": code, "message": message, "error": {"message": message, "type": code, "code": code}}
