from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.middleware.answers import Answer
from tests.unit.runtime.middleware.client import around, ask, rows, run

CHAT = "/v1/chat/completions"
PIECES = ["Hel", "lo", " there"]


def events(usage: bool) -> list[bytes]:
    choices: list[Any] = [{"delta": {"role": "assistant", "content": ""}}]
    choices += [{"delta": {"content": piece}, "finish_reason": None} for piece in PIECES]
    choices.append({"delta": {}, "finish_reason": "length"})
    made = [{"id": "chatcmpl-1", "choices": [choice]} for choice in choices]
    if usage:
        made.append({"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in made] + [b"data: [DONE]\n\n"]


def streaming(parts: list[bytes], wait: float = 0.0) -> Any:
    async def engine(scope: Any, receive: Any, send: Any) -> None:
        kind = (b"content-type", b"text/event-stream; charset=utf-8")
        await send({"type": "http.response.start", "status": 200, "headers": [kind]})
        for part in parts:
            await asyncio.sleep(wait)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return engine


def test_a_stream_is_counted_by_its_usage_and_passes_unchanged(tmp_path: Path) -> None:
    app = around(streaming(events(usage=True), wait=0.02), log_folder=str(tmp_path))
    answer = run(ask(app, b'{"messages": [], "stream": true}', path=CHAT))
    app.close()
    assert answer.body == b"".join(events(usage=True))
    counts = app.counts()["variants"]["stable"]
    assert (
        counts["tokens"],
        counts["prompt_tokens"],
        sum(counts["ttft"]["counts"]),
        sum(counts["tpot"]["counts"]),
    ) == (7, 11, 1, 1)
    assert 0.03 < counts["ttft"]["total"] < counts["seconds"]["total"]
    assert counts["decoding_seconds"] == pytest.approx(counts["seconds"]["total"] - counts["ttft"]["total"])
    [row] = rows(tmp_path)
    assert (row["prompt_tokens"], row["completion_tokens"], row["finish_reason"], row["stream"]) == (
        11,
        7,
        "length",
        True,
    )
    assert row["ttft_seconds"] < row["latency_seconds"]
    assert "answer" not in row
    assert "features" not in row


def test_a_stream_that_ends_without_a_word_is_logged_as_an_empty_answer(tmp_path: Path) -> None:
    begun = {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    ended = {"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}
    parts = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in (begun, ended)] + [b"data: [DONE]\n\n"]
    app = around(streaming(parts), log_folder=str(tmp_path), capture="hash")
    run(ask(app, b'{"messages": [], "stream": true}', path=CHAT))
    app.close()
    [row] = rows(tmp_path)
    assert (row["completion_tokens"], row["finish_reason"], row["stream"]) == (0, "stop", True)
    assert (row["answer_characters"], row["answer_digest"], row["ttft_seconds"]) == (0, None, None)
    cut_off = Answer(streamed=True, started=0.0)
    cut_off.feed(parts[0])
    assert cut_off.result() is None  # nobody knows what it would have been


def test_without_usage_pieces_are_counted_wherever_the_network_cuts() -> None:
    whole = b"".join(events(usage=False)).replace(b"\n\n", b"\r\n\r\n")
    for size in (1, 7, 64, len(whole)):
        answer = Answer(streamed=True, started=0.0)
        for start in range(0, len(whole), size):
            answer.feed(whole[start : start + size])
        found = answer.result()
        assert found is not None
        assert (found["completion_tokens"], found["finish_reason"], answer.text()) == (3, "length", "Hello there")


def test_texts_are_logged_as_far_as_is_asked_for_and_the_answers_digest_always(tmp_path: Path) -> None:
    asked = {
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "I am ann@shop.example"}]
    }
    found = {}
    for capture in ("none", "hash", "redacted", "full"):
        app = around(streaming(events(usage=True)), log_folder=str(tmp_path / capture), capture=capture)
        run(ask(app, json.dumps(asked).encode(), path=CHAT, headers=[("x-mlctl-template", "support@3")]))
        app.close()
        [found[capture]] = rows(tmp_path / capture)
    assert [found[name].get("prompt") for name in found] == [None, None, "I am [email]", "I am ann@shop.example"]
    assert [found[name].get("answer") for name in found] == [None, None, "Hello there", "Hello there"]
    assert ["prompt_digest" in found[name] for name in found] == [False, True, True, True]
    assert (found["hash"]["answer_characters"], found["hash"]["answer_json"]) == (11, False)
    assert len({row["answer_digest"] for row in found.values()}) == 1
    assert {row["template"] for row in found.values()} == {"support@3"}
    assert (found["full"]["system"], "system" in found["hash"]) == ("Be kind.", False)


@pytest.mark.parametrize(
    ("body", "tokens", "reason", "text"),
    [
        (
            {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
            2, "stop", "hi",
        ),
        ({"choices": [{"text": "hi", "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}, 2, "stop", "hi"),
        ({"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": {"output_tokens": 2}}, 2, "end_turn", "hi"),
        ({"output": [{"content": [{"text": "hi"}]}], "usage": {"output_tokens": 2}}, 2, None, "hi"),
    ],
)  # fmt: skip
def test_whole_answers_of_every_api(body: Any, tokens: int, reason: str | None, text: str) -> None:
    answer = Answer(streamed=False, started=0.0)
    answer.feed(json.dumps(body).encode())
    found = answer.result()
    assert found is not None
    assert (found["completion_tokens"], found["finish_reason"], answer.text(), found["ttft_seconds"]) == (
        tokens,
        reason,
        text,
        None,
    )


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b'{"choices": 5}', b'{"choices": [7], "usage": 3}', b'{"delta": {"text": 4}}']
)
def test_what_is_no_answer_is_left_alone(body: bytes) -> None:
    answer = Answer(streamed=False, started=0.0)
    answer.feed(body)
    assert answer.result() is None
