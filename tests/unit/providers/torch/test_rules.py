"""Every field that would have no effect, and every combination that no engine can do, is refused with the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Context
from mlctl.providers.torch.layout import engine_of
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_context

ROWS: dict[str, Any] = {
    "data": {"labels": "labels", "target": "y"}, "model": {"type": "mlp", "hidden": [4]}, "epochs": 4, "batch_size": 8,
    "optimizer": {"lr": 0.01},
}  # fmt: skip
TEXT: dict[str, Any] = {
    **ROWS, "data": {"dataset": "chat", "messages": "messages"}, "model": {"type": "causal_lm", "base": "models/tiny"},
}  # fmt: skip
PYTHON = {"type": "python", "entrypoint": "src/m.py:build", "dataset": "src/m.py:load", "loss": "src/m.py:loss"}
CODE = "def build(width=3):\n    pass\ndef load(files, split):\n    pass\ndef loss(outputs, targets):\n    pass\n"
ZERO2, CUT = {"type": "zero2", "processes": 2}, {"type": "tensor", "processes": 3}
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "num_attention_heads": 9, "num_key_value_heads": 3, "num_hidden_layers": 30,
    "hidden_size": 576, "intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    for name in ("models/tiny", "src"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "src/m.py").write_text(CODE)
    (tmp_path / "models/tiny/config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "models/tiny/tokenizer.json").write_text("{}")
    return make_context(tmp_path)


def found(values: dict[str, Any], ctx: Context) -> list[tuple[str, str]]:
    spec = TrainingSpec.model_validate(values)
    return [
        (item.code.removeprefix("training."), ".".join(map(str, item.path))) for item in Training().check(spec, ctx)
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"strategy": "auto"},
        {"strategy": {"type": "zero3", "processes": 2}, "memory": {"offload": ["optimizer", "parameters"]}},
        {"strategy": {"type": "fsdp", "processes": 2}, "memory": {"offload": ["optimizer", "parameters"]}},
        {"strategy": {"type": "tensor", "processes": 3}},
        {"method": {"type": "qlora"}, "strategy": {"type": "ddp", "processes": 2}},
        {"method": {"type": "galore"}, "optimizer": {"type": "adamw", "lr": 0.1, "betas": [0.8, 0.9]}},
        {"optimizer": {"type": "adamw_8bit", "lr": 0.1}, "strategy": {"type": "ddp", "processes": 2}},
        {"data": {"dataset": "chat", "prompt": "p", "completion": "c", "loss_on": "completions"}},
        {"data": {"dataset": "chat", "text": "t", "loss_on": "all"}},
        {"distill": {"teacher": "models/tiny", "alpha": 0.3}},
        {
            "distill": {"teacher": "models/tiny", "on_policy": True, "beta": 0.1, "max_new_tokens": 4},
            "data": {"dataset": "chat", "messages": "m", "packing": False},
        },
        {"early_stopping": {"patience": 3}},
    ],
)
def test_what_goes_together_is_let_through(ctx: Context, changed: dict[str, Any]) -> None:
    assert found({**TEXT, **changed}, ctx) == []


def test_a_model_with_its_own_dataset_is_let_through(ctx: Context) -> None:
    assert found({**ROWS, "model": PYTHON, "data": {"dataset": "chat"}}, ctx) == []


@pytest.mark.parametrize(
    ("changed", "code", "place"),
    [
        ({"data": {"dataset": "chat"}}, "text-columns", "data"),
        ({"data": {"dataset": "chat", "prompt": "p"}}, "text-columns", "data"),
        ({"data": {"dataset": "chat", "messages": "m", "text": "t"}}, "text-columns", "data"),
        ({"data": {"dataset": "chat", "text": "t", "loss_on": "completions"}}, "no-completions", "data.loss_on"),
        ({"data": {"labels": "labels", "target": "y"}}, "data-and-model", "data"),
        ({"task": "binary"}, "task-unused", "task"),
        ({"engine": "hf", "strategy": {"type": "fsdp", "processes": 2}}, "strategy", "strategy.type"),
        ({"engine": "torch", "strategy": {"type": "zero2", "processes": 2}}, "strategy", "strategy.type"),
        ({"engine": "torch", "method": {"type": "lora"}}, "method", "method.type"),
        ({"method": {"type": "lora"}, "strategy": {"type": "fsdp", "processes": 2}}, "strategy", "strategy.type"),
        ({"method": {"type": "qlora"}, "strategy": {"type": "zero3", "processes": 2}}, "method", "method.type"),
        ({"method": {"type": "galore"}, "strategy": {"type": "zero1", "processes": 2}}, "method", "method.type"),
        ({"strategy": {"type": "tensor", "processes": 2}}, "layout", "strategy"),
        ({"strategy": {"type": "pipeline", "stages": 4}}, "layout", "strategy"),
        ({"strategy": {"type": "ddp", "processes": 9}}, "batch-too-small", "batch_size"),
        ({"strategy": {"type": "ddp", "processes": 2}, "micro_batch_size": 5}, "micro-batch-too-large", "micro_batch_size"),
        ({"strategy": {"type": "3d", "data": 1, "tensor": 1, "pipeline": 1}}, "strategy", "strategy.type"),
        ({"optimizer": {"type": "sgd", "lr": 0.1, "betas": [0.9, 0.9]}}, "optimizer-field-unused", "optimizer.betas"),
        ({"optimizer": {"lr": 0.1, "momentum": 0.9}}, "optimizer-field-unused", "optimizer.momentum"),
        ({"optimizer": {"type": "sgd", "lr": 0.1}, "method": {"type": "galore"}}, "optimizer", "optimizer.type"),
        ({"optimizer": {"type": "adafactor", "lr": 0.1, "fused": True}}, "optimizer-field-unused", "optimizer.fused"),
        ({"optimizer": {"type": "adamw_8bit", "lr": 0.1}, "method": {"type": "galore"}}, "optimizer", "optimizer.type"),
        ({"optimizer": {"lr": 0.1, "fused": True}, "strategy": ZERO2}, "optimizer-field-unused", "optimizer.fused"),
        ({"optimizer": {"type": "adafactor", "lr": 0.1}, "strategy": ZERO2}, "optimizer", "optimizer.type"),
        ({"memory": {"compile": True}, "strategy": ZERO2}, "compile", "memory.compile"),
        ({"checkpoint": {"background": True}, "strategy": ZERO2}, "background", "checkpoint.background"),
        ({"memory": {"offload": ["activations"]}, "strategy": CUT}, "offload", "memory.offload"),
        ({"precision": "fp16", "strategy": CUT}, "precision", "precision"),
        ({"memory": {"offload": ["optimizer"]}}, "offload", "memory.offload"),
        ({"memory": {"offload": ["activations", "activations"]}}, "duplicate", "memory.offload"),
        ({"strategy": {"type": "fsdp", "processes": 2}, "memory": {"offload": ["optimizer"]}}, "offload", "memory.offload"),
        ({"early_stopping": {"patience": 4}}, "early-stopping-unused", "early_stopping.patience"),
        ({"checkpoint": {"s3": {"region": "eu"}}}, "s3-unused", "checkpoint.s3"),
        ({"distill": {"teacher": "models/tiny", "beta": 0.1}}, "distill-field-unused", "distill.beta"),
        ({"distill": {"teacher": "models/tiny", "on_policy": True, "alpha": 1}}, "distill-field-unused", "distill.alpha"),
        ({"distill": {"teacher": "models/none"}}, "base-missing", "distill.teacher"),
        ({"distill": {"teacher": "models/tiny", "on_policy": True}}, "distill", "data.packing"),
        (
            {"distill": {"teacher": "models/tiny", "on_policy": True}, "strategy": {"type": "zero3", "processes": 2}},
            "distill",
            "strategy.type",
        ),
        (
            {"distill": {"teacher": "models/tiny", "on_policy": True}, "data": {"dataset": "c", "text": "t", "packing": False}},
            "distill",
            "data",
        ),
        ({"model": {"type": "causal_lm", "base": "models/tniy"}}, "base-missing", "model.base"),
        ({"model": {"type": "causal_lm", "base": "src"}}, "base-incomplete", "model.base"),
        ({"model": {"type": "causal_lm", "base": "models/tiny", "adapters": [{"path": "src"}]}}, "adapter-missing", "model.adapters.0.path"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(ctx: Context, changed: dict[str, Any], code: str, place: str) -> None:
    assert (code, place) in found({**TEXT, **changed}, ctx)


@pytest.mark.parametrize(
    ("changed", "code", "place"),
    [
        ({"engine": "hf"}, "engine", "engine"),
        ({"strategy": {"type": "zero2", "processes": 2}}, "strategy", "strategy.type"),
        ({"method": {"type": "lora"}}, "method", "method.type"),
        ({"distill": {"teacher": "models/tiny"}}, "distill", "distill"),
        ({"data": {"dataset": "chat"}}, "data-and-model", "data"),
        ({"model": PYTHON, "data": {"dataset": "chat", "packing": True}}, "text-field-unused", "data.packing"),
        ({"model": {**PYTHON, "loss": None}, "data": {"dataset": "chat"}}, "loss-missing", "model"),
        ({"model": {**PYTHON, "loss": "src/m.py:lss"}, "data": {"dataset": "chat"}}, "entrypoint-missing", "model.loss"),
        ({"model": {**PYTHON, "loss": "src/m.py:build"}, "data": {"dataset": "chat"}}, "entrypoint-signature", "model.loss"),
        ({"model": {**PYTHON, "params": {"widht": 3}}, "data": {"dataset": "chat"}}, "entrypoint-signature", "model.params.widht"),
    ],
)  # fmt: skip
def test_what_is_not_for_rows_is_refused(ctx: Context, changed: dict[str, Any], code: str, place: str) -> None:
    assert (code, place) in found({**ROWS, **changed}, ctx)


@pytest.mark.parametrize(
    ("changed", "engine"),
    [
        ({}, "hf"),
        ({"strategy": {"type": "fsdp", "processes": 2}}, "torch"),
        ({"strategy": {"type": "zero2", "processes": 2}}, "hf"),
        ({"method": {"type": "lora"}}, "hf"),
        ({"engine": "torch"}, "torch"),
    ],
)
def test_the_engine_is_the_one_that_can_do_it(changed: dict[str, Any], engine: str) -> None:
    assert engine_of(TrainingSpec.model_validate({**TEXT, **changed})) == engine


def test_a_file_of_the_base_is_part_of_the_key(ctx: Context) -> None:
    spec = TrainingSpec.model_validate(TEXT)
    before = Training().parts(spec, ctx)
    assert list(before) == ["base:models/tiny"]
    (ctx.root / "models/tiny/config.json").write_text(json.dumps({**CONFIG, "hidden_size": 8}))
    assert Training().parts(spec, ctx) != before
