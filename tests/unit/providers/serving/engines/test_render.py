"""What each engine is started with, as text that is read: `MLCTL_GOLDEN=write pytest` writes it anew."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from mlctl.providers.serving.engines.render import Facts, render
from mlctl.providers.serving.spec.engines import Engine
from mlctl.types.jobs.llm import PLACES, EngineJob

GOLDEN = Path(__file__).with_name("rendered")
ENGINE: TypeAdapter[Any] = TypeAdapter(Engine)
FULL = {"dtype": "bfloat16", "max_model_len": 4096, "max_running": 16, "tensor_parallel": 2}
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "vllm-cpu": ({"type": "vllm"}, False),
    "vllm-cpu-full": (
        {
            "type": "vllm", "dtype": "bfloat16", "max_model_len": 1024, "max_running": 8, "kv_cache_gb": 2, "quantization": "awq",
            "prefix_caching": False, "compile": True, "lora": {"max_adapters": 3, "max_rank": 8}, "threads": 2,
            "extra": {"seed": 7, "async_scheduling": False, "enable-log-requests": True, "generation-config": "vllm"},
            "environment": {"HF_TOKEN": "hf_xxxxxxxx", "VLLM_LOGGING_LEVEL": "DEBUG"},
        },
        False,
    ),
    "vllm-gpu": ({"type": "vllm", **FULL, "kv_cache_gb": 4, "gpu_memory": 0.85, "compile": False}, True),
    "xllamacpp": ({"type": "xllamacpp", "gguf": "exports/helper.gguf", "max_running": 4, "threads": 1}, False),
    "sglang": (
        {"type": "sglang", "python": "/opt/sglang/bin/python", **FULL, "gpu_memory": 0.8, "quantization": "fp8", "prefix_caching": False},
        True,
    ),
    "tgi": ({"type": "tgi", **FULL, "gpu_memory": 0.9, "quantization": "awq", "extra": {"max-input-tokens": 2048}}, True),
    "tensorrt_llm": (
        {"type": "tensorrt_llm", "max_model_len": 4096, "max_running": 16, "tensor_parallel": 2, "gpu_memory": 0.8},
        True,
    ),
    "triton": ({"type": "triton", **FULL, "gpu_memory": 0.8, "quantization": "gptq"}, True),
    "command": ({"command": ["/opt/serve", "--model={model}", "--name", "{name}", "--listen", "{host}:{port}"]}, False),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_engine_is_started_as_was_read_and_agreed(name: str) -> None:
    block, gpu = CASES[name]
    text = "".join(f"{line}\n" for line in _shown(_render(block, gpu)))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("MLCTL_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_field_of_an_engine_has_an_effect(name: str) -> None:
    """Each field that a case sets is taken away once, and something else has to come out."""
    block, gpu = CASES[name]
    whole = _render(block, gpu)
    for field in [item for item in block if item not in ("type", "gguf", "command")]:
        assert (
            _render({key: value for key, value in block.items() if key != field} | _needed(block, field), gpu) != whole
        ), field


def test_what_stands_for_something_is_known_to_the_server() -> None:
    import re

    for block, gpu in CASES.values():
        job = _render(block, gpu)
        words = re.findall(r"\{(\w+)\}", " ".join([*job.command, *job.environment.values(), *job.files.values()]))
        assert {*words} <= PLACES | {"name"}, block


def test_a_model_that_was_trained_on_prompts_is_asked_by_prompts() -> None:
    engine = ENGINE.validate_python("vllm")
    job = render(engine, Facts("helper", "chat", "made/model", False, "PYTHON", chat_template="{{ messages }}"))
    assert job.files == {"chat_template.jinja": "{{ messages }}"}
    assert job.command[job.command.index("--chat-template") + 1] == "{folder}/chat_template.jinja"


def test_the_time_to_start_is_the_projects() -> None:
    assert _render({"type": "vllm", "start_timeout": "90s"}, False).start_seconds == 90


def _render(block: dict[str, Any], gpu: bool) -> EngineJob:
    engine = ENGINE.validate_python(block)
    return render(engine, Facts("helper", "chat", "made/model", gpu, "PYTHON"))


def _needed(block: dict[str, Any], field: str) -> dict[str, Any]:
    """What a block cannot do without."""
    return {"python": "/another/python"} if field == "python" else {}


def _shown(job: EngineJob) -> Iterator[str]:
    for name, value in sorted(job.environment.items()):
        yield f"{name}={value}"
    for path, text in sorted(job.files.items()):
        yield f"{path}:"
        yield from (f"  {line}" for line in text.splitlines())
    yield f"# model {job.model}, health {job.health}, threads {job.threads}, adapters {job.adapters}"
    yield f"# with our middleware: {' '.join(job.middleware) or 'cannot'}"
    yield from job.command
