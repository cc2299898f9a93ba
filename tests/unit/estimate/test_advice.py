"""Which of the ten ways apply is told from a resource's fields, and a saving is the estimate with a change held against that without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.estimate import advice_serving, advice_training
from mlctl.estimate.advice import (
    ACCUMULATION,
    ADAPTERS,
    BATCHING,
    CACHING,
    CHECKPOINTING,
    DISTILLATION,
    PRECISION,
    QUANTIZATION,
    REMOVE,
    SIZING,
    SPOT,
    TACTICS,
    Change,
    Difference,
    Idea,
    Saving,
    Standing,
    Tactic,
)
from mlctl.estimate.devices import NAMED, Device
from mlctl.types.estimate import Range

CPU = Device("cpu", 8, 64e9, host=True, fast_half=False)
FULL: dict[str, Any] = {
    "model": {"type": "causal_lm"}, "method": {"type": "full"}, "precision": "fp32", "batch_size": 64, "micro_batch_size": None,
    "strategy": {"type": "single"}, "memory": {"gradient_checkpointing": False}, "optimizer": {"type": "adamw", "fused": False},
    "checkpoint": {"every": "1 epochs"}, "executor": {"type": "skypilot", "spot": False, "infra": None}, "engine": None,
    "distill": None,
}  # fmt: skip
SERVED: dict[str, Any] = {
    "serve": {
        "engine": {"type": "vllm", "dtype": "auto", "quantization": None, "max_running": 8},
        "cache": None,
        "batching": {"max_size": 32},
    }
}


def training(tactic: Tactic, device: Device = NAMED["H100"], **fields: Any) -> Idea:
    found = advice_training.ideas({**FULL, **fields}, device, 20 * 60.0)
    assert [idea.tactic for idea in found] == list(TACTICS)
    return found[tactic.number - 1]


def serving(tactic: Tactic, device: Device | None = NAMED["H100"], students: Any = (), **serve: Any) -> Idea:
    found = advice_serving.ideas({"serve": {**SERVED["serve"], **serve}}, device, students)
    assert [idea.tactic for idea in found] == list(TACTICS)
    return found[tactic.number - 1]


def fields_of(idea: Idea) -> list[dict[str, Any]]:
    """The variants as values by dotted field."""
    assert idea.standing is Standing.HELPS
    return [{".".join(path): value for change in variant for path, value in change.fields} for variant in idea.variants]


def test_there_are_ten_ways_by_their_numbers_each_with_what_it_risks() -> None:
    assert [tactic.number for tactic in TACTICS] == list(range(1, 11))
    assert all(tactic.risk for tactic in TACTICS)


def test_which_16_bits_an_unknown_device_computes_is_not_guessed() -> None:
    assert training(PRECISION, Device("gpu", 8, 0.0)).standing is Standing.UNKNOWN
    assert fields_of(training(PRECISION, NAMED["V100"])) == [{"precision": "fp16"}]


def test_the_guide_tells_of_each_way_by_its_number() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "cost.md").read_text()
    for tactic in TACTICS:
        assert f"\n| {tactic.number} {tactic.name} | " in guide


def test_spot_devices_come_with_checkpoints_as_often_as_loses_least() -> None:
    assert fields_of(training(SPOT)) == [{"executor.spot": True, "checkpoint.every": "20 minutes"}]
    assert fields_of(training(SPOT, checkpoint={"every": "5 minutes"})) == [{"executor.spot": True}]
    assert training(SPOT, executor={"type": "skypilot", "spot": True}).standing is Standing.IN_USE
    assert training(SPOT, executor={"type": "local"}).why == "this machine is not rented by mlctl"
    assert training(SPOT, executor={"type": "skypilot", "spot": False, "infra": "k8s/ours"}).standing is Standing.NOT


@pytest.mark.parametrize(
    ("device", "wanted"), [(NAMED["H100"], "bf16"), (NAMED["T4"], "fp16"), (Device("cpu", 8, 64e9, host=True), "bf16")]
)
def test_16_bits_are_of_the_kind_that_the_device_computes(device: Device, wanted: str) -> None:
    assert fields_of(training(PRECISION, device)) == [{"precision": wanted}]


def test_16_bits_are_in_use_or_no_gain_of_a_processor_that_has_none() -> None:
    assert training(PRECISION, precision="bf16").standing is Standing.IN_USE
    assert training(PRECISION, CPU).standing is Standing.NOT


def test_a_batch_is_worked_on_in_parts_down_to_single_rows() -> None:
    assert fields_of(training(ACCUMULATION)) == [{"micro_batch_size": n} for n in (32, 16, 1)]
    shared = training(ACCUMULATION, strategy={"type": "ddp", "processes": 8}, micro_batch_size=4)
    assert fields_of(shared) == [{"micro_batch_size": n} for n in (2, 1)]
    assert training(ACCUMULATION, micro_batch_size=1).standing is Standing.IN_USE
    assert training(ACCUMULATION, strategy={"type": "pipeline", "stages": 2}).standing is Standing.IN_USE


def test_activations_of_a_perceptron_are_not_worth_computing_again() -> None:
    assert fields_of(training(CHECKPOINTING)) == [{"memory.gradient_checkpointing": True}]
    assert training(CHECKPOINTING, model={"type": "mlp"}).standing is Standing.NOT
    assert training(CHECKPOINTING, memory={"gradient_checkpointing": True}).standing is Standing.IN_USE


def test_the_optimizers_state_is_kept_in_8_bits_where_it_has_one() -> None:
    assert fields_of(training(QUANTIZATION)) == [{"optimizer.type": "adamw_8bit"}]
    fused = training(QUANTIZATION, optimizer={"type": "adamw", "fused": True})
    assert fields_of(fused) == [{"optimizer.type": "adamw_8bit", "optimizer.fused": REMOVE}]
    assert training(QUANTIZATION, optimizer={"type": "sgd"}).standing is Standing.NOT
    assert training(QUANTIZATION, optimizer={"type": "adamw_8bit"}).standing is Standing.IN_USE
    assert training(QUANTIZATION, method={"type": "qlora", "quantization": "nf4"}).standing is Standing.IN_USE


def test_adapters_take_a_strategy_and_an_engine_that_go_with_them() -> None:
    lora, qlora = fields_of(training(ADAPTERS, strategy={"type": "fsdp", "processes": 4}, engine="torch"))
    assert lora == {"method": {"type": "lora", "r": 16}, "strategy": {"type": "ddp", "processes": 4}, "engine": REMOVE}
    assert qlora["method"] == {"type": "qlora", "r": 16}
    zero = fields_of(training(ADAPTERS, strategy={"type": "zero3", "processes": 4}))
    assert ["strategy" in item for item in zero] == [False, True]
    assert fields_of(training(ADAPTERS, method={"type": "lora"})) == [{"method.type": "qlora"}]
    assert training(ADAPTERS, method={"type": "qlora"}).standing is Standing.IN_USE
    assert training(ADAPTERS, model={"type": "mlp"}).standing is Standing.NOT


def test_what_is_of_services_does_not_apply_to_a_training_and_the_other_way_round() -> None:
    for tactic in (BATCHING, CACHING):
        assert training(tactic).standing is Standing.NOT
    for tactic in (SPOT, ACCUMULATION, CHECKPOINTING, ADAPTERS):
        assert serving(tactic).standing is Standing.NOT
    assert training(SIZING).standing is serving(SIZING).standing is Standing.HELPS


def test_weights_are_served_in_8_bits_where_the_device_computes_in_them() -> None:
    assert fields_of(serving(QUANTIZATION)) == [
        {"serve.engine.quantization": "fp8"},
        {"serve.engine.quantization": "bitsandbytes"},
    ]
    assert fields_of(serving(QUANTIZATION, NAMED["A100"])) == [{"serve.engine.quantization": "bitsandbytes"}]
    assert serving(QUANTIZATION, CPU).standing is Standing.NOT
    assert serving(QUANTIZATION, None).standing is Standing.UNKNOWN
    assert serving(QUANTIZATION, engine={"type": "torch"}).standing is Standing.NOT
    assert serving(QUANTIZATION, engine={"type": "vllm", "quantization": "awq"}).standing is Standing.IN_USE


def test_weights_of_32_bits_are_served_in_16() -> None:
    assert fields_of(serving(PRECISION, engine={"type": "vllm", "dtype": "float32"})) == [
        {"serve.engine.dtype": "bfloat16"}
    ]
    assert serving(PRECISION).standing is Standing.IN_USE


def test_a_student_is_served_where_there_is_one() -> None:
    assert serving(DISTILLATION).standing is Standing.NOT
    student = (Change(((("model",), "small@champion"),)),)
    assert fields_of(serving(DISTILLATION, students=[student])) == [{"model": "small@champion"}]
    assert serving(DISTILLATION, engine={"type": "torch"}, students=[student]).standing is Standing.NOT


def test_batching_and_caching_are_in_use_or_proposed() -> None:
    assert serving(BATCHING).standing is Standing.IN_USE
    assert serving(BATCHING, engine={"type": "torch"}).standing is Standing.IN_USE
    alone = serving(BATCHING, engine={"type": "torch"}, batching={"max_size": 1})
    assert fields_of(alone) == [{"serve.batching.max_size": 32}]
    one = serving(BATCHING, engine={"type": "vllm", "max_running": 1})
    assert fields_of(one) == [{"serve.engine.max_running": 8}, {"serve.engine.max_running": 32}]
    assert fields_of(serving(CACHING)) == [{"serve.cache": {"ttl": "10m"}}]
    assert serving(CACHING, cache={"ttl": 60}).standing is Standing.IN_USE


def test_figures_are_held_against_each_other_end_by_end() -> None:
    found = Difference.of(Range(10, 20, 40), Range(5, 12, 50))
    assert found == Difference(-10, 8, 8, "formula", 20)
    assert found.share == pytest.approx(0.4)
    assert Difference.of(None, Range(1, 1, 1)) is None


def less(share: float, whole: float = 100.0) -> Difference:
    return Difference(share * whole, share * whole, share * whole, "formula", whole)


@pytest.mark.parametrize(
    ("saving", "helps"),
    [
        (Saving(usd=less(0.10)), True),
        (Saving(usd=less(-0.1), memory=less(0.5)), False),  # memory that nothing needs is not worth money
        (Saving(usd=less(-0.1), memory=less(0.5), enables=True), True),
        (Saving(usd=less(0.01)), False),
        (Saving(seconds=less(0.1)), True),
        (Saving(seconds=less(-0.1), memory=less(0.5)), False),
        (Saving(seconds=less(0.0), memory=less(0.5)), True),
        (Saving(memory=less(0.01)), False),
        (Saving(work=Range(0, 0, 0.2)), True),
        (Saving(work=Range(0, 0, 0)), False),
        (Saving(), False),
    ],
)
def test_a_way_helps_when_money_else_time_else_memory_gets_less(saving: Saving, helps: bool) -> None:
    assert saving.helps is helps
