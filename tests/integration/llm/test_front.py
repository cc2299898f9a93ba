"""A server in front of an engine: what clients see of it, and that a new version takes over without a gap."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import openai
import psutil
import pytest

from mlctl.processes import engine, worker
from mlctl.providers.serving.client import chat as ask_chat
from mlctl.types.diagnostic import MlctlError
from tests.integration.llm.project import Project, ask, chat, until

pytestmark = pytest.mark.tools


def test_the_openai_client_gets_answers_and_streams_and_they_are_counted_and_logged(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    project.apply(project.train("1"), project.command({"ITS_OWN": "for the engine"}))
    environment = ask(project.url, "/seen")[1]["environment"]
    assert environment["ITS_OWN"] == "for the engine"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"
    assert not {"PYTHONPATH", "OMP_NUM_THREADS", "MLCTL_SECRETS"} & environment.keys()
    client = openai.OpenAI(base_url=f"{project.url}/v1", api_key="unused", max_retries=0)
    said = client.chat.completions.create(**chat("one two three"))
    assert said.choices[0].message.content == "one two three"
    stream = client.chat.completions.create(**chat("four five", stream=True, stream_options={"include_usage": True}))
    chunks = list(stream)
    assert "".join(item.choices[0].delta.content or "" for item in chunks if item.choices) == "four five "
    assert ask(project.url, "/healthz") == (200, {"deployment": "chat", "release": "1", "ready": True})
    counted = 'mlctl_generation_tokens_total{deployment="chat",model="helper"'
    until(lambda: counted in ask(project.url, "/metrics")[1], 5)
    assert "small_engine_up 1" in ask(project.url, "/metrics")[1]
    client.close()
    assert project.record is not None
    told = ask_chat(project.record, {"messages": [{"role": "user", "content": "six seven"}]})
    assert told["choices"][0]["message"]["content"] == "six seven"
    with pytest.raises(MlctlError, match="does not exist"):
        ask_chat(project.record, {"model": "another", "messages": []})
    worker.stop(project.releases / "1", 10)
    [path] = (project.folder / "predictions").glob("*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["completion_tokens"] for row in rows if row["code"] == 200] == [3, 2, 2]
    assert rows[1]["ttft_seconds"] < rows[1]["latency_seconds"]


def test_a_new_version_takes_the_port_over_under_load_without_a_lost_request(project: Project) -> None:
    first = project.apply(project.train("1"), project.command())
    answers: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            answers.append(ask(project.url, "/v1/chat/completions", chat("a b c"))[0])

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        second = project.apply(project.train("2"), project.command())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (first.id, second.id, second.outputs["version"]) == ("1", "2", "2")
    assert len(answers) > 20
    assert set(answers) == {200}
    assert not engine.left(project.releases / "1")
    assert project.read() is not None
    assert any(message.startswith("starting command") for message in project.messages)


def test_a_stream_that_is_open_at_the_end_is_finished(project: Project) -> None:
    project.apply(project.train("1"), project.command({"WORD_SECONDS": "0.05"}))
    client = openai.OpenAI(base_url=f"{project.url}/v1", api_key="unused", max_retries=0)
    stream = client.chat.completions.create(**chat(" ".join(["word"] * 30), stream=True))
    next(stream)
    stopping = threading.Thread(target=worker.stop, args=(project.releases / "1", 30.0))
    stopping.start()
    text = "".join(item.choices[0].delta.content or "" for item in stream)
    stopping.join()
    client.close()
    assert text.count("word") == 29
    assert project.of_engine() == []


def test_a_client_that_goes_away_ends_its_request_in_the_engine(project: Project) -> None:
    project.apply(project.train("1"), project.command({"WORD_SECONDS": "0.05"}))
    client = openai.OpenAI(base_url=f"{project.url}/v1", api_key="unused", max_retries=0)
    stream = client.chat.completions.create(**chat(" ".join(["word"] * 200), stream=True))
    next(stream)
    stream.close()
    client.close()
    until(lambda: len(ask(project.url, "/seen")[1]["cut"]) == 1, 5)


def test_an_engine_that_says_nothing_gets_a_504_and_one_that_is_gone_ends_the_server(project: Project) -> None:
    project.apply(project.train("1"), project.command(), timeout="300ms")
    status, said = ask(project.url, "/v1/chat/completions", chat("silence"))
    assert (status, said["code"]) == (504, "predict.timeout")
    psutil.Process(ask(project.url, "/seen")[1]["pid"]).kill()
    until(lambda: not worker.running(project.releases / "1"))
    seen = project.read()
    assert seen is not None
    assert "not running" in seen.detail
    assert "by SIGKILL" in (project.releases / "1" / "result.json").read_text()
    project.apply(project.train("1"), project.command(), timeout="300ms")
    assert ask(project.url, "/v1/chat/completions", chat("again"))[0] == 200


@pytest.mark.parametrize(
    ("environment", "words"),
    [({"CRASH": "1"}, "it does not know --nonsense"), ({"START_SECONDS": "60"}, "did not answer within 1 s")],
)
def test_an_engine_that_does_not_start_is_told_with_its_last_words_and_leaves_nothing(
    project: Project, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(MlctlError) as caught:
        project.apply(project.train("1"), project.command({"CHILDREN": "1", **environment}, start_timeout="1s"))
    [found] = caught.value.diagnostics
    assert found.code == "llm.engine-failed"
    assert words in f"{found.summary} {found.why} {found.fix}"
    assert project.of_engine() == []


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(project: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", project.port))
        other.listen()
        began = time.monotonic()
        with pytest.raises(MlctlError) as caught:
            project.apply(project.train("1"), project.command())
    assert caught.value.diagnostics[0].code == "deploy.port-in-use"
    assert time.monotonic() - began < 3
    assert project.of_engine() == []


def test_a_full_server_says_503_and_a_token_is_asked_for_and_kept_from_the_engine(project: Project) -> None:
    token = "a-secret-of-some-length"
    serve = {"concurrency": {"max_running": 1}, "auth": {"token": token}}
    project.apply(project.train("1"), project.command({"WORD_SECONDS": "0.05"}), **serve)
    assert ask(project.url, "/v1/chat/completions", chat("hello"))[0] == 401
    client = openai.OpenAI(base_url=f"{project.url}/v1", api_key=token, max_retries=0)
    stream = client.chat.completions.create(**chat(" ".join(["word"] * 10), stream=True))
    next(stream)
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**chat("hello"))
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "1"
    assert len(list(stream)) == 10
    client.close()
    _, seen = ask(project.url, "/seen", headers={"authorization": f"Bearer {token}"})
    assert token not in json.dumps(seen)
