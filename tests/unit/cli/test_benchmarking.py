from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlctl.cli.benchmarking import Asking, Requests, own_folder, requests_for, writable
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record


def test_two_load_tests_of_one_deployment_leave_each_other_alone(tmp_path: Path) -> None:
    first, second = own_folder(tmp_path, "api"), own_folder(tmp_path, "api")
    assert first != second
    assert first.is_dir()
    assert first.stat().st_mode & 0o077 == 0


def test_a_page_that_could_not_be_written_is_told_before_the_load(tmp_path: Path) -> None:
    writable(tmp_path / "bench.html")
    for path in (tmp_path / "nowhere" / "bench.html", tmp_path):
        with pytest.raises(MlctlError, match=r"cli\.usage"):
            writable(path)


def asked(folder: Path, asking: Asking, path: str = "/v1/chat/completions") -> Requests:
    record = Record(ObjectKey.parse("deployments.chat#"), outputs={"model": "helper", "predictions": "predictions"})
    context: Any = SimpleNamespace(path=lambda name: folder / name)
    return requests_for(record, context, asking, path, None)


def test_answers_of_a_language_model_are_as_long_as_was_asked_for(tmp_path: Path) -> None:
    synthetic = asked(tmp_path, Asking(max_tokens=256))
    assert (synthetic.source, {body["max_tokens"] for body in synthetic.bodies}) == ("synthetic", {256})
    told = [synthetic.sent(b"x"), asked(tmp_path, Asking()).sent(b"y")]
    assert [item.max_tokens for item in told] == [256, 64]
    assert told[0].digest != told[1].digest
    odd = Requests("file", [{"max_tokens": []}, {"max_tokens": []}])
    assert odd.sent(b"z").max_tokens is None  # whoever answers it will say what is wrong with it
    assert asked(tmp_path, Asking()).bodies == asked(tmp_path, Asking()).bodies  # it can be measured again


def test_prompts_come_from_a_file_or_from_the_log_and_whole_requests_stay_as_they_are(tmp_path: Path) -> None:
    whole = {"messages": [{"role": "user", "content": "hi"}], "top_p": 0.5}
    data = tmp_path / "prompts.jsonl"
    data.write_text(f'{json.dumps(whole)}\n{{"prompt": "where is it?", "completion": "here"}}\n')
    found = asked(tmp_path, Asking(data=data))
    assert found.bodies[0] == whole
    assert found.bodies[1]["messages"] == [{"role": "user", "content": "where is it?"}]
    assert (found.source, found.bodies[1]["stream"], found.bodies[1]["max_tokens"]) == ("file", True, 64)
    assert found.sent(b"").max_tokens is None  # they do not say the same
    assert [body["max_tokens"] for body in asked(tmp_path, Asking(data=data, max_tokens=9)).bodies] == [9, 9]
    log = tmp_path / "predictions"
    log.mkdir()
    rows = [
        {"code": 200, "prompt": "one"},
        {"code": 503, "prompt": "two"},
        {"code": 200},
        {"code": 200, "prompt": "three"},
    ]
    (log / "2026-01-01.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = asked(tmp_path, Asking(prompts="log"))
    assert [body["messages"][0]["content"] for body in found.bodies] == ["three", "one"]


@pytest.mark.parametrize(
    ("asking", "path", "said"),
    [
        (Asking(prompts="log"), "/v1/chat/completions", "has no prompts"),
        (Asking(max_tokens=5), "/predict", "`--max-tokens` is for language models"),
        (Asking(prompts="log"), "/predict", "`--prompts` is for language models"),
        (Asking(data=Path("x"), prompts="log"), "/v1/chat/completions", "`--prompts` has no effect beside `--data`"),
    ],
)
def test_what_has_no_effect_or_is_not_there_is_told_before_the_load(
    tmp_path: Path, asking: Asking, path: str, said: str
) -> None:
    with pytest.raises(MlctlError) as caught:
        asked(tmp_path, asking, path)
    assert said in caught.value.diagnostics[0].summary


def test_a_line_without_a_prompt_is_told(tmp_path: Path) -> None:
    data = tmp_path / "prompts.jsonl"
    data.write_text('{"question": "where?"}\n')
    with pytest.raises(MlctlError) as caught:
        asked(tmp_path, Asking(data=data))
    assert "neither `messages` nor a `prompt`" in caught.value.diagnostics[0].why
