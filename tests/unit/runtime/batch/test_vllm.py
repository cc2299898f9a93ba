"""Requests and answers in OpenAI's batch format, the command line, and an engine that is ended with its job."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mlctl.processes.leftover import NOTE_FILE
from mlctl.runtime.batch import vllm
from mlctl.runtime.batch.answers import Answer
from mlctl.runtime.batch.stopping import Stopped
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.batch import BatchJob

# An engine of ours that reads and writes what vLLM does, so that the way there and back is walked without it.
ENGINE = """\
import json, sys, time
source, target = sys.argv[sys.argv.index("-i") + 1], sys.argv[sys.argv.index("-o") + 1]
lines = [json.loads(line) for line in open(source)]
if "sleep" in lines[0]["body"]["messages"][-1]["content"]:
    time.sleep(60)
with open(target, "w", encoding="utf-8") as out:
    for line in reversed(lines):
        said = line["body"]["messages"][-1]["content"].upper()
        body = {"choices": [{"message": {"content": said}}]}
        out.write(json.dumps({"id": "b", "custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}, ensure_ascii=False) + "\\n")
"""


def job(folder: Path, python: str = sys.executable) -> BatchJob:
    engine = {
        "type": "vllm",
        "python": python,
        "options": ["--max-model-len", "512"],
        "environment": {"HF_HUB_OFFLINE": "1"},
    }
    return BatchJob.model_validate(
        {
            "model": {"name": "helper", "version": "1", "folder": str(folder / "model"), "digest": "d", "serving": None},
            "dataset": {"name": "rows", "files": [], "format": "jsonl", "digest": "d", "columns": {}},
            "where": None, "columns": [], "rows_per_part": 10, "executor": {"type": "local"},
            "generation": {"prompt": "q", "max_new_tokens": 7, "temperature": 0.5, "engine": engine},
        }
    )  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> vllm.Vllm:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "chat_template.jinja").write_text("{{ messages }}")
    program = tmp_path / "engine.py"
    program.write_text(ENGINE)
    monkeypatch.setattr(
        vllm, "batch_command", lambda engine, job, requests, answers: [sys.executable, str(program), "-i", str(requests), "-o", str(answers)]
    )  # fmt: skip
    asked: Any = job(tmp_path)
    return vllm.Vllm(asked, asked.generation, asked.generation.engine, tmp_path, lambda: False)


def test_a_request_is_what_openai_s_batch_format_says(tmp_path: Path) -> None:
    asked: Any = job(tmp_path).generation
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hü"}]
    lines = [json.loads(line) for line in vllm.request_lines(["hello\n", chat], "helper", asked)]
    assert lines[0] == {
        "custom_id": "row-0", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "helper", "messages": [{"role": "user", "content": "hello\n"}], "max_tokens": 7, "temperature": 0.5},
    }  # fmt: skip
    assert (lines[1]["custom_id"], lines[1]["body"]["messages"]) == ("row-1", chat)


def test_answers_come_in_any_order_and_each_failure_says_why() -> None:
    good = {
        "custom_id": "row-2",
        "response": {"status_code": 200, "body": {"choices": [{"message": {"content": "yes"}}]}},
        "error": None,
    }
    bad = {
        "custom_id": "row-0",
        "response": {"status_code": 400, "body": {"error": {"message": "too long"}}},
        "error": None,
    }
    gone = {"custom_id": "row-1", "response": None, "error": "no engine"}
    lines = [json.dumps(item) for item in (good, bad, gone)]
    assert vllm.read_answers([*lines, ""], 4) == [
        Answer(None, "too long"), Answer(None, "no engine"), Answer("yes"), Answer(None, "the engine gave no answer"),
    ]  # fmt: skip
    for line in ("no json", "[]", '{"custom_id": "row-0", "response": {"body": {"choices": []}}}'):
        with pytest.raises(MlctlError, match=r"batch\.bad-answer"):
            vllm.read_answers([line], 1)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Any = job(tmp_path, "/venv/bin/python")
    monkeypatch.setattr(vllm.shutil, "which", lambda name: None)
    command = vllm.batch_command(asked.generation.engine, asked, Path("/in"), Path("/out"))
    assert command == [
        "/venv/bin/python", "-m", "vllm.entrypoints.cli.main", "run-batch", "-i", "/in", "-o", "/out", "--model", str(tmp_path / "model"),
        "--served-model-name", "helper", "--enforce-eager", "--max-model-len", "512",
    ]  # fmt: skip
    monkeypatch.setattr(vllm.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert "--enforce-eager" not in vllm.batch_command(asked.generation.engine, asked, Path("/in"), Path("/out"))


def test_a_part_goes_there_and_back_and_leaves_no_file(engine: vllm.Vllm, tmp_path: Path) -> None:
    done: list[int] = []
    assert engine.answer(["one", "two"], done.append) == [Answer("ONE"), Answer("TWO")]
    assert done == [2]
    assert not (tmp_path / NOTE_FILE).exists()
    assert not (tmp_path / vllm.REQUESTS_FILE).exists()


def test_an_answer_may_hold_what_python_takes_for_the_end_of_a_line(engine: vllm.Vllm) -> None:
    texts = ["A\u2028B", "C\x85D"]
    assert engine.answer(texts, lambda more: None) == [Answer(text) for text in texts]


def test_a_job_that_is_to_stop_ends_its_engine(engine: vllm.Vllm, tmp_path: Path) -> None:
    engine._stopped = lambda: (tmp_path / NOTE_FILE).exists()
    with pytest.raises(Stopped):
        engine.answer(["sleep"], lambda more: None)
    assert not (tmp_path / NOTE_FILE).exists()


def test_a_model_without_a_template_for_conversations_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    asked: Any = job(tmp_path)
    with pytest.raises(MlctlError, match=r"batch\.no-chat-template"):
        vllm.Vllm(asked, asked.generation, asked.generation.engine, tmp_path, lambda: False)
