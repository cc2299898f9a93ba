"""The middleware itself."""

from __future__ import annotations

import asyncio
import atexit
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry

from . import cache as caching
from . import record, spans, trace
from .call import CANDIDATE, REQUEST_ID_HEADER, STABLE, STATE, Call
from .content import Content
from .exporter import Exporter
from .log import PredictionWriter
from .metrics import Counts
from .record import answer_row, log_rows
from .reply import Reply
from .room import Full, Room
from .settings import OPEN, Settings
from .stats import StatsFile
from .tally import Json, Tally

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SWALLOWED = 8  # times the limit
_OURS = "/predict"  # answered by mlctl's own server, which says itself what it predicted


class Refused(Exception):
    """A request that the application never sees."""

    def __init__(self, status: int, code: str, message: str, *, close: bool = False, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.close, self.param = status, code, message, close, param


class Gone(Exception):
    """The client went away before its request was read."""


class Middleware:
    """Around a model server's application. `close` writes what is left; a server that runs lifespans does it by itself."""

    def __init__(self, app: App, settings: Settings | None = None, registry: CollectorRegistry = REGISTRY) -> None:
        self.settings = settings = settings or Settings.from_environment()
        self.tally = Tally()
        self.draining = False  # whether clients are told to connect anew: to the successor
        self._app = app
        self._paths = frozenset(settings.paths)
        self._open = frozenset(OPEN)
        self._secret = None if settings.token is None else f"Bearer {settings.token}".encode()
        self._room = Room(settings.limits, self.tally)
        self._cache = self._open_cache()
        self._stats = None if settings.folder is None else StatsFile(Path(settings.folder), self.tally)
        self._log = None
        if settings.log_folder is not None:
            self._log = PredictionWriter(Path(settings.log_folder), self._dropped, keep_days=settings.log_days)
        self._unit = None if settings.unit_header is None else settings.unit_header.lower().encode()
        self._sample = 0.0 if settings.traces is None else settings.traces.sample
        self._spans = self._open_exporter()
        registry.register(Counts(settings, self.counts, self.tally))
        atexit.register(self.close)

    def counts(self) -> Json:
        """What all processes of this server have counted."""
        return (
            self._stats.all() if self._stats is not None else {"process": {"cpu_seconds": 0.0}, **self.tally.to_json()}
        )

    def close(self) -> None:
        """Write the rest of the log, and the counts. May be called twice."""
        atexit.unregister(self.close)
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._spans is not None:
            self._spans.close()
            self._spans = None
        if self._stats is not None:
            self._stats.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or one of the server's own events."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            self.close()
            return
        path = scope["path"]
        if self._secret is not None and path not in self._open and not self._authorized(scope):
            self.tally.unauthorized += 1
            await _turn_away(kind, send)
        elif kind == "http" and scope["method"] == "POST" and path in self._paths:
            await self._predict(scope, receive, send, path)
        elif kind == "http":
            await self._pass_on(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is no prediction: nobody may fill the memory with its body."""
        most = self.settings.max_body_bytes
        if _declared(scope) > most:
            refused = _too_large(most)
            reply = Reply(Call(scope["headers"]), send, language=True)
            await reply.refuse(refused.status, refused.code, refused.message, close=True)
        else:
            await self._app(scope, _bounded(receive, most), send)

    async def _predict(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        settings, language = self.settings, path != _OURS
        gateway = settings.behind_gateway
        call = Call(scope["headers"], self._unit, self._sample, behind_gateway=gateway, adapters=language)
        scope.setdefault("state", {})[STATE] = call
        reply = Reply(call, send, language, closing=self.draining)
        reading = True
        try:
            async with asyncio.timeout(_least(settings.body_seconds, settings.timeout_seconds)) as limit:
                call.body = await _body(scope, receive, settings.max_body_bytes)
                reading = False
                reply.limit = limit if reply.language else None  # ours begins and ends its answer at once
                limit.reschedule(_at(settings.timeout_seconds))
                key = await self._answer(scope, receive, reply, path)
            call.seconds = time.perf_counter() - call.started
            if key is not None:
                await self._keep(key, reply)  # the client has its answer already
        except Refused as refused:
            await reply.refuse(refused.status, refused.code, refused.message, close=refused.close, param=refused.param)
        except Full:
            self.tally.rejected += 1
            seconds = self._room.retry_after_seconds
            await reply.refuse(503, "predict.overloaded", "the server is full; try again later", retry_after=seconds)
        except TimeoutError:
            if not limit.expired() or reply.started:
                call.code = call.code or 500
                raise
            if reading:
                await reply.refuse(408, "predict.slow-request", "the request did not arrive in time", close=True)
            else:
                await reply.refuse(504, "predict.timeout", f"no prediction within {settings.timeout_seconds:g} s")
        except Gone:
            call.code = 499
        except BaseException:
            call.code = call.code if reply.started else 500
            raise
        else:
            call.code = call.code or 499  # without an answer an application only goes when its client has gone
        finally:
            self._account(call, reply, path)

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply, path: str) -> str | None:
        """Out of the cache, or by the application once there is room; then the key that the answer may be kept by, if any."""
        call = reply.call
        if reply.language:
            _prepare(scope, call, self.settings.names, traced=self._spans is not None)
        key = None
        if self._cache is not None:
            # our own version always: what a header says of it is not to be had by one who asks another version
            version = f"{self.settings.version} {call.version or ''} {call.adapter or ''}"
            key = caching.key_of(version, path, call.body)
        if key is not None and self._cache is not None:
            found = await self._cache.get(key)
            if found is not None:
                call.cached, call.rows, call.answer, call.said = "hit", found["rows"], found["said"], found.get("text")
                await reply.json(200, caching.given_again(found["answer"], call.request_id))
                return None
            call.cached = "miss"
            reply.keep()
        entered = time.perf_counter()
        await self._room.enter()
        call.begun = time.perf_counter()
        if self.settings.limits is not None:
            call.waited = call.begun - entered
        try:
            await self._app(scope, _replay(call.body, receive), reply)
        finally:
            self._room.leave()
        return key

    async def _keep(self, key: str, reply: Reply) -> None:
        """Put an answer into the cache, unless it is an error, or made of what stands in for something else."""
        call, kept = reply.call, reply.kept()
        answer = None if kept is None or not call.lasting else caching.keepable(kept, call.request_id)
        if answer is not None and self._cache is not None:
            rows = [{**row, "features": None} for row in call.rows]
            await self._cache.put(key, {"answer": answer, "rows": rows, "said": reply.said(), "text": call.said})

    def _account(self, call: Call, reply: Reply, path: str) -> None:
        """Count the request, and log it."""
        seconds = call.seconds or time.perf_counter() - call.started
        counted = self.tally.variant(call.variant, call.shadow, call.version or "")
        counted.request(call.code, seconds, call.waited)
        if call.cached == "hit":
            counted.hits += 1
        else:
            counted.misses += call.cached == "miss"
            counted.predictions += call.predictions
            if call.scores:
                counted.scored(call.scores)
            for name in call.missing:
                counted.missing[name] = counted.missing.get(name, 0) + 1
            call.answer = reply.said()
            if call.answer is not None:
                counted.answered(call.answer, seconds)
            if call.outcome is not None:
                counted.ended(*call.outcome)
        sampled = self._spans is not None and call.trace.sampled
        if sampled:
            counted.exemplar(seconds, call.trace.trace_id)
        content = Content(call.body, call.said, self.settings.capture) if reply.language else None
        if self._log is not None and content is not None:
            row = partial(answer_row, call, self.settings, seconds, content, record.now())
            self._log.write(row, content.size)
        elif self._log is not None:
            for line in log_rows(call, self.settings, seconds):
                self._log.write(line)
        if self._spans is not None and sampled:
            epoch = time.time_ns() - time.perf_counter_ns()
            size = 0 if content is None else content.size
            self._spans.send(partial(spans.spans_of, call, self.settings, path, seconds, epoch, content), size)

    def _authorized(self, scope: Scope) -> bool:
        """Whoever has the token. It is compared in a time that says nothing of it."""
        given = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                given = value
        return hmac.compare_digest(given, self._secret or b"")

    def _open_exporter(self) -> Exporter | None:
        traces, tally = self.settings.traces, self.tally
        if traces is None:
            return None

        def sent(number: int) -> None:
            tally.spans_sent += number

        def dropped(number: int) -> None:
            tally.spans_dropped += number

        who, scope = spans.resource(self.settings), (spans.SCOPE, self.settings.version)
        return Exporter(traces.endpoint, traces.headers, who, scope, sent, dropped)

    def _open_cache(self) -> caching.Store | None:
        settings = self.settings
        if settings.cache is None:
            return None
        if settings.cache.url is None:
            return caching.Memory(settings.cache)
        prefix = f"mlctl:{settings.deployment}:{settings.model}:{settings.cache.scope}:"
        return caching.Redis(settings.cache, prefix, self._cache_failed)

    def _cache_failed(self) -> None:
        self.tally.cache_errors += 1

    def _dropped(self, rows: int) -> None:
        self.tally.dropped += rows


async def _body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The body, read only up to the limit. Raises Refused and Gone."""
    if (declared := _declared(scope)) > most:
        # what is a little too large the server reads and throws away: many clients hear an answer only after all is sent
        raise _too_large(most, close=declared > _SWALLOWED * most)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        if len(whole) > most:
            raise _too_large(most)
        return whole
    parts, size = [], 0
    while message["type"] == "http.request":
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()
    raise Gone


def _declared(scope: Scope) -> int:
    """How long a body is by its header, 0 where that says nothing."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _bounded(receive: Receive, most: int) -> Receive:
    """A body up to the limit; one that goes on ends like that of a client who went away."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return {"type": "http.disconnect"} if size > most else message

    return counted


def _too_large(most: int, *, close: bool = True) -> Refused:
    return Refused(413, "predict.too-large", f"the body is larger than {most} bytes", close=close)


def _prepare(scope: Scope, call: Call, names: Sequence[str], *, traced: bool) -> None:
    """The request as the application is to see it: with its id, in its trace, and for the adapter that the gateway chose.

    Raises Refused when it is for a model that is not among the names.
    """
    headers = scope["headers"]
    named = call.request_id.encode()
    if (REQUEST_ID_HEADER, named) not in headers:
        headers = [*((name, value) for name, value in headers if name != REQUEST_ID_HEADER), (REQUEST_ID_HEADER, named)]
    if traced:
        headers = [
            *((name, value) for name, value in headers if name != trace.HEADER),
            (trace.HEADER, call.trace.header),
        ]
    if call.adapter is not None or names:
        try:
            asked = json.loads(call.body)
        except (ValueError, RecursionError):
            asked = None  # the application will say what is wrong with it
        # between arms nobody who asks knows which model will answer, and all of them would have to go by one name
        if isinstance(asked, dict) and names and call.variant in (STABLE, CANDIDATE):
            _refuse_unknown(asked.get("model"), [*names, call.adapter])
        if isinstance(asked, dict) and call.adapter is not None:
            call.body = json.dumps({**asked, "model": call.adapter}).encode()
            length = (b"content-length", str(len(call.body)).encode())
            dropped = (b"content-length", b"transfer-encoding")
            headers = [*((name, value) for name, value in headers if name not in dropped), length]
    scope["headers"] = headers


def _refuse_unknown(model: Any, names: Sequence[str | None]) -> None:
    """Raise Refused for a model by another name. One without a name is the only model there is."""
    if isinstance(model, str) and model and model not in names:
        known = " or ".join(f"`{name}`" for name in names if name is not None)
        message = f"The model `{model[:200]}` does not exist here: ask for {known}"
        raise Refused(404, "model_not_found", message, param="model")


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body once more, and then whatever else the client sends: that it went away."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _turn_away(kind: str, send: Send) -> None:
    """Say that the token is missing or wrong."""
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    message = "send the header `Authorization: Bearer ...` with the server's token"
    body = json.dumps({"code": "predict.unauthorized", "message": message, "error": {"message": message}}).encode()
    headers = [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"www-authenticate", b"Bearer"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _least(*seconds: float | None) -> float | None:
    return min((item for item in seconds if item is not None), default=None)


def _at(seconds: float | None) -> float | None:
    return None if seconds is None else asyncio.get_running_loop().time() + seconds
