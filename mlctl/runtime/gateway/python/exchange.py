"""One request on its way through the Python gateway, and its answer on the way back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from mlctl.rollout.routes import Backend
from mlctl.runtime.gateway import answers as own
from mlctl.runtime.gateway.base import RETRY_AFTER_SECONDS, SHADOW_SUFFIX
from mlctl.runtime.gateway.python.router import OWN_HEADERS, Choice, Headers, Router
from mlctl.runtime.gateway.units import text_of
from mlctl.types.jobs.rollout import RECEIVED_HEADER, GatewaySpec

if TYPE_CHECKING:
    from mlctl.runtime.gateway.python.proxy import Proxy

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

COPIES_MARK = "/copies"  # after the variant that they are counted of
_RECEIVED = RECEIVED_HEADER.encode()
_CONNECT_SECONDS = 2.0
_BACK_OFF_SECONDS = 0.025
_MIRRORED_AT_ONCE = 256  # a shadow that is slower than the traffic must not pile it up
# Of one connection, and not of the message that goes through it.
_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect")
)
_NOT_SENT = _HOP | OWN_HEADERS | {b"content-length", b"x-request-id", b"x-forwarded-proto"}
_NOT_RETURNED = _HOP | {b"date", b"x-request-id"}


def shadow_host(host: bytes) -> bytes:
    """The Host of a copy, as Envoy writes it: `name-shadow:8000`."""
    name, mark, port = host.rpartition(b":")
    if mark and port.isdigit():
        return name + SHADOW_SUFFIX.encode() + mark + port
    return host + SHADOW_SUFFIX.encode()


class Exchange:
    """The state of one request."""

    def __init__(self, proxy: Proxy, scope: Message, send: Send, request_id: bytes, spec: GatewaySpec) -> None:
        self._proxy = proxy
        self._scope = scope
        self._send = send
        self._request_id = request_id
        self._spec = spec
        self._received = time.time()
        self._begun = False
        self._ended = False
        self._counts_as = ("", False)  # the variant, and whether another one answers for it
        self.gone = False  # the client has left
        self.body = b""

    async def run(self, router: Router, receive: Receive) -> None:
        """Have a server answer. When the client leaves, the server is left too."""
        choice = router.choose(self._scope["headers"])
        headers = self._forwarded()
        if router.copied(choice) and len(self._proxy.mirroring) < _MIRRORED_AT_ONCE:
            self._mirror(router, headers)
        working = asyncio.current_task()
        assert working is not None  # noqa: S101
        watching = asyncio.create_task(self._watch(receive, working))
        try:
            await self._try_all(choice, headers)
        except asyncio.CancelledError:
            if not self.gone:
                raise
            working.uncancel()
        finally:
            watching.cancel()

    async def answer(self, status: int) -> None:
        """Answer by ourselves."""
        code, message = own.answers(self._spec)[status]
        body = json.dumps({"code": code, "message": message, "request_id": self._request_id.decode()}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", self._request_id),
        ]
        if status == own.UNAVAILABLE:
            headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
        if status in (own.TOO_LARGE, own.SLOW):
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self._ended = True
        await self._send({"type": "http.response.body", "body": body})

    async def _try_all(self, choice: Choice, headers: Headers) -> None:
        """Once more, by the next who may answer, when no connection could be made: then nothing was sent yet."""
        for number, (variant, backend) in enumerate(choice.backends):
            if number:
                await asyncio.sleep(_BACK_OFF_SECONDS)
            self._counts_as = (choice.variant, variant != choice.variant)
            try:
                await self._pass_on(backend, [*headers, *choice.labels(variant, backend)])
                return
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                continue
        self._count(own.UNAVAILABLE)
        await self.answer(own.UNAVAILABLE)

    def _count(self, status: int | None) -> None:
        """Before the client has its whole answer, so that it finds itself counted. None is an answer that was cut off."""
        variant, by_another = self._counts_as
        self._proxy.count(variant, failed=status is None or status >= 500 or by_another)

    async def _pass_on(self, backend: Backend, headers: Headers) -> None:
        """One try. Raises ClientConnectorError or ConnectionTimeoutError when nothing was sent."""
        try:
            async with self._asked(backend, headers) as answer:
                named = [(name.lower(), value) for name, value in answer.raw_headers]
                returned = [item for item in named if item[0] not in _NOT_RETURNED]
                returned.append((b"x-request-id", self._request_id))
                await self._send({"type": "http.response.start", "status": answer.status, "headers": returned})
                self._begun = True
                async for chunk in answer.content.iter_any():
                    await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
                self._count(answer.status)
                self._ended = True
                await self._send({"type": "http.response.body", "body": b""})
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if self._ended:
                return
            status = own.TIMEOUT if isinstance(error, TimeoutError) else own.UNAVAILABLE
            self._count(None if self._begun else status)
            if (
                not self._begun
            ):  # what has begun is left without its end: the connection is closed, and the client knows
                await self.answer(status)

    def _mirror(self, router: Router, headers: Headers) -> None:
        """Send a copy, beside all else, and forget its answer."""
        mirror = router.routes.mirror
        assert mirror is not None  # noqa: S101
        backend = router.routes.backends[mirror.variant]
        shadow = Choice(mirror.variant, ((mirror.variant, backend),), None, None)
        copy = [(name, shadow_host(value) if name == b"host" else value) for name, value in headers]
        task = asyncio.create_task(
            self._copy(mirror.variant, backend, [*copy, *shadow.labels(mirror.variant, backend)])
        )
        self._proxy.mirroring.add(task)
        task.add_done_callback(self._proxy.mirroring.discard)

    async def _copy(self, variant: str, backend: Backend, headers: Headers) -> None:
        failed = True
        try:
            async with self._asked(backend, headers) as answer:
                async for _ in answer.content.iter_any():
                    pass
                failed = answer.status >= 500
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass  # nobody waits for it
        self._proxy.count(variant + COPIES_MARK, failed=failed)

    def _asked(self, backend: Backend, headers: Headers) -> Any:
        """The request to a server. There is a limit on how long nothing comes, and none on a whole answer."""
        query = self._scope["query_string"]
        target = self._scope["raw_path"] + (b"?" + query if query else b"")
        host = f"[{backend.host}]" if ":" in backend.host else backend.host
        return self._proxy.connections().request(
            self._scope["method"],
            URL(f"http://{host}:{backend.port}{target.decode('latin-1')}", encoded=True),
            headers=[(name.decode("latin-1"), text_of(value)) for name, value in headers],
            data=self.body or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=self._spec.timeout_seconds
            ),
        )

    def _forwarded(self) -> list[tuple[bytes, bytes]]:
        """The client's headers as servers get them."""
        headers = [(name, value) for name, value in self._scope["headers"] if name not in _NOT_SENT]
        client = (self._scope.get("client") or ("",))[0].encode()
        before = [value for name, value in headers if name == b"x-forwarded-for"]
        headers = [item for item in headers if item[0] != b"x-forwarded-for"]
        if self._spec.traced:
            headers = [item for item in headers if item[0] != _RECEIVED]
            headers.append((_RECEIVED, f"{self._received:.6f}".encode()))
        headers.append((b"x-forwarded-for", b",".join([*before, client])))
        return [*headers, (b"x-forwarded-proto", b"http"), (b"x-request-id", self._request_id)]

    async def _watch(self, receive: Receive, working: asyncio.Task[Any]) -> None:
        """After the body there is only one thing that a client still can say: that it leaves."""
        while (await receive())["type"] != "http.disconnect":
            pass
        if not self._ended:
            self.gone = True
            working.cancel()
