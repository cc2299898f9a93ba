from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.middleware import Cache
from tests.unit.runtime.middleware.client import around, ask, echo, respond, rows, run

GATEWAY = [("x-mlctl-variant", "candidate"), ("x-mlctl-bucket", "1234"), ("x-mlctl-propensity", "0.25")]


def test_a_prediction_is_logged_with_its_variant_bucket_and_propensity(tmp_path: Path) -> None:
    app = around(echo(), log_folder=str(tmp_path))
    answer = run(ask(app, b'{"id": 1}', [("x-request-id", "mine"), *GATEWAY]))
    app.close()
    [row] = rows(tmp_path)
    assert row.pop("latency_seconds") >= 0
    assert row.pop("ts") is not None
    assert row.pop("trace_id") == answer.headers["traceparent"].split("-")[1]
    assert row == {
        "schema_version": 2,
        "request_id": "mine", "deployment": "api", "model": "shops", "version": "3", "role": "canary", "variant": "candidate",
        "bucket": 1234, "propensity": 0.25, "key": {"id": 1}, "features": {"a": 2.0}, "score": 0.25, "prediction": 0, "code": 200,
    }  # fmt: skip
    assert (answer.status, answer.headers["x-request-id"], answer.json["asked"]) == (200, "mine", {"id": 1})


def test_what_comes_without_headers_is_stable_and_gets_an_id(tmp_path: Path) -> None:
    app = around(echo(), log_folder=str(tmp_path))
    answers = [run(ask(app, headers=[("x-request-id", given)])) for given in ("", 'bad"id', "x" * 200)]
    app.close()
    assert [row["role"] for row in rows(tmp_path)] == ["stable"] * 3
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert all(len(answer.headers["x-request-id"]) == 36 for answer in answers)


@pytest.mark.parametrize("host", ["api-shadow", "127.0.0.1-shadow:8080", "[::1]-shadow:8080", "[::1]-shadow"])
def test_a_copy_is_counted_apart_whatever_variant_its_original_went_to(tmp_path: Path, host: str) -> None:
    app = around(echo(), log_folder=str(tmp_path))
    run(ask(app, headers=[("host", host), ("x-mlctl-variant", "stable")]))
    app.close()
    counts = app.counts()
    assert counts["variants"] == {}
    assert (counts["shadow"]["requests"], counts["shadow"]["predictions"]) == (1, 1)
    assert [(row["role"], row["variant"]) for row in rows(tmp_path)] == [("shadow", "candidate")]


def test_counts_by_variant(tmp_path: Path) -> None:
    app = around(echo())
    for variant, times in (("stable", 3), ("candidate", 2)):
        for _ in range(times):
            run(ask(app, headers=[("x-mlctl-variant", variant)]))
    stable = app.counts()["variants"]["stable"]
    assert (stable["requests"], stable["errors"], stable["codes"]) == (3, 0, {"200": 3})
    assert (sum(stable["seconds"]["counts"]), stable["missing"]) == (3, {"b": 3})
    assert stable["scores"][25] == 3
    assert app.counts()["variants"]["candidate"]["requests"] == 2


def test_what_is_no_prediction_is_neither_counted_nor_logged(tmp_path: Path) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, {})

    app = around(page, log_folder=str(tmp_path))
    assert run(ask(app, path="/metrics", method="GET")).status == 200
    assert run(ask(app, path="/predict", method="GET")).status == 200
    app.close()
    assert (app.counts()["variants"], rows(tmp_path)) == ({}, [])


def test_only_who_has_the_token_is_answered_and_health_is_for_all() -> None:
    inner = echo()

    async def either(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/predict":
            await inner(scope, receive, send)
        else:
            await respond(send, {})

    app = around(either, token="correct horse battery staple")
    wrong = [[], [("authorization", "correct horse battery staple")], [("authorization", "Bearer wrong")]]
    for headers in wrong:
        answer = run(ask(app, headers=headers))
        assert (answer.status, answer.json["code"], answer.headers["www-authenticate"]) == (
            401,
            "predict.unauthorized",
            "Bearer",
        )
    assert run(ask(app, path="/metrics", method="GET")).status == 401
    assert run(ask(app, path="/healthz", method="GET")).status == 200
    assert run(ask(app, headers=[("authorization", "Bearer correct horse battery staple")])).status == 200
    assert inner.calls == 1
    assert app.counts()["server"]["unauthorized"] == 4
    assert "correct horse" not in repr(app.settings)


def test_a_websocket_without_the_token_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = around(echo(), token="correct horse battery staple")
    run(app({"type": "websocket", "path": "/v1/realtime", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x" * 101, []),
        ([b"x" * 60, b"x" * 60, b"x" * 60], []),
        ([b"", b"never read"], [("content-length", "101")]),
    ],
)
def test_a_body_that_is_too_large_is_refused_and_not_read_to_its_end(body: Any, headers: Any) -> None:
    inner = echo()
    app = around(inner, max_body_bytes=100)
    answer = run(ask(app, body, headers))
    assert (answer.status, answer.json["code"], inner.calls) == (413, "predict.too-large", 0)


def test_a_body_that_does_not_come_is_given_up_on() -> None:
    async def wait() -> None:
        await asyncio.sleep(5)

    app = around(echo(), body_seconds=0.05)
    answer = run(ask(app, before_each=wait))
    assert (answer.status, answer.json["code"], answer.headers["connection"]) == (408, "predict.slow-request", "close")
    assert app.counts()["variants"]["stable"]["errors"] == 0  # the client's fault


def test_an_application_that_hangs_is_a_504_and_an_error() -> None:
    async def hang(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(5)

    app = around(hang, timeout_seconds=0.05)
    answer = run(ask(app))
    assert (answer.status, answer.json["code"]) == (504, "predict.timeout")
    assert app.counts()["variants"]["stable"]["errors"] == 1


def test_an_answer_that_has_begun_may_take_longer() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.15)
        await send({"type": "http.response.body", "body": b"late"})

    app = around(slow, timeout_seconds=0.05)
    assert run(ask(app, path="/v1/chat/completions")).body == b"late"


def test_an_application_that_raises_is_counted_and_its_error_goes_on() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("made to fail")

    app = around(broken)
    with pytest.raises(RuntimeError):
        run(ask(app))
    assert app.counts()["variants"]["stable"]["codes"] == {"500": 1}


def test_a_client_that_goes_away_while_it_sends_is_no_error() -> None:
    app = around(echo())
    run(ask(app, []))
    assert app.counts()["variants"]["stable"]["codes"] == {"499": 1}
    assert app.counts()["variants"]["stable"]["errors"] == 0


def test_the_gateways_choice_of_an_adapter_replaces_the_model_in_the_body() -> None:
    seen: list[Any] = []

    async def engine(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        headers = dict(scope["headers"])
        seen.append(
            (
                json.loads(message["body"]),
                int(headers[b"content-length"]),
                len(message["body"]),
                headers[b"x-request-id"],
            )
        )
        await respond(send, {})

    app = around(engine)
    asked = {"model": "chat", "messages": [{"role": "user", "content": "hé"}]}
    body = json.dumps(asked).encode()
    headers = [("x-mlctl-model", "adapter-v3"), ("content-length", str(len(body))), ("x-request-id", "mine")]
    run(ask(app, body, headers, path="/v1/chat/completions"))
    [(body_seen, stated, length, request_id)] = seen
    assert (body_seen, request_id) == ({**asked, "model": "adapter-v3"}, b"mine")
    assert stated == length


def test_a_lifespan_that_ends_writes_what_is_left(tmp_path: Path) -> None:
    async def lives(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await echo()(scope, receive, send)

    app = around(lives, log_folder=str(tmp_path / "log"), folder=str(tmp_path))
    run(ask(app))
    run(app({"type": "lifespan"}, None, None))
    assert len(rows(tmp_path / "log")) == 1
    [stats] = (tmp_path / "stats").iterdir()
    assert json.loads(stats.read_bytes())["variants"]["stable"]["requests"] == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_server_that_drains_has_clients_connect_anew_whoever_answers(again: bool) -> None:
    app = around(echo(), cache=Cache(60))
    if again:
        run(ask(app))  # the next answer is the cache's
    app.draining = True
    answer = run(ask(app))
    assert (answer.headers["x-mlctl-cache"], answer.headers["connection"]) == ("hit" if again else "miss", "close")


def test_names_of_variants_that_clients_make_up_are_not_counted_without_end() -> None:
    app = around(echo())
    for number in range(200):
        run(ask(app, headers=[("x-mlctl-variant", f"v{number}")]))
    run(ask(app))
    counts = app.counts()["variants"]
    assert len(counts) < 100
    assert counts["stable"]["requests"] == 1
    assert sum(variant["requests"] for variant in counts.values()) == 201


def test_no_request_of_any_path_brings_more_than_the_limit() -> None:
    read: list[int] = []

    async def reads_all(scope: Any, receive: Any, send: Any) -> None:
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
            if not message["more_body"]:
                await respond(send, {})
                break
        read.append(size)

    app = around(reads_all, max_body_bytes=100)
    said = run(ask(app, b"x" * 101, [("content-length", "101")], path="/tokenize"))
    assert (said.status, said.headers["connection"], read) == (413, "close", [])
    assert run(ask(app, [b"x" * 60, b"x" * 60, b"x" * 60], path="/tokenize")).status == 0  # of no length that it says
    assert read == [60]
    assert run(ask(app, b"x" * 100, [("content-length", "100")], path="/tokenize")).status == 200
