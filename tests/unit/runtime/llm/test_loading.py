"""What those hear who wait for an engine that takes minutes to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.runtime.llm import loading
from mlctl.runtime.llm.loading import Loading
from mlctl.runtime.report import Report
from mlctl.types import job as contract

VLLM = "(EngineCore pid=7) INFO 11-22 13:00:01 [gpu_model_runner.py:123] "


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Told(Report):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.said: list[str] = []

    def progress(self, message: str, *_: object, **__: object) -> None:  # type: ignore[override]
        self.said.append(message)


def test_a_stage_is_told_and_said_again_with_the_time_while_the_engine_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, told, log = Clock(), Told(tmp_path), tmp_path / contract.LOG_FILE
    monkeypatch.setattr(loading, "time", clock)
    log.write_text("what another release wrote: Capturing CUDA graphs\n")
    found = Loading(told, "vllm")
    lines = {
        2: VLLM + f"Initializing an engine with config: {'x' * 60} cudagraph capturing, torch.compile\n",
        3: VLLM + "Starting to load model /srv/models/base...\n",
        34: VLLM + "Loading weights took 1.2 seconds\n" + VLLM + "torch.compile takes 3 s in total\n",
        36: "INFO something of its own\n",
    }
    for second in range(1, 42):
        clock.now = 1000.0 + second
        with open(log, "a") as stream:
            stream.write(lines.get(second, ""))
        found.look()
        found.look()
    assert told.said == [
        "starting vllm",
        f"vllm: Initializing an engine with config: {'x' * 60} cud, 2.0 s",
        "vllm: loading the model, 3.0 s",
        "vllm: loading the model, 8.0 s",
        "vllm: loading the model, 13 s",
        "vllm: loading the model, 18 s",
        "vllm: loading the model, 23 s",
        "vllm: loading the model, 28 s",
        "vllm: loading the model, 33 s",
        "vllm: compiling, 34 s",
        "vllm: INFO something of its own, 36 s",
        "vllm: INFO something of its own, 41 s",
    ]


def test_an_engine_that_writes_nothing_at_all_is_told_of_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = Clock(), Told(tmp_path)
    monkeypatch.setattr(loading, "time", clock)
    found = Loading(told, "xllamacpp")
    for second in range(1, 12):
        clock.now = 1000.0 + second
        found.look()
    assert told.said == ["starting xllamacpp", "starting xllamacpp, 5.0 s", "starting xllamacpp, 10 s"]
