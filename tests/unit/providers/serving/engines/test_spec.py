from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mlctl.providers.serving.spec.engines import CommandEngine, Engine, TorchEngine, VllmEngine
from mlctl.providers.serving.spec.serve import ServeSpec

ENGINE: TypeAdapter[Any] = TypeAdapter(Engine)


def test_short_forms_mean_what_they_say() -> None:
    assert isinstance(ENGINE.validate_python("torch"), TorchEngine)
    assert isinstance(ENGINE.validate_python("vllm"), VllmEngine)
    assert ENGINE.validate_python({"python": "/opt/vllm/bin/python"}).python == "/opt/vllm/bin/python"
    assert isinstance(ENGINE.validate_python({"command": ["serve", "{port}"]}), CommandEngine)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("vlm", "does not match any of the expected tags"),
        ({"type": "vllm", "gguf": "a.gguf"}, "Extra inputs are not permitted"),
        ({"type": "xllamacpp"}, "Field required"),
        ({"type": "vllm", "extra": {"max-num-seqs": 3}}, "set `max_running` instead"),
        ({"type": "vllm", "extra": {"max_num_seqs": 3}}, "set `max_running` instead"),
        ({"type": "vllm", "extra": {"middleware": "x.Y"}}, "is set by mlctl; remove it"),
        ({"type": "vllm", "extra": {"--seed": 3}}, "write it without dashes"),
        ({"type": "vllm", "extra": {"hf-token": "x"}}, "give a secret by `environment`"),
        ({"type": "vllm", "environment": {"A B": "x"}}, "is not the name of an environment variable"),
        ({"type": "vllm", "environment": {"MLCTL_KEY": "x"}}, "is set by mlctl"),
        ({"type": "vllm", "environment": {"VLLM_CPU_KVCACHE_SPACE": "3"}}, "set `kv_cache_gb` instead"),
        ({"type": "vllm", "lora": {"max_rank": 7}}, "Input should be 8, 16"),
        ({"command": ["serve"]}, "`{port}` has to stand in the command"),
        ({"command": ["serve", "{port}", "{modle}"]}, "`{modle}` stands for nothing"),
        ({"command": ["serve", "{port}"], "health": "health"}, "String should match pattern"),
    ],
)
def test_what_has_no_effect_or_no_sense_is_refused(block: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ENGINE.validate_python(block)
    assert words in str(caught.value)


def test_a_state_tells_engines_apart_that_have_nothing_but_defaults() -> None:
    kept = [
        ServeSpec.model_validate({"port": 1, "engine": name}).model_dump(mode="json", exclude_defaults=True)
        for name in ("vllm", "tgi", "torch")
    ]
    assert kept == [{"port": 1, "engine": {"type": "vllm"}}, {"port": 1, "engine": {"type": "tgi"}}, {"port": 1}]
    assert isinstance(ServeSpec.model_validate(kept[0]).engine, VllmEngine)
