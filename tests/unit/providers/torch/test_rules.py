"""Every field that would have no effect, and every combination that no engine can do, is refused with the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Context
from mlctl.providers.torch.layout import engine_of
from mlctl.providers.torch.rules_engine import check_engine
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_context
from mlctl.types.diagnostic import Severity

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
    (tmp_path / "models/tiny/model.safetensors").touch()
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
        ({"method": {"type": "qlora"}, "strategy": {"type": "zero3", "processes": 2}}, "excluded", "method.type"),
        ({"method": {"type": "galore"}, "strategy": {"type": "zero1", "processes": 2}}, "excluded", "method.type"),
        ({"strategy": {"type": "tensor", "processes": 2}}, "layout", "strategy"),
        ({"strategy": {"type": "pipeline", "stages": 4}}, "layout", "strategy"),
        ({"strategy": {"type": "ddp", "processes": 9}}, "batch-too-small", "batch_size"),
        ({"strategy": {"type": "ddp", "processes": 2}, "micro_batch_size": 5}, "micro-batch-too-large", "micro_batch_size"),
        ({"strategy": {"type": "3d", "data": 1, "tensor": 1, "pipeline": 1}}, "strategy", "strategy.type"),
        ({"optimizer": {"type": "sgd", "lr": 0.1, "betas": [0.9, 0.9]}}, "optimizer-field-unused", "optimizer.betas"),
        ({"optimizer": {"lr": 0.1, "momentum": 0.0}}, "optimizer-field-unused", "optimizer.momentum"),
        ({"optimizer": {"type": "sgd", "lr": 0.1}, "method": {"type": "galore"}}, "optimizer", "optimizer.type"),
        ({"optimizer": {"type": "adafactor", "lr": 0.1, "fused": True}}, "optimizer-field-unused", "optimizer.fused"),
        ({"optimizer": {"type": "adamw_8bit", "lr": 0.1}, "method": {"type": "galore"}}, "optimizer", "optimizer.type"),
        ({"optimizer": {"lr": 0.1, "fused": True}, "strategy": ZERO2}, "excluded", "optimizer.fused"),
        ({"optimizer": {"type": "adafactor", "lr": 0.1}, "strategy": ZERO2}, "excluded", "optimizer.type"),
        ({"memory": {"compile": True}, "strategy": ZERO2}, "excluded", "memory.compile"),
        ({"checkpoint": {"background": True}, "strategy": ZERO2}, "excluded", "checkpoint.background"),
        ({"memory": {"offload": ["activations"]}, "strategy": CUT}, "excluded", "memory.offload"),
        ({"precision": "fp16", "strategy": CUT}, "excluded", "precision"),
        ({"memory": {"offload": ["optimizer"]}}, "excluded", "memory.offload"),
        ({"memory": {"offload": ["activations", "activations"]}}, "duplicate", "memory.offload"),
        ({"strategy": {"type": "fsdp", "processes": 2}, "memory": {"offload": ["optimizer"]}}, "offload", "memory.offload"),
        ({"early_stopping": {"patience": 4}}, "early-stopping-unused", "early_stopping.patience"),
        ({"checkpoint": {"s3": {"region": "eu"}}}, "s3-unused", "checkpoint.s3"),
        ({"distill": {"teacher": "models/tiny", "beta": 0.1}}, "distill-field-unused", "distill.beta"),
        ({"distill": {"teacher": "models/tiny", "on_policy": True, "alpha": 1}}, "distill-field-unused", "distill.alpha"),
        ({"distill": {"teacher": "models/none"}}, "base-missing", "distill.teacher"),
        ({"distill": {"teacher": "models/tiny", "on_policy": True}}, "distill", "data.packing"),
        (
            {"distill": {"teacher": "models/tiny"}, "strategy": {"type": "zero3", "processes": 2}},
            "excluded",
            "distill",
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
        ({"memory": {"gradient_checkpointing": True}}, "checkpointing-unused", "memory.gradient_checkpointing"),
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


def test_a_well_known_model_of_a_hub_is_cut_evenly_too(ctx: Context) -> None:
    model = {"type": "causal_lm", "base": "meta-llama/Llama-3.1-8B", "revision": "0123abcd"}
    assert ("layout", "strategy") in found({**TEXT, "model": model, "strategy": CUT}, ctx)  # 32 heads by 3
    assert found({**TEXT, "model": model, "strategy": {**CUT, "processes": 4}}, ctx) == []
    unheard_of = {**model, "base": "somebody/of-mine"}
    assert found({**TEXT, "model": unheard_of, "strategy": CUT}, ctx) == []


@pytest.mark.parametrize("base", [{"base": "models/tiny"}, {"base": "meta-llama/Llama-3.1-8B", "revision": "0123abcd"}])
def test_a_slip_in_the_target_of_adapters_is_told_before_the_base_is_loaded(ctx: Context, base: dict[str, str]) -> None:
    def said(*target: str) -> list[tuple[str, str]]:
        method = {"type": "lora", "target": list(target)}
        return found({**TEXT, "model": {"type": "causal_lm", **base}, "method": method}, ctx)

    assert said("q_proj", "self_attn.v_proj", "layers.1.mlp.down_proj", "embed_tokens") == []
    assert said("q_proj", "v_porj") == [("method-target", "method.target")]  # beside a right one PEFT passes over it
    assert said("attn") == [("method-target", "method.target")]


def test_a_strategy_that_adapters_rule_out_is_told_without_an_engine_that_nobody_wrote() -> None:
    spec = TrainingSpec.model_validate({**TEXT, "method": {"type": "lora"}, "strategy": CUT})
    (problem,) = check_engine(spec)
    assert problem.summary == f"`lora` does not go with `{CUT['type']}`"
    assert "engine" not in problem.fix
    assert "`zero3`" in problem.fix
    rounded = TrainingSpec.model_validate({**TEXT, "method": {"type": "qlora"}, "strategy": CUT})
    assert "`zero3`" not in next(iter(check_engine(rounded))).fix  # whose weights cannot be cut
    named = TrainingSpec.model_validate({**TEXT, "engine": "hf", "strategy": CUT})
    assert next(iter(check_engine(named))).fix.startswith("remove `engine`")


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


@pytest.mark.parametrize("size", ["", "{", "[]"])
def test_a_base_whose_config_cannot_be_read_is_refused_before_anything_runs(ctx: Context, size: str) -> None:
    (ctx.root / "models/tiny/config.json").write_text(size)
    assert found(TEXT, ctx) == [("base-incomplete", "model.base")]


def test_a_base_without_weights_is_refused(ctx: Context) -> None:
    (ctx.root / "models/tiny/model.safetensors").rename(ctx.root / "models/tiny/pytorch_model.bin")
    assert found(TEXT, ctx) == [("base-incomplete", "model.base")]


def test_a_gguf_file_as_base_is_to_be_converted(ctx: Context) -> None:
    (ctx.root / "models/tiny.gguf").touch()
    spec = TrainingSpec.model_validate({**TEXT, "model": {"type": "causal_lm", "base": "models/tiny.gguf"}})
    (problem,) = Training().check(spec, ctx)
    assert "mlctl models convert models/tiny.gguf" in problem.fix


def test_an_adapter_is_not_taken_for_a_base(ctx: Context) -> None:
    (ctx.root / "models/tiny/config.json").rename(ctx.root / "models/tiny/adapter_config.json")
    (problem,) = Training().check(TrainingSpec.model_validate(TEXT), ctx)
    assert "model.adapters" in problem.fix


@pytest.mark.parametrize(
    ("revision", "codes"),
    [
        ("main", ["training.revision-moves"]),
        ("v1.0", ["training.revision-moves"]),
        ("0e9e39f249a16976918f6564b8830bc894c89659", []),
    ],
)
def test_a_revision_that_can_be_moved_is_warned_of(ctx: Context, revision: str, codes: list[str]) -> None:
    model = {"type": "causal_lm", "base": "acme/model", "revision": revision}
    problems = Training().check(TrainingSpec.model_validate({**TEXT, "model": model}), ctx)
    assert [item.code for item in problems] == codes
    assert all(item.severity is Severity.WARNING and "commit" in item.fix for item in problems)


@pytest.mark.parametrize("base", ["models/tiny", "${training.other.model}"])
def test_a_revision_has_no_effect_on_a_folder(ctx: Context, base: str) -> None:
    model = {"type": "causal_lm", "base": base, "revision": "0123abcd"}
    assert found({**TEXT, "model": model}, ctx) == [("revision-unused", "model.revision")]
    assert found({**TEXT, "model": {**model, "base": "owner/name"}}, ctx) == []


def test_rows_longer_than_the_base_takes_are_refused(ctx: Context) -> None:
    (ctx.root / "models/tiny/config.json").write_text(json.dumps({**CONFIG, "max_position_embeddings": 512}))
    assert found(TEXT, ctx) == [("too-long", "data")]
    data = {"dataset": "chat", "messages": "messages", "max_length": 513}
    assert found({**TEXT, "data": data}, ctx) == [("too-long", "data.max_length")]
    assert found({**TEXT, "data": {**data, "max_length": 512}}, ctx) == []


def test_micro_batches_are_those_of_a_pipeline(ctx: Context) -> None:
    layout = {"type": "3d", "data": 2, "tensor": 3, "pipeline": 1}
    assert found({**TEXT, "batch_size": 2, "strategy": layout}, ctx) == []


@pytest.mark.parametrize("name", ["ddp", "zero3", "pipeline", "3d"])
def test_a_strategy_without_its_numbers_is_told_how_it_is_written(name: str) -> None:
    with pytest.raises(ValueError, match=rf"write `{{type: {name}, "):
        TrainingSpec.model_validate({**ROWS, "strategy": name})


def test_a_warm_up_says_both_ways_to_write_it() -> None:
    with pytest.raises(ValueError, match="100 steps"):
        TrainingSpec.model_validate({**ROWS, "optimizer": {"lr": 0.1, "warmup": "5 stps"}})


@pytest.mark.parametrize("name", ["epochs", "max_steps", "batch_size"])
def test_counts_that_no_tool_has_a_type_for_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="less than"):
        TrainingSpec.model_validate({**ROWS, name: 2**31})
