from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlctl.runtime.llm.cores import Cores
from mlctl.runtime.llm.engine import filled, free_port, spoken_end
from mlctl.runtime.llm.failure import failed
from mlctl.runtime.llm.loading import Loading
from mlctl.runtime.report import Report
from mlctl.types.jobs.llm import EngineJob


def test_only_what_is_known_is_put_in() -> None:
    places = {"port": "8101", "model": "/m"}
    assert filled("--port={port} {model}{model}", places) == "--port=8101 /m/m"
    assert filled("{{ messages }} {cores} {nothing} {port", places) == "{{ messages }} {cores} {nothing} {port"


def test_ends_are_told_in_words() -> None:
    assert spoken_end(3) == "with exit code 3"
    assert "SIGKILL" in spoken_end(-9)
    assert "memory" in spoken_end(-9)
    assert spoken_end(-15) == "by SIGTERM"


def test_a_free_port_can_be_bound() -> None:
    assert 0 < free_port("127.0.0.1") < 65536


def test_servers_get_cores_of_their_own_until_none_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    one, two = Cores(0, tmp_path), Cores(1, tmp_path)
    assert (str(one), one.shared) == ("0,1", 0)
    assert (str(two), two.shared) == ("2", 0)
    three = Cores(3, tmp_path)
    assert (three.numbers, three.shared) == ([1, 2, 3], 2)
    assert Cores(99, tmp_path).numbers == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("serve: error: unrecognized arguments: --nonsense", "`engine.extra`"),
        ("ModuleNotFoundError: No module named 'vllm'", "its Python has no `vllm`"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory", "not enough memory"),
        ("ValueError: User-specified max_model_len (99999) is greater", "lower `max_model_len`"),
        ("safetensors_rust.SafetensorError: Error while deserializing header", "the model cannot be read"),
        ("something else", "see the whole log"),
    ],
)
def test_a_failure_says_what_can_be_done(tmp_path: Path, said: str, words: str) -> None:
    (tmp_path / "log.txt").write_text(f"INFO loading\n{said}\n")
    [found] = failed(tmp_path, EngineJob(type="vllm", command=[], model="m"), "it ended with exit code 1").diagnostics
    assert found.code == "llm.engine-failed"
    assert words in f"{found.why} {found.fix}"
    assert said in found.why


def test_what_an_engine_says_is_progress_without_its_prefixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlctl.runtime.llm.loading._EVERY_SECONDS", 0.0)
    log = tmp_path / "log.txt"
    log.write_text("of an earlier run\n")
    loading = Loading(Report(tmp_path), "vllm")
    with open(log, "a") as stream:
        stream.write("(EngineCore pid=12) INFO 11-22 13:00:01 [core.py:10] Chunked prefill is enabled\n\n")
    loading.look()
    told = (tmp_path / "events.jsonl").read_text()
    assert '"vllm: Chunked prefill is enabled, 0.0 s"' in told
    assert "earlier" not in told
