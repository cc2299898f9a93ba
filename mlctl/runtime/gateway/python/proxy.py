"""The data path of the Python gateway: an ASGI application that takes a request in, and has an `Exchange` answer it."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import Counter
from urllib.parse import unquote_to_bytes

import aiohttp

from mlctl.rollout.routes import Routes
from mlctl.runtime.gateway import answers as own
from mlctl.runtime.gateway.base import CLOSED_PATHS
from mlctl.runtime.gateway.python.exchange import Exchange, Message, Receive, Send
from mlctl.runtime.gateway.python.router import Router
from mlctl.types.jobs.rollout import GatewaySpec

_IDLE_SECONDS = 2.0  # less than the 5 s after which model servers close an idle connection
_HEADER_BYTES = 60 * 1024
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,1024}")


class Proxy:
    """`spec`, and the routes by `follow`, may be replaced at any time; what is under way ends as it began."""

    def __init__(self, spec: GatewaySpec) -> None:
        self.spec = spec
        self._router: Router | None = None
        self._session: aiohttp.ClientSession | None = None
        self.mirroring: set[asyncio.Task[None]] = set()
        self.requests: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def follow(self, routes: Routes) -> None:
        """Send requests there from now on."""
        self._router = Router(routes)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        exchange = Exchange(self, scope, send, _request_id(scope), self.spec)
        refused = self._refused(scope)
        if refused is None:
            refused = await self._receive(exchange, receive)
        if refused is not None:
            await exchange.answer(refused)
        elif not exchange.gone:
            if self._router is None:
                await exchange.answer(own.UNAVAILABLE)
            else:
                await exchange.run(self._router, receive)

    def count(self, name: str, *, failed: bool) -> None:
        """One more request of a variant, or of a variant with COPIES_MARK."""
        self.requests[name] += 1
        if failed:
            self.errors[name] += 1

    def connections(self) -> aiohttp.ClientSession:
        """To all servers. It belongs to the event loop, and so begins with the first request."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                auto_decompress=False,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
            )
        return self._session

    def _refused(self, scope: Message) -> int | None:
        """The status of a request that is not worth reading."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _HEADER_BYTES:
            return own.HEADERS_TOO_LARGE
        if _plain(scope["raw_path"]).startswith(CLOSED_PATHS):
            return own.CLOSED
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        return own.TOO_LARGE if length.isdigit() and int(length) > self.spec.max_body_bytes else None

    async def _receive(self, exchange: Exchange, receive: Receive) -> int | None:
        """Take the whole body in; the status that refuses it otherwise."""
        chunks, size = [], 0
        try:
            async with asyncio.timeout(own.slow_client_seconds(self.spec)):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        exchange.gone = True
                        return None
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self.spec.max_body_bytes:
                        return own.TOO_LARGE
                    chunks.append(chunk)
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            return own.SLOW
        exchange.body = b"".join(chunks)
        return None


def _request_id(scope: Message) -> bytes:
    """The client's own, or a new one."""
    given: bytes = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4()).encode()


def _plain(path: bytes) -> str:
    """A path as servers understand it: without escapes, doubled slashes and dots, in which a closed path could hide."""
    parts: list[str] = []
    for part in unquote_to_bytes(path).decode("latin-1").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
