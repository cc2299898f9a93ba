"""Answers that are given again: to a request with an equal body, of the same version, within the time to live."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from typing import Any, Protocol

from .settings import Cache

_REDIS_SECONDS = 0.1  # a cache that takes longer is no help
_REST_SECONDS = 1.0  # for how long a Redis that failed is left alone

Json = dict[str, Any]


class Store(Protocol):
    """Where answers are kept. Neither method raises: a cache that fails is a cache without the answer."""

    async def get(self, key: str) -> Json | None:
        """The answer, if it is there and not too old."""
        ...

    async def put(self, key: str, answer: Json) -> None:
        """Keep an answer."""
        ...


class Memory:
    """The answers asked for last, in this process."""

    def __init__(self, settings: Cache) -> None:
        self._settings = settings
        self._entries: OrderedDict[str, tuple[float, Json]] = OrderedDict()

    async def get(self, key: str) -> Json | None:
        """The answer, if it is there and not too old."""
        found = self._entries.get(key)
        if found is None:
            return None
        if time.monotonic() > found[0]:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return found[1]

    async def put(self, key: str, answer: Json) -> None:
        """Keep an answer; the one that was asked for longest ago makes room."""
        self._entries[key] = (time.monotonic() + self._settings.ttl_seconds, answer)
        self._entries.move_to_end(key)
        if len(self._entries) > self._settings.max_entries:
            self._entries.popitem(last=False)


class Redis:
    """Answers that all servers of a deployment share. Redis itself lets the old ones go (`maxmemory-policy`)."""

    def __init__(self, settings: Cache, prefix: str, on_error: Any) -> None:
        import redis.asyncio  # only where it is asked for

        self._client = redis.asyncio.Redis.from_url(
            settings.url or "", socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
        )
        self._failures: tuple[type[BaseException], ...] = (redis.RedisError, OSError, ValueError, TimeoutError)
        self._milliseconds = max(1, round(settings.ttl_seconds * 1000))
        self._prefix = prefix
        self._on_error = on_error
        self._resting_until = 0.0

    async def get(self, key: str) -> Json | None:
        """The answer, if it is there and Redis can be reached."""
        if time.monotonic() < self._resting_until:
            return None
        try:
            stored = await self._client.get(self._prefix + key)
            answer = None if stored is None else json.loads(stored)
        except self._failures:
            self._failed()
            return None
        return answer if isinstance(answer, dict) else None

    async def put(self, key: str, answer: Json) -> None:
        """Keep an answer, if Redis can be reached."""
        if time.monotonic() < self._resting_until:
            return
        try:
            await self._client.set(self._prefix + key, json.dumps(answer), px=self._milliseconds)
        except self._failures:
            self._failed()

    def _failed(self) -> None:
        self._resting_until = time.monotonic() + _REST_SECONDS
        self._on_error()


def key_of(version: str, path: str, body: bytes) -> str | None:
    """What equal requests have in common; None for one whose answer is another each time, or is streamed."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or asked.get("stream"):
        return None
    generates = path.startswith("/v1/") and ("messages" in asked or "prompt" in asked or "input" in asked)
    if generates and path not in _EMBEDDINGS and (asked.get("temperature") != 0 or asked.get("n", 1) != 1):
        return None  # answers are drawn, and who asks twice wants two
    if path.startswith("/v1/"):
        asked.pop("user", None)  # says who asks, and not what; of a model of rows it may be the key
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(
        f"{version}\n{path}\n{canonical}".encode("utf-8", "surrogatepass"), digest_size=20
    ).hexdigest()


_EMBEDDINGS = ("/v1/embeddings", "/v1/rerank", "/v1/score")


def keepable(body: bytes, request_id: str) -> Json | None:
    """An answer as it is kept: without the request's id, which the next one's takes the place of. None when it is no JSON object."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    if answer.get("request_id") == request_id:
        answer["request_id"] = ""
    named = answer.get("id")
    if isinstance(named, str) and named.endswith(request_id):  # chatcmpl-<id>
        answer["id"] = named.removesuffix(request_id)
        answer[_NAMED] = True
    return answer


_NAMED = "mlctl_named"  # in a kept answer: its `id` ends with the request's


def given_again(answer: Json, request_id: str) -> bytes:
    """A kept answer for another request."""
    answer = dict(answer)
    if "request_id" in answer:
        answer["request_id"] = request_id
    if answer.pop(_NAMED, False):
        answer["id"] = f"{answer['id']}{request_id}"
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")
