"""The model behind a deployment: found wherever it is made, and counted as it is kept."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mlctl.estimate.devices import GIB
from mlctl.provider import Context
from mlctl.providers.mlflow.spec import EvaluationSpec
from mlctl.providers.serving.deployment import Deployment
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.types.address import Address
from mlctl.types.value import Unknown
from tests.unit.providers.serving.foretelling import (
    GATE,
    LLAMA_8B,
    asked,
    block,
    foretold,
    stored,
)


@dataclass
class Project:
    """The blocks of a project."""

    blocks: Mapping[Address, Any] = field(default_factory=dict)
    edges: Mapping[Address, Collection[Address]] = field(default_factory=dict)

    def block(self, address: Address) -> Any | None:
        return self.blocks.get(address)

    def uses(self, address: Address) -> Collection[Address]:
        return self.edges.get(address, ())


def test_a_model_that_is_still_to_be_made_is_that_of_its_training(ctx: Context) -> None:
    (ctx.root / "base").mkdir()
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    first, second = Address("training", "first"), Address("training", "second")
    project = Project(
        {GATE: gate(), first: training("base"), second: training("${training.first.model}")},
        {GATE: [second], second: [first]},
    )
    desired = replace(
        asked(ctx, block({"type": "vllm", "max_model_len": 8192})), inputs={GATE: Unknown("it")}, blocks=project
    )
    found = Deployment().estimate(desired, (), ctx)
    assert found is not None
    assert found.parts["weights"] == pytest.approx(14.96 * GIB, rel=0.01)
    assert Deployment().workload(desired, (), ctx) is not None


def test_a_well_known_base_is_known_by_its_name(ctx: Context) -> None:
    trained = Address("training", "it")
    project = Project({GATE: gate(), trained: training("Qwen/Qwen2.5-14B", "a" * 40)}, {GATE: [trained]})
    desired = replace(
        asked(ctx, block({"type": "vllm", "max_model_len": 8192})), inputs={GATE: Unknown("it")}, blocks=project
    )
    found = Deployment().estimate(desired, (), ctx)
    assert found is not None
    assert found.parts["weights"] == pytest.approx(27.5 * GIB, rel=0.02)


def gate() -> EvaluationSpec:
    return EvaluationSpec.model_validate(
        {
            "model": "${training.it.model}", "dataset": "d", "require": {"loss": {"max": 1.0}},
            "register": {"name": "shops", "alias": "champion"},
        }
    )  # fmt: skip


def training(base: str, revision: str | None = None) -> TrainingSpec:
    return TrainingSpec.model_validate(
        {
            "data": {"dataset": "d", "text": "t", "max_length": 16}, "model": {"type": "causal_lm", "base": base, "revision": revision},
            "epochs": 1, "batch_size": 1, "optimizer": {"lr": 1e-4},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("config", "engine", "why"),
    [
        (None, "vllm", "registered once its evaluation is made"),
        ({**LLAMA_8B, "model_type": "deepseek_v3"}, "vllm", "deepseek_v3"),
        ({**LLAMA_8B, "quantization_config": {"quant_method": "exl2"}}, "vllm", "exl2"),
        ({**LLAMA_8B, "quantization_config": "awq"}, "vllm", "`quantization_config` cannot be read"),
        (
            {**LLAMA_8B, "quantization_config": {"quant_method": "modelopt", "quantization": "x"}},
            "vllm",
            "cannot be read",
        ),
        (
            {**LLAMA_8B, "quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"0": 8}}},
            "vllm",
            "cannot be read",
        ),
        ({**LLAMA_8B, "max_position_embeddings": None}, "vllm", "max_model_len"),
        (LLAMA_8B, {"command": ["serve", "{port}"]}, "`command` takes cannot be counted"),
        (LLAMA_8B, {"type": "vllm", "extra": {"cpu-offload-gb": 4}}, "cpu-offload-gb"),
    ],
)
def test_what_cannot_be_counted_is_said_and_not_guessed(
    ctx: Context, config: Mapping[str, Any] | None, engine: Any, why: str
) -> None:
    inputs = {} if config is None else stored(ctx, config)
    found = foretold(ctx, block(engine), inputs)
    assert found.memory is None
    assert any(why in text for text in found.notes), found.notes
    assert Deployment().workload(asked(ctx, block(engine), inputs), (), ctx) is None


def test_scales_for_keys_leave_the_room_open(ctx: Context) -> None:
    stored_so = {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}
    found = foretold(ctx, block(), stored(ctx, {**LLAMA_8B, "quantization_config": stored_so}))
    assert found.parts["weights"] == pytest.approx(8.5 * GIB, rel=0.02)
    assert "its room is not told" in found.notes[0]


@pytest.mark.parametrize(
    ("config", "engine", "gibibytes"),
    [
        ({}, {"type": "vllm", "dtype": "float32"}, 29.9),
        ({}, {"type": "vllm", "quantization": "fp8"}, 8.5),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, {"type": "vllm"}, 5.3),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, {"type": "vllm"}, 8.5),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, {"type": "vllm"}, 5.6),
        ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"0": {"weights": {"num_bits": 8, "type": "int"}}}}},
         {"type": "vllm"}, 8.6),
        ({}, {"type": "tgi", "quantization": "eetq"}, 8.6),
        ({}, {"type": "sglang", "python": "p", "quantization": "w8a8_int8"}, 8.6),
    ],
)  # fmt: skip
def test_weights_are_counted_as_they_are_kept(
    ctx: Context, config: Mapping[str, Any], engine: Mapping[str, Any], gibibytes: float
) -> None:
    found = foretold(ctx, block({**engine, "max_model_len": 2048}), stored(ctx, {**LLAMA_8B, **config}))
    assert found.parts["weights"] / GIB == pytest.approx(gibibytes, rel=0.02)
