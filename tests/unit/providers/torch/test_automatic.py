"""The strategy that `auto` takes: one that fits, and that goes with the rest of the training."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.provider import Context
from mlctl.providers.torch.devices import place_of
from mlctl.providers.torch.layout import choose
from mlctl.providers.torch.rules_engine import check_engine, check_memory, check_strategy
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_desired
from mlctl.types.diagnostic import MlctlError
from tests.unit.providers.torch.trainings import LLAMA_8B, POD, TEXT, foreseen, rows, without


def test_a_strategy_of_its_own_is_told_with_its_reason(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    values = {**TEXT, "strategy": "auto", "micro_batch_size": 1, "memory": {"gradient_checkpointing": True}}
    layout, why = choose(TrainingSpec.model_validate(values), ctx)
    assert (layout.strategy, layout.data) == ("zero2", 8)
    assert why.startswith("zero2: takes ")
    assert foreseen(ctx, values).notes[0] == why
    layout, _ = choose(TrainingSpec.model_validate({**values, "engine": "torch"}), ctx)
    assert (layout.strategy, layout.data) == ("fsdp", 8)


@pytest.mark.parametrize(
    ("device", "changed", "strategy", "processes"),
    [
        ("cpu:8:64GiB", {}, "single", 1),
        ("cpu:8:64GiB", {"strategy": {"type": "auto", "processes": 2}}, "ddp", 2),
        ("H100:1", {}, "single", 1),
        ("H100:8", {}, "ddp", 8),
        ("H100:8", {"batch_size": 3}, "ddp", 3),
        ("H100:4", {"method": {"type": "galore"}}, "ddp", 4),
        ("H100:4", {"memory": {"offload": ["optimizer"]}}, "zero2", 4),
        ("H100:4", {"memory": {"offload": ["parameters"]}}, "zero3", 4),
        ("H100:4", {"memory": {"offload": ["parameters", "optimizer"]}, "engine": "torch"}, "fsdp", 4),
    ],
)
def test_auto_goes_with_the_rest_of_the_training(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, device: str, changed: dict[str, Any], strategy: str, processes: int
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, device)
    layout, _ = choose(TrainingSpec.model_validate({**TEXT, "strategy": "auto", **changed}), ctx)
    assert (layout.strategy, layout.processes) == (strategy, processes)


@pytest.mark.parametrize(
    ("base", "strategy"),
    [("Qwen/Qwen2.5-14B", "fsdp"), ("mistralai/Mistral-7B-v0.3", "fsdp"), ("microsoft/phi-4", None)],
)
def test_a_well_known_base_that_is_not_here_is_shared_as_one_that_is(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, base: str, strategy: str | None
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    model = {"type": "causal_lm", "base": base, "revision": "a" * 40}
    values = {**TEXT, "model": model, "engine": "torch", "strategy": "auto", "micro_batch_size": 1}
    if strategy is None:  # which the engine cannot take apart, here or not
        with pytest.raises(MlctlError, match="cannot be decided"):
            choose(TrainingSpec.model_validate(values), ctx)
        return
    layout, _ = choose(TrainingSpec.model_validate(values), ctx)
    assert layout.strategy == strategy


@pytest.mark.parametrize(
    "more",
    [
        {"optimizer": {"type": "adamw_8bit", "lr": 1e-4}},
        {"optimizer": {"type": "adafactor", "lr": 1e-4}},
        {"optimizer": {"type": "adamw", "lr": 1e-4, "fused": True}},
        {"memory": {"gradient_checkpointing": True, "compile": True}},
        {"memory": {"gradient_checkpointing": True, "offload": ["optimizer"]}},
        {"memory": {"offload": ["activations"]}, "engine": "torch"},
        {"checkpoint": {"background": True}},
        {"precision": "fp16", "engine": "torch"},
        {"distill": {"teacher": "base"}},
    ],
)
@pytest.mark.parametrize("device", ["H100:8", "A100:8", "L4:8"])
def test_auto_never_takes_what_would_be_refused_by_name(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, device: str, more: dict[str, Any]
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, device)
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    values = {**TEXT, "micro_batch_size": 1, "memory": {"gradient_checkpointing": True}, **more}
    try:
        layout, _ = choose(TrainingSpec.model_validate({**values, "strategy": "auto"}), ctx)
    except MlctlError:  # nothing that is left fits
        return
    assert layout.processes == 8
    named = TrainingSpec.model_validate({**values, "strategy": {"type": layout.strategy, "processes": 8}})
    assert [*check_strategy(named), *check_engine(named), *check_memory(named)] == []


def test_an_architecture_that_cannot_be_counted_is_never_said_to_be_known_later(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ctx.root / "base" / "config.json").write_text(json.dumps({"model_type": "mixtral"}))
    for found in (foreseen(ctx, TEXT), without(ctx, TEXT)):
        assert found.memory is None
        assert "unknown: the architecture `mixtral`" in found.notes[-1]
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    for ask in (foreseen, without):
        with pytest.raises(MlctlError, match="cannot be decided"):
            ask(ctx, {**TEXT, "strategy": "auto"})
    pending = {**TEXT, "strategy": "auto", "model": {"type": "causal_lm", "base": "${training.other.model}"}}
    desired = make_desired(Training(), "training.m", TEXT, ctx, rows())
    later = Training().estimate(replace(desired, spec=TrainingSpec.model_validate(pending)), [], ctx)
    assert "is still to be made" in later.notes[-1]


def test_auto_of_what_cannot_be_told_is_refused(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    (ctx.root / "base" / "config.json").write_text(json.dumps({"model_type": "mixtral"}))
    with pytest.raises(MlctlError, match="auto"):
        choose(TrainingSpec.model_validate({**TEXT, "strategy": "auto"}), ctx)


@pytest.mark.parametrize(
    "executor",
    [
        {**POD, "nodes": 2, "gpus": 4},
        {"type": "slurm", "nodes": 2, "gpus_per_node": 4},
        {"type": "skypilot", "storage": "s3://bucket/jobs", "nodes": 2, "gpu": "Z1", "gpus": 4},
    ],
)
def test_auto_on_many_gpus_of_which_nothing_is_known_is_not_one_process(ctx: Context, executor: dict[str, Any]) -> None:
    spec = TrainingSpec.model_validate({**TEXT, "strategy": "auto", "executor": executor})
    assert place_of(spec).device.count == 8
    with pytest.raises(MlctlError, match="auto"):
        choose(spec, ctx)


def test_auto_of_what_fits_nowhere_is_refused_with_a_way(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "T4:2")
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    with pytest.raises(MlctlError) as error:
        choose(TrainingSpec.model_validate({**TEXT, "strategy": "auto"}), ctx)
    (found,) = error.value.diagnostics
    assert found.code == "training.does-not-fit"
    assert "method: {type: qlora}" in found.fix
