from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from mlctl.runtime.llm.inside.guard import ASKING, IDENTITY, Guard, Versions, refused
from mlctl.runtime.middleware.settings import PATHS


async def _engine(scope: Any, receive: Any, send: Any) -> None:
    status = 503 if scope.get("sick") else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"the engine"})


def ask(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, key: bytes = b"", names: Sequence[str] = (), **more: Any
) -> tuple[int, bytes]:
    monkeypatch.setenv(IDENTITY, json.dumps({"deployment": "chat", "release": "3", "key": "the-key", "names": names}))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"x-mlctl-key", key)] if key else [], **more}
    asyncio.run(Guard(_engine)(scope, None, send))  # type: ignore[arg-type]
    return sent[0]["status"], sent[1]["body"]


def test_only_the_server_that_has_the_key_manages_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/v1/load_lora_adapter"
    assert ask(monkeypatch, "POST", path)[0] == 403
    assert ask(monkeypatch, "POST", path, b"another")[0] == 403
    assert ask(monkeypatch, "POST", path, b"the-key") == (200, b"the engine")


def test_it_says_which_release_answers_and_how_the_engine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    status, body = ask(monkeypatch, "GET", "/healthz")
    assert (status, json.loads(body)) == (200, {"deployment": "chat", "release": "3", "ready": True})
    assert json.loads(ask(monkeypatch, "GET", "/healthz", sick=True)[1])["ready"] is False


def test_it_lists_what_may_be_asked_for_and_no_paths_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("helper", "helper_api")
    status, body = ask(monkeypatch, "GET", "/v1/models", names=names)
    found = json.loads(body)
    assert (status, found["object"], [item["id"] for item in found["data"]]) == (200, "list", ["helper", "helper_api"])
    assert {*found["data"][0]} == {"id", "object", "created", "owned_by"}
    assert json.loads(ask(monkeypatch, "GET", "/v1/models/helper", names=names)[1])["id"] == "helper"
    status, body = ask(monkeypatch, "GET", "/v1/models/helper-v1", names=names)
    assert (status, json.loads(body)["error"]["code"]) == (404, "model_not_found")
    assert ask(monkeypatch, "GET", "/v1/models", b"the-key", names=names) == (200, b"the engine")  # for adapters
    assert ask(monkeypatch, "GET", "/v1/models") == (200, b"the engine")  # of a program that we know nothing about


@pytest.mark.parametrize(
    ("method", "path", "known", "told"),
    [
        ("POST", "/v1/chat/completions", True, False),
        ("POST", "/v1/chat/completions/", True, False),
        ("POST", "/tokenize", True, False),
        ("GET", "/v1/models", True, False),
        ("POST", "/v1/chat/completions/batch", True, True),  # nobody would count it
        ("POST", "/inference/v1/generate", True, True),
        ("DELETE", "/adapters/helper", True, True),
        ("POST", "/sleep", True, True),
        ("POST", "/my/own/path", False, False),
        ("POST", "/v1/load_lora_adapter/", False, True),
        ("GET", "/slots", False, True),
        ("POST", "/slots/0", False, True),
    ],
)
def test_what_would_get_around_the_counts_is_refused(method: str, path: str, known: bool, told: bool) -> None:
    assert refused(method, path, known=known) is told


def test_what_may_be_asked_is_what_the_middleware_counts() -> None:
    assert {*ASKING} == {*PATHS} - {"/predict"}


@pytest.mark.parametrize(
    ("model", "version"), [(b"helper-v12", b"12"), (b"top-vision-v3", b"3"), (b"helper-base", b""), (b"", b"")]
)
def test_an_adapters_name_tells_the_version_and_a_client_does_not(model: bytes, version: bytes) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]))

    headers = [(b"x-mlctl-version", b"99"), *([(b"x-mlctl-model", model)] if model else [])]
    asyncio.run(Versions(app)({"type": "http", "headers": headers}, None, None))  # type: ignore[arg-type]
    assert seen[0].get(b"x-mlctl-version", b"") == version
