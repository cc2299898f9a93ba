"""Estimates against what others say: Transformers' own count of parameters, DeepSpeed's estimators, and a real training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlctl.estimate import memory
from mlctl.estimate.devices import named
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import KNOWN, LanguageShape, from_config
from mlctl.types.estimate import Range
from tests.integration.text.project import TextProject

pytestmark = pytest.mark.tools

_SIZES = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 200,
    "vocab_size": 300, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_GPT2 = {
    "n_embd": 64,
    "n_layer": 3,
    "n_head": 4,
    "vocab_size": 300,
    "n_positions": 50,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_COUNT = """
import json, sys, torch
from transformers import AutoConfig, AutoModelForCausalLM
for kind, sizes in json.loads(sys.argv[1]):
    config = AutoConfig.for_model(kind, **sizes)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    print(json.dumps([json.loads(config.to_json_string()), sum(item.numel() for item in model.parameters())]))
"""
_ORACLE = """
import json
from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs as second
from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs as third
print(json.dumps([[second(p, 8, 1, False)[1], third(p, 0, 8, 1, False, False)[1]] for p in (7 * 10**9, 70 * 10**9)]))
"""


def told(program: str, *arguments: str) -> list[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return [line for line in done.stdout.splitlines() if line.startswith("[")]


def test_parameters_are_those_that_transformers_makes() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    for kind in KNOWN:
        sizes = _GPT2 if kind == "gpt2" else _SIZES if kind in ("phi3", "gpt_neox") else {**_SIZES, "head_dim": 24}
        asked += [(kind, {**sizes, **more}) for more in ({}, {"tie_word_embeddings": True}, {"attention_bias": True})]
    lines = told(_COUNT, json.dumps(asked))
    assert len(lines) == len(asked)
    for line in lines:
        config, parameters = json.loads(line)
        assert from_config(config).parameters == parameters, config["model_type"]


def test_states_under_zero_are_those_that_deepspeed_says() -> None:
    device = named("A100-80GB:8")
    assert device is not None
    (line,) = told(_ORACLE)
    for parameters, needed in zip((7 * 10**9, 70 * 10**9), json.loads(line), strict=True):
        shape = LanguageShape(
            "llama", 1, 1, 1, 1, 1, 1, 1, tied=True, linears=(), small=0, tables=parameters, final=0
        )  # fmt: skip
        for strategy, expected in zip(("zero2", "zero3"), needed, strict=True):
            setup = Setup(shape, device, batch=8, engine="hf", strategy=strategy, data=8, precision="bf16")
            parts = memory.parts(setup)
            states = [parts[name] for name in ("weights", "gradients", "optimizer")]
            assert sum(item.low for item in states) <= expected <= sum(item.high for item in states)
            assert sum(item.low for item in states) == pytest.approx(expected, rel=0.12)


@pytest.mark.soak
def test_what_a_training_takes_is_within_what_was_foreseen(tmp_path: Path) -> None:
    project = TextProject(tmp_path)
    changed = {"engine": "torch", "epochs": 1}
    foreseen = project.training.estimate(project.desired("training.m", **changed), [], project.ctx)
    made = project.train("training.m", **changed)
    kept = made.outputs["estimate"]
    assert isinstance(kept, dict)
    needed: Range | None = foreseen.memory
    assert needed is not None
    assert needed.low < kept["actual"]["memory"] < needed.high
    assert kept["actual"]["tokens_per_second"] > 0
    again = project.training.estimate(project.desired("training.m", **changed, seed=4), [made], project.ctx)
    assert again.memory is not None
    assert again.memory.basis == "calibrated from 1 run"
    assert again.memory.mid == pytest.approx(kept["actual"]["memory"], rel=0.01)
