"""What gates ask of a language model's answers: how many came to their end, and how many of those are empty or cut off."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from mlctl.runtime.middleware import Middleware
from mlctl.runtime.middleware.answers import Answer
from mlctl.runtime.middleware.stats import StatsFile
from mlctl.runtime.middleware.tally import MOST_VARIANTS, Tally
from tests.unit.runtime.middleware.client import around, ask, respond, run, settings

CHAT = "/v1/chat/completions"


def whole(body: Any) -> tuple[bool, bool] | None:
    answer = Answer(streamed=False, started=0.0)
    answer.feed(json.dumps(body).encode())
    answer.result()
    return answer.outcome()


def stream(*events: Any, done: bool = True) -> tuple[bool, bool] | None:
    answer = Answer(streamed=True, started=0.0)
    for event in events:
        answer.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    if done:
        answer.feed(b"data: [DONE]\n\n")
    answer.result()
    return answer.outcome()


def message(content: Any, reason: str = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content, **more}, "finish_reason": reason}]}


CALLED = [{"function": {"name": "look_up", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (message("hi"), (False, False)),
        (message("hi", "length"), (False, True)),
        (message(""), (True, False)),
        (message(None), (True, False)),
        (message(" \n\n"), (True, False)),
        (message("", tool_calls=CALLED), (False, False)),
        (message(None, "length", reasoning="let me see"), (False, True)),  # as vLLM calls it now
        (message(None, "length", reasoning_content="let me see"), (False, True)),
        ({"choices": []}, (True, False)),
        ({"choices": [{"text": "", "finish_reason": "stop"}]}, (True, False)),
        ({"content": [{"type": "text", "text": "hi"}], "stop_reason": "max_tokens"}, (False, True)),
        ({"output": [{"content": []}], "usage": {"output_tokens": 0}}, (True, False)),
        ({"output": [{"type": "function_call", "name": "look_up"}]}, (False, False)),
        ({"content": [{"type": "tool_use", "name": "look_up"}], "stop_reason": "tool_use"}, (False, False)),
        (
            {"output": [{"content": [{"text": "hi"}]}], "incomplete_details": {"reason": "max_output_tokens"}},
            (False, True),
        ),
        ({"output": [{"content": [{"text": "hi"}]}], "incomplete_details": 7}, (False, False)),
        ({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 3}}, None),  # no text was asked for
        ({"results": [{"index": 0}]}, None),
        ("no object", None),
    ],
)
def test_a_whole_answer_is_empty_when_it_says_and_calls_nothing(body: Any, outcome: tuple[bool, bool] | None) -> None:
    assert whole(body) == outcome


def test_a_stream_says_something_of_the_model_only_when_it_came_to_its_end() -> None:
    role = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    word = {"choices": [{"delta": {"content": "hi"}}]}
    assert stream(role, done=False) is None  # the client may have left
    assert stream(role, word, done=False) is None
    assert stream(role) == (True, False)
    assert stream(role, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, done=False) == (True, False)
    assert stream(role, word, {"choices": [{"delta": {}, "finish_reason": "length"}]}) == (False, True)
    begun = {"type": "message_start", "message": {"usage": {"output_tokens": 1}}}
    assert stream(begun, done=False) is None
    assert stream(begun, {"type": "message_stop"}, done=False) == (True, False)
    called = {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "look_up"}}
    assert stream(begun, called, {"type": "message_stop"}, done=False) == (False, False)
    cut = {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}
    assert stream(cut, done=False) == (True, True)
    assert stream(
        {"type": "response.output_text.delta", "delta": "hi"}, {"type": "response.completed"}, done=False
    ) == (
        False,
        False,
    )


async def _answers(scope: Any, receive: Any, send: Any) -> None:
    asked = json.loads((await receive())["body"])
    await respond(send, message(asked["say"], asked.get("end", "stop")))


def test_they_are_counted_by_variant_and_told_to_prometheus() -> None:
    registry = CollectorRegistry()
    app = Middleware(_answers, settings(), registry)
    for said, variant in (("hi", "stable"), ("", "candidate"), ("", "candidate"), ("hi", "candidate")):
        run(ask(app, json.dumps({"say": said, "end": "length"}).encode(), [("x-mlctl-variant", variant)], CHAT))
    app.close()
    found = app.counts()["variants"]
    assert [found["stable"][name] for name in ("answers", "empty", "cut")] == [1, 0, 1]
    assert [found["candidate"][name] for name in ("answers", "empty", "cut")] == [3, 2, 3]
    told = generate_latest(registry).decode()
    assert (
        'mlctl_empty_answers_total{deployment="api",model="shops",role="canary",variant="candidate",version="3"} 2.0'
        in told
    )


def test_each_adapter_is_told_by_its_own_version_and_a_gate_reads_them_together(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    app = Middleware(_answers, settings(version="1", folder=str(tmp_path)), registry)
    for variant, version, times in (
        ("stable", "1", 3),
        ("candidate", "2", 2),
        ("candidate", "3", 1),
        ("stable", "", 1),
    ):
        headers = [("x-mlctl-variant", variant)]
        headers += [("x-mlctl-model", f"helper-v{version}"), ("x-mlctl-version", version)] if version else []
        for _ in range(times):
            assert run(ask(app, b'{"say": "hi"}', headers, CHAT)).status == 200
    shadow = [("host", "api-shadow:80"), ("x-mlctl-model", "helper-v2"), ("x-mlctl-version", "2")]
    run(ask(app, b'{"say": "hi"}', shadow, CHAT))
    told = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("mlctl_requests_total")]
    counted = {
        (line.split('variant="')[1].split('"')[0], line.split('version="')[1].split('"')[0], line.split('role="')[1].split('"')[0]):
        float(line.split()[-1])
        for line in told
    }  # fmt: skip
    assert counted == {
        ("stable", "1", "stable"): 4,
        ("candidate", "2", "canary"): 2,
        ("candidate", "3", "canary"): 1,
        ("candidate", "2", "shadow"): 1,
    }
    assert len(told) == len(counted)
    app.close()
    [path] = (tmp_path / "stats").glob("*.json")
    stored = json.loads(path.read_bytes())
    assert (stored["variants"]["candidate"]["requests"], stored["shadow"]["requests"]) == (3, 1)
    again = StatsFile(tmp_path, Tally())  # the engine began anew
    assert again.all()["versions"]["variants"]["candidate"]["2"]["requests"] == 2
    again.close()


def test_what_another_process_counted_without_versions_is_told_as_the_servers_own(tmp_path: Path) -> None:
    before = Tally()  # of a program before an update, or one that met no adapter
    before.variant("stable", shadow=False).request(200, 0.1, 0.0)
    before.variant("candidate", shadow=True).request(200, 0.1, 0.0)
    StatsFile(tmp_path, before).close()
    registry = CollectorRegistry()
    app = Middleware(_answers, settings(version="1", folder=str(tmp_path)), registry)
    run(ask(app, b'{"say": "hi"}', [("x-mlctl-model", "helper-v2"), ("x-mlctl-version", "2")], CHAT))
    told = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("mlctl_requests_total")]
    app.close()
    counted = {(line.split('role="')[1][:6], line.split('version="')[1][0]): float(line.split()[-1]) for line in told}
    assert counted == {("stable", "1"): 1, ("stable", "2"): 1, ("shadow", "1"): 1}


def test_versions_take_no_more_room_than_variants_do() -> None:
    tally = Tally()
    for number in range(3 * MOST_VARIANTS):
        tally.variant("candidate", shadow=False, version=str(number)).request(200, 0.1, 0.0)
        tally.variant("candidate", shadow=True, version=str(number)).request(200, 0.1, 0.0)
    stored = tally.to_json()
    assert (stored["variants"]["candidate"]["requests"], stored["shadow"]["requests"]) == (192, 192)
    assert max(len(tally.variants), len(tally.shadows)) <= MOST_VARIANTS + 2


def test_a_model_by_an_unknown_name_is_refused_as_openai_does() -> None:
    seen: list[Any] = []

    async def engine(scope: Any, receive: Any, send: Any) -> None:
        seen.append(json.loads((await receive())["body"]).get("model"))
        await respond(send, message("hi"))

    app = around(engine, names=("helper", "helper_api"))
    adapter = [("x-mlctl-model", "helper-v2"), ("x-mlctl-version", "2")]

    async def all_of_them() -> list[int]:
        found = []
        for body, headers in (
            ({"model": "helper"}, []), ({"model": "helper_api"}, adapter), ({"model": "helper-v2"}, adapter), ({}, []), ({"model": ""}, []),
            ({"model": "helper-v1"}, adapter), ({"model": "gpt-4"}, []), ({"model": "gpt-4"}, adapter),
        ):  # fmt: skip
            found.append((await ask(app, json.dumps(body).encode(), headers, CHAT)).status)
        return found

    assert asyncio.run(all_of_them()) == [200, 200, 200, 200, 200, 404, 404, 404]
    assert seen == ["helper", "helper-v2", "helper-v2", None, ""]
    answer = run(ask(app, b'{"model": "gpt-4"}', path=CHAT)).json
    assert answer["error"] == {
        "message": "The model `gpt-4` does not exist here: ask for `helper` or `helper_api`",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    app = around(engine, names=("other", "helper_api"))
    for variant, status in (("treatment", 200), ("candidate", 404)):  # who asks does not choose the arm of an A/B test
        assert run(ask(app, b'{"model": "helper"}', [("x-mlctl-variant", variant)], CHAT)).status == status
    assert (
        run(ask(around(engine), b'{"model": "gpt-4"}', path=CHAT)).status == 200
    )  # of a program we know nothing about
