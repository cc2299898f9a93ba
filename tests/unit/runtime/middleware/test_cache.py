from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mlctl.runtime.middleware import STATE, Cache, Middleware
from mlctl.runtime.middleware.cache import key_of
from tests.unit.runtime.middleware.client import Answer, around, ask, echo, respond, rows, run, settings

CHAT = "/v1/chat/completions"


def test_an_equal_request_gets_the_same_answer_under_its_own_id(tmp_path: Path) -> None:
    inner = echo()
    app = around(inner, cache=Cache(60), log_folder=str(tmp_path))
    first = run(ask(app, b'{"a": 1, "b": 2}', [("x-request-id", "1")]))
    again = run(ask(app, b'{"b":2,"a":1}', [("x-request-id", "2")]))
    other = run(ask(app, b'{"b": 3, "a": 1}', [("x-request-id", "3")]))
    app.close()
    assert [answer.headers["x-mlctl-cache"] for answer in (first, again, other)] == ["miss", "hit", "miss"]
    assert again.json == {**first.json, "request_id": "2"}
    assert first.json["asked"] == {"a": 1, "b": 2}  # a short id that stands elsewhere in the answer is left alone
    assert inner.calls == 2
    counts = app.counts()["variants"]["stable"]
    assert (counts["cache"], counts["requests"], counts["predictions"]) == ({"hit": 1, "miss": 2}, 3, 2)
    logged = {row["request_id"]: row for row in rows(tmp_path)}
    assert (logged["2"]["cached"], logged["2"]["score"], logged["2"]["features"]) == (True, 0.25, None)
    assert "cached" not in logged["1"]


@pytest.mark.parametrize("status", [404, 422, 500, 503])
def test_an_error_is_never_kept(status: int) -> None:
    inner = echo(status)
    app = around(inner, cache=Cache(60))
    for _ in range(2):
        assert run(ask(app, b'{"a": 1}')).headers["x-mlctl-cache"] == "miss"
    assert inner.calls == 2


def test_an_answer_made_of_defaults_is_never_kept() -> None:
    inner = echo()

    async def stands_in(scope: Any, receive: Any, send: Any) -> None:
        scope["state"][STATE].lasting = False
        await inner(scope, receive, send)

    app = around(stands_in, cache=Cache(60))
    for _ in range(2):
        assert run(ask(app, b'{"a": 1}')).headers["x-mlctl-cache"] == "miss"
    assert inner.calls == 2


def test_answers_grow_old_and_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlctl.runtime.middleware import cache

    now = [100.0]
    monkeypatch.setattr(cache.time, "monotonic", lambda: now[0])
    inner = echo()
    app = around(inner, cache=Cache(10, max_entries=2))

    def asked(body: bytes) -> str:
        return str(run(ask(app, body)).headers["x-mlctl-cache"])

    assert [asked(b'{"a": 1}'), asked(b'{"a": 2}'), asked(b'{"a": 1}'), asked(b'{"a": 3}')] == [
        "miss",
        "miss",
        "hit",
        "miss",
    ]
    assert [asked(b'{"a": 1}'), asked(b'{"a": 2}')] == ["hit", "miss"]  # 2 was asked for longest ago
    now[0] += 11
    assert asked(b'{"a": 1}') == "miss"


@pytest.mark.parametrize(
    ("path", "asked", "kept"),
    [
        (CHAT, {"messages": [], "temperature": 0}, True),
        (CHAT, {"messages": []}, False),
        (CHAT, {"messages": [], "temperature": 0.7}, False),
        (CHAT, {"messages": [], "temperature": 0, "stream": True}, False),
        (CHAT, {"messages": [], "temperature": 0, "n": 2}, False),
        ("/v1/embeddings", {"input": "text"}, True),
        ("/predict", {"instances": []}, True),
    ],
)
def test_only_what_is_the_same_each_time_is_kept(path: str, asked: dict[str, Any], kept: bool) -> None:
    assert (key_of("1", path, json.dumps(asked).encode()) is not None) is kept


def test_versions_do_not_share_answers_and_users_do() -> None:
    body = b'{"instances": [1]}'
    assert key_of("1", "/predict", body) != key_of("2", "/predict", body)
    me, you = (json.dumps({"input": "x", "user": who}).encode() for who in ("me", "you"))
    assert key_of("1", "/v1/embeddings", me) == key_of("1", "/v1/embeddings", you) is not None
    assert key_of("1", "/predict", b"not json") is None


def test_an_answer_of_a_language_model_is_given_again_under_the_new_id() -> None:
    async def engine(scope: Any, receive: Any, send: Any) -> None:
        named = dict(scope["headers"])[b"x-request-id"].decode()
        said = {"role": "assistant", "content": "hello"}
        await respond(
            send,
            {
                "id": f"chatcmpl-{named}",
                "choices": [{"message": said, "finish_reason": "stop"}],
                "usage": {"completion_tokens": 4, "prompt_tokens": 9},
            },
        )

    app = around(engine, cache=Cache(60))
    body = b'{"model": "m", "messages": [], "temperature": 0}'

    def asked(name: str) -> Answer:
        answer: Answer = run(ask(app, body, [("x-request-id", name)], path=CHAT))
        return answer

    assert (asked("one").json["id"], asked("two").json["id"]) == ("chatcmpl-one", "chatcmpl-two")
    counts = app.counts()["variants"]["stable"]
    assert (counts["tokens"], counts["cache"]) == (
        4,
        {"hit": 1, "miss": 1},
    )  # what came out of the cache was not decoded


def test_a_redis_that_is_down_costs_answers_and_no_requests() -> None:
    pytest.importorskip("redis")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
    inner = echo()
    app = around(inner, cache=Cache(60, url=url))

    async def several() -> None:
        for _ in range(3):
            assert (await ask(app, b'{"a": 1}')).status == 200

    run(several())
    assert inner.calls == 3
    assert app.counts()["server"]["cache_errors"] == 1  # then it is left alone for a second


def test_a_key_of_rows_that_is_called_user_is_what_is_asked() -> None:
    assert key_of("1", "/predict", b'{"user": 1}') != key_of("1", "/predict", b'{"user": 2}')


def test_what_a_client_says_of_the_version_does_not_put_its_answer_before_another_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared: dict[str, Any] = {}

    class Store:
        async def get(self, key: str) -> Any:
            return shared.get(key)

        async def put(self, key: str, answer: Any) -> None:
            shared[key] = answer

    monkeypatch.setattr("mlctl.runtime.middleware.asgi.Middleware._open_cache", lambda self: Store())
    old, new = around(echo(), cache=Cache(60)), Middleware(echo(), settings(), CollectorRegistry())
    run(ask(old, b"{}", [("x-mlctl-version", "4")]))
    new.settings = replace(new.settings, version="4")
    assert run(ask(new, b"{}")).headers["x-mlctl-cache"] == "miss"


def test_servers_that_answer_otherwise_share_no_answers_in_one_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    prefixes: list[str] = []
    monkeypatch.setattr(
        "mlctl.runtime.middleware.cache.Redis", lambda settings, prefix, failed: prefixes.append(prefix)
    )
    for scope in ("one", "two"):
        around(echo(), cache=Cache(60, url="redis://x", scope=scope))
    assert len(set(prefixes)) == 2
