"""ASGI middleware in an engine: says which release answers, and lets only its own server manage the engine."""

from __future__ import annotations

import hmac
import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

IDENTITY = "MLCTL_IDENTITY"  # environment: {"deployment", "release", "key", "names"}
MODELS = "/v1/models"
KEY_HEADER = b"x-mlctl-key"
MODEL_HEADER, VERSION_HEADER = b"x-mlctl-model", b"x-mlctl-version"
HEALTH = "/healthz"
# What may be posted: requests that the middleware counts, admits and logs, and some that only compute on texts. Everything else
# changes the engine, or would get around that.
ASKING = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/rerank", "/v1/score",
    "/pooling", "/classify",
)  # fmt: skip
_HARMLESS = ("/tokenize", "/detokenize", "/v1/messages/count_tokens", "/ping")
_MANAGING = (
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/lora-adapters",
    "/slots",
    "/props",
    "/kv_event_sources",
)

_BEGAN = int(time.time())

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """Around an engine's own application."""

    def __init__(self, app: App) -> None:
        who = json.loads(os.environ[IDENTITY])
        self._app = app
        self._key = str(who["key"]).encode()
        self._names = tuple(who.get("names", ()))
        self._who = {"deployment": who["deployment"], "release": who["release"]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or one of the server's own events."""
        path = scope.get("path", "")
        if scope["type"] == "http" and refused(scope["method"], path, known=True) and not self._ours(scope):
            await answer(send, 403, refusal(path))
        elif scope["type"] == "http" and path == HEALTH:
            await answer(send, 200, {**self._who, "ready": await self._healthy(scope, receive)})
        elif scope["type"] == "http" and told(scope["method"], path, self._names) and not self._ours(scope):
            await answer(send, *models(path, self._names))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # nobody would count what goes on there
        else:
            await self._app(scope, receive, send)

    def _ours(self, scope: Scope) -> bool:
        return any(
            name == KEY_HEADER and hmac.compare_digest(value, self._key) for name, value in scope.get("headers", ())
        )

    async def _healthy(self, scope: Scope, receive: Receive) -> bool:
        """What the engine says of itself."""
        status = 0

        async def look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]

        asked = {**scope, "method": "GET", "path": "/health", "raw_path": b"/health"}
        await self._app(asked, receive, look)
        return status == 200


class Versions:
    """Around the middleware: a request that goes to an adapter is one to the version that the adapter's name tells."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or one of the server's own events."""
        if scope["type"] == "http":
            headers = [pair for pair in scope["headers"] if pair[0] != VERSION_HEADER]
            named = next((value for name, value in headers if name == MODEL_HEADER), b"")
            version = named.rpartition(b"-v")[2] if b"-v" in named else b""
            scope = {**scope, "headers": [*headers, (VERSION_HEADER, version)] if version else headers}
        await self._app(scope, receive, send)


def refused(method: str, path: str, *, known: bool) -> bool:
    """Whether a request is one that only the engine's own server may send. `known` is whether we know the engine's paths: what may be
    posted to a program of the project's own choice is not for us to say."""
    plain = path.rstrip("/")
    if plain in _MANAGING or plain.startswith(("/slots/", "/props/")):
        return True
    if not known or method in ("GET", "HEAD", "OPTIONS"):
        return False
    return method != "POST" or plain not in (*ASKING, *_HARMLESS)


def told(method: str, path: str, names: Sequence[str]) -> bool:
    """Whether somebody asks which models there are. An engine says it in names and paths of ours that are nobody's business."""
    return bool(names) and method == "GET" and (path.rstrip("/") == MODELS or path.startswith(f"{MODELS}/"))


def models(path: str, names: Sequence[str]) -> tuple[int, dict[str, Any]]:
    """The status and the answer to that, as OpenAI's API has them: all that may be asked for, or one of them."""
    known = {name: {"id": name, "object": "model", "created": _BEGAN, "owned_by": "mlctl"} for name in names}
    asked = path.rstrip("/")[len(MODELS) + 1 :]
    if not asked:
        return 200, {"object": "list", "data": list(known.values())}
    if asked in known:
        return 200, known[asked]
    message = f"The model `{asked[:200]}` does not exist here: ask for " + " or ".join(f"`{name}`" for name in names)
    error = {"message": message, "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    return 404, {"code": "model_not_found", "message": message, "error": error}


def refusal(path: str) -> dict[str, Any]:
    """What anybody else is told."""
    message = f"{path} is not for clients: a language model is asked at /v1/chat/completions and the like, and managed by mlctl"
    return {
        "code": "predict.not-allowed",
        "message": message,
        "error": {"message": message, "type": "predict.not-allowed", "code": 403},
    }


async def answer(send: Send, status: int, body: dict[str, Any]) -> None:
    """A whole JSON answer."""
    data = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
