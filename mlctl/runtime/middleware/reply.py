"""The answer on its way to the client."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from . import trace
from .answers import Answer
from .call import REQUEST_ID_HEADER, Call

Message = MutableMapping[str, Any]

_OURS = (REQUEST_ID_HEADER, trace.HEADER)
_MOST_KEPT = 1024 * 1024  # bytes of an answer that the cache takes


class Reply:
    """Passes an application's messages on, and looks at them. `started` says whether the client has seen any of it."""

    __slots__ = ("_answer", "_closing", "_kept", "_said", "_send", "_size", "call", "language", "limit", "started")

    def __init__(
        self, call: Call, send: Callable[[Message], Awaitable[None]], language: bool, *, closing: bool = False
    ) -> None:
        self.call = call
        self._closing = closing  # whether the connection ends with it
        self.language = language  # whether a language model answers, whose answer is looked into
        self.started = False
        self.limit: asyncio.Timeout | None = None  # of the time until the answer begins
        self._send = send
        self._answer: Answer | None = None
        self._said: dict[str, Any] | None = None
        self._kept: list[bytes] | None = None
        self._size = 0

    async def __call__(self, message: Message) -> None:
        """One message of the application's."""
        if message["type"] == "http.response.start":
            self._start(message)
        elif message["type"] == "http.response.body":
            chunk = message.get("body", b"")
            if self._answer is not None:
                self._answer.feed(chunk)
            if self._kept is not None:
                self._take(chunk)
        await self._send(message)

    def keep(self) -> None:
        """Remember the answer, for the cache."""
        self._kept = []

    def kept(self) -> bytes | None:
        """The whole answer, if it is one that may be given again."""
        return b"".join(self._kept) if self._kept and self.call.code == 200 else None

    def said(self) -> dict[str, Any] | None:
        """What a language model answered; its text goes into the call."""
        if self._answer is not None:
            self._said = self._answer.result()
            if self._said is not None:
                self.call.said = self._answer.text()
            self.call.outcome = self._answer.outcome()
            self._answer = None
        return self._said

    async def json(self, code: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answer in the application's place."""
        length = (b"content-length", str(len(body)).encode())
        start: Message = {
            "type": "http.response.start", "status": code, "headers": [(b"content-type", b"application/json"), length, *headers],
        }  # fmt: skip
        self._start(start)
        self._answer = self._kept = None
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(
        self,
        status: int,
        code: str,
        message: str,
        *,
        close: bool = False,
        retry_after: float | None = None,
        param: str | None = None,
    ) -> None:
        """Say why there is no prediction, in our own form and in that of OpenAI's clients. `param` is what of the request is wrong."""
        self.limit = None  # it is over: by its end, or by that of the request
        said: dict[str, Any] = {"code": code, "message": message, "request_id": self.call.request_id}
        if self.language and param is not None:
            said["error"] = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        elif self.language:
            said["error"] = {"message": message, "type": code, "code": status}
        headers = [(b"connection", b"close")] if close else []
        if retry_after is not None:
            headers.append((b"retry-after", str(max(1, math.ceil(retry_after))).encode()))
        await self.json(status, json.dumps(said).encode(), tuple(headers))

    def _start(self, message: Message) -> None:
        call = self.call
        self.started = True
        if self.limit is not None:
            self.limit.reschedule(None)
        call.code = message["status"]
        headers = list(message.get("headers", ()))
        if self.language:
            kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
            streamed = kind.startswith(b"text/event-stream")
            if streamed:
                self._kept = None
            if call.code == 200 and (streamed or kind.startswith(b"application/json")):
                self._answer = Answer(streamed, call.started)
            headers = [item for item in headers if item[0].lower() not in _OURS]
        headers += ((REQUEST_ID_HEADER, call.request_id.encode()), (trace.HEADER, call.trace.header))
        if self._closing and all(name.lower() != b"connection" for name, _ in headers):
            headers.append((b"connection", b"close"))
        if call.cached is not None:
            headers.append((b"x-mlctl-cache", call.cached.encode()))
        message["headers"] = headers

    def _take(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._kept is not None and self._size <= _MOST_KEPT:
            self._kept.append(chunk)
        else:
            self._kept = None
