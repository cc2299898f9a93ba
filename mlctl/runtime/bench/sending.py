"""Send one request and time it: answers in one piece, and streams of tokens."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass

import aiohttp


@dataclass(slots=True)
class Answer:
    """What came of one request. `seconds` counts from when it was due."""

    status: str  # the HTTP status, or what went wrong
    seconds: float
    good: bool = False
    ttft: float | None = None
    tokens: int = 0
    prompt_tokens: int | None = None
    decoding: float = 0.0  # from the first token to the last


class Sender:
    """A client of one deployment with connections that stay open."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, streaming: bool) -> None:
        self._session = session
        self._url = url
        self._streaming = streaming

    async def send(self, body: bytes, due: float) -> Answer:
        """Post a body; `due` is on the monotonic clock. Never raises for what the server or the network does."""
        try:
            async with self._session.post(self._url, data=body) as response:
                if response.status != 200:
                    await response.read()
                    return Answer(str(response.status), time.perf_counter() - due)
                if self._streaming:
                    return await self._stream(response, due)
                return _whole(await response.read(), Answer("200", time.perf_counter() - due, good=True))
        except TimeoutError:
            return Answer("timeout", time.perf_counter() - due)
        except aiohttp.ClientConnectorError:
            return Answer("refused", time.perf_counter() - due)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # the last: no JSON, or a line without end
            return Answer(f"broken ({type(error).__name__})", time.perf_counter() - due)

    async def _stream(self, response: aiohttp.ClientResponse, due: float) -> Answer:
        """Follow server-sent events up to `[DONE]`. Tokens are what `usage` says, or the pieces that held text."""
        answer, pieces, first, last, ended = Answer("200", 0.0), 0, None, None, False
        async for line in response.content:
            data = line.strip().removeprefix(b"data:").strip()
            if data == b"[DONE]":
                ended = True
            if not data.startswith(b"{"):
                continue
            event = json.loads(data)
            _used(event, answer)
            if any(_text(choice) for choice in event.get("choices") or ()):
                last = time.perf_counter()
                first = first or last
                pieces += 1
        answer.seconds = time.perf_counter() - due
        answer.tokens = answer.tokens or pieces
        if first is not None and last is not None:
            answer.ttft, answer.decoding = first - due, last - first
        answer.good = ended
        if not ended:
            answer.status = "cut off"
        return answer


def _whole(body: bytes, answer: Answer) -> Answer:
    """An answer in one piece; one of a language model says how long it is. It is good also when we cannot read that: a stream that
    is asked for among others is taken as a whole."""
    if b'"usage"' in body:
        with suppress(ValueError, RecursionError):
            _used(json.loads(body), answer)
    return answer


def _used(event: object, answer: Answer) -> None:
    """Note the tokens that an event or a whole answer tells."""
    usage = event.get("usage") if isinstance(event, dict) else None
    if isinstance(usage, dict):
        answer.tokens = _whole_number(usage.get("completion_tokens")) or answer.tokens
        prompt = _whole_number(usage.get("prompt_tokens"))
        answer.prompt_tokens = answer.prompt_tokens if prompt is None else prompt


def _whole_number(value: object) -> int | None:
    return value if type(value) is int else None


def _text(choice: dict[str, object]) -> bool:
    delta = choice.get("delta")
    return bool(choice.get("text") or (isinstance(delta, dict) and delta.get("content")))
