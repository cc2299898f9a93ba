from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.providers.serving.engines.capability import Machine, obstacles, planned_machine, refuse, this_machine
from mlctl.providers.serving.engines.rules import engine_problems, file_problems
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import Engine
from mlctl.testing.harness import make_context
from mlctl.types.diagnostic import MlctlError, Severity

ENGINE: TypeAdapter[Any] = TypeAdapter(Engine)
HERE = {"type": "vllm", "python": sys.executable}


@pytest.mark.parametrize(
    ("block", "gpus", "found"),
    [
        (HERE, 0, []),
        ({**HERE, "tensor_parallel": 2}, 2, []),
        ({**HERE, "tensor_parallel": 2}, 0, ["deploy.no-gpu: tensor_parallel"]),
        ({**HERE, "tensor_parallel": 4}, 2, ["deploy.no-gpu: tensor_parallel"]),
        ({**HERE, "gpu_memory": 0.5}, 0, ["deploy.no-effect: gpu_memory"]),
        ({**HERE, "gpu_memory": 0.5}, 1, []),
        ({**HERE, "threads": 2}, 1, ["deploy.no-effect: threads"]),
        ({**HERE, "quantization": "fp8"}, 0, ["deploy.no-gpu: quantization"]),
        ({**HERE, "quantization": "awq"}, 0, []),
        ({"type": "vllm", "python": "/not/there"}, 0, ["deploy.engine-missing: python"]),
        ({"type": "sglang", "python": sys.executable}, 0, ["deploy.no-gpu: type"]),
        ({"type": "sglang", "python": sys.executable}, 1, []),
        ({"type": "tgi"}, 0, ["deploy.engine-missing: launcher", "deploy.no-gpu: type"]),
        ({"type": "tensorrt_llm"}, 1, ["deploy.engine-missing: program"]),
        ({"command": ["/not/there", "{port}"]}, 0, ["deploy.engine-missing: command"]),
        ({"command": [sys.executable, "{port}"]}, 0, []),
    ],
)
def test_what_cannot_be_had_here_is_told_at_its_place(block: Any, gpus: int, found: list[str]) -> None:
    told = list(obstacles(ENGINE.validate_python(block), Machine(gpus)))
    assert [f"{item.code}: {item.path[-1]}" for item in told] == found
    assert all(item.severity is Severity.WARNING and item.fix for item in told)


@pytest.mark.parametrize("name", ["vllm", "xllamacpp"])
def test_an_engine_that_is_not_installed_is_refused_with_the_command_that_does_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    block = {"type": name, "gguf": "a.gguf"} if name == "xllamacpp" else {"type": name}
    with pytest.raises(MlctlError) as caught:
        refuse(ENGINE.validate_python(block), Machine(), "deployments.chat")
    [found] = caught.value.diagnostics
    assert (found.code, found.severity, found.address) == ("deploy.engine-missing", Severity.ERROR, "deployments.chat")
    assert f"mlctl engine install {name}" in found.fix


def test_a_machine_that_is_planned_for_is_the_one_that_engines_are_held_against(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = {**HERE, "quantization": "fp8", "tensor_parallel": 4, "gpu_memory": 0.5}
    spec = DeploymentSpec.model_validate({"model": "chat@champion", "serve": {"port": 8080, "engine": engine}})
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    assert list(engine_problems(spec)) == []
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:2")
    assert [item.path[-1] for item in engine_problems(spec)] == ["tensor_parallel"]
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:8:64GiB")
    assert {item.path[-1] for item in engine_problems(spec)} == {"quantization", "tensor_parallel", "gpu_memory"}
    for given in ("", "H1000:8"):  # whose name the estimate refuses
        monkeypatch.setenv(DEVICE_VARIABLE, given)
        assert planned_machine() == this_machine()


def test_a_file_that_nothing_makes_is_refused_before_anything_runs(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)

    def found(gguf: str) -> list[tuple[str, str]]:
        serve = {"port": 80, "engine": {"type": "xllamacpp", "gguf": gguf}}
        spec = DeploymentSpec.model_validate({"model": "m@a", "serve": serve})
        return [(item.code, item.fix) for item in file_problems(spec, ctx)]

    ((code, fix),) = found("models/none.gguf")
    assert code == "deploy.no-file"
    assert "export" in fix
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "nine.gguf").write_bytes(b"GGUF")
    assert found("models/none.gguf") == [("deploy.no-file", "did you mean `models/nine.gguf`?")]
    assert found("models/nine.gguf") == []
    assert found(f"{ctx.home.relative_to(tmp_path)}/objects/exports.edge/1/model.gguf") == []  # an export makes it
    assert found("../x.gguf")[0][0] == "spec.path-outside"
