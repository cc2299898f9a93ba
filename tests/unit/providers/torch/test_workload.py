"""A training on other devices: the estimate's figures where it is, its own strategy where that fits, and what has to be written else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import yaml

from mlctl.estimate.devices import GIB, NAMED, Device
from mlctl.estimate.fit import Fit
from mlctl.estimate.options import options
from mlctl.estimate.sizing import Wish, judge
from mlctl.provider import Context
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training
from mlctl.providers.torch.workload import TrainingWorkload
from mlctl.testing.harness import make_desired
from mlctl.types.address import Address
from mlctl.types.value import Unknown
from tests.unit.providers.torch.trainings import LLAMA_8B, TABLE, TEXT, rows

RENTED = {"type": "skypilot", "gpu": "H100", "gpus": 4, "storage": "s3://bucket/jobs"}
LARGE: dict[str, Any] = {
    **TEXT,
    "data": {"dataset": "rows", "text": "text", "max_length": 2048},
    "micro_batch_size": 1,
    "memory": {"gradient_checkpointing": True},
    "strategy": {"type": "zero3", "processes": 4},
    "executor": RENTED,
}


def workload(ctx: Context, values: Mapping[str, Any], **more: Any) -> TrainingWorkload:
    desired = make_desired(Training(), "training.m", {**values, **more}, ctx, rows())
    found = Training().workload(desired, [], ctx)
    assert isinstance(found, TrainingWorkload)
    return found


def large(ctx: Context, **more: Any) -> TrainingWorkload:
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    return workload(ctx, LARGE, **more)


def test_of_spot_devices_the_estimate_counts_what_is_lost_as_right_sizing_does(ctx: Context) -> None:
    values = {**TEXT, "executor": {**RENTED, "gpus": 1, "spot": True}}
    found = Training().estimate(make_desired(Training(), "training.m", values, ctx, rows()), [], ctx)
    price = ctx.prices.price("H100", "spot")
    assert price is not None
    (option, *_) = options(ctx.prices.rows, counts=(1,), tiers=("spot",), gpus=("H100",))
    judged = judge(workload(ctx, values), replace(option, price=price), Wish())
    assert found.usd is not None
    assert judged.usd is not None
    assert judged.useful < 1
    assert found.usd.mid == pytest.approx(judged.usd.mid)
    assert any(f"{judged.useful:.0%} of the paid time is useful" in note for note in found.notes)


def device(name: str, count: int = 1) -> Device:
    return replace(NAMED[name], count=count)


@pytest.mark.parametrize(
    "values",
    [
        TABLE,
        TEXT,
        LARGE,
        {**TEXT, "strategy": {"type": "ddp", "processes": 2}},
        {**TEXT, "strategy": {"type": "auto", "processes": 2}},
        {**TEXT, "strategy": "auto", "batch_size": 2, "executor": RENTED},
        {**LARGE, "strategy": {"type": "zero3", "processes": 8}},  # on fewer devices than it has processes
        {**TEXT, "executor": RENTED},
        {
            **TEXT,
            "search": {"space": {"optimizer.lr": {"choices": [1e-4, 1e-5]}}, "sampler": "grid", "metric": "val_loss"},
        },
    ],
)
def test_where_the_project_puts_it_it_takes_what_the_estimate_says(ctx: Context, values: Mapping[str, Any]) -> None:
    found = workload(ctx, values)
    desired = make_desired(Training(), "training.m", values, ctx, rows())
    estimate = Training().estimate(desired, [], ctx)
    outlook = found.on(found.device)
    assert outlook.memory == estimate.memory
    assert outlook.seconds == estimate.seconds
    assert outlook.changes == ()
    assert outlook.unsupported == ""


def test_its_own_strategy_is_kept_and_told_the_number_of_devices(ctx: Context) -> None:
    found = large(ctx)
    assert (found.device.name, found.device.count, found.tier) == ("H100", 4, "on_demand")
    assert found.on(device("H100", 4)).changes == ()
    assert found.on(device("A100-80GB", 8)).changes == ("strategy: {type: zero3, processes: 8}",)
    assert found.on(device("H100", 4)).fit is Fit.FITS


def test_what_is_written_is_a_strategy_that_the_spec_takes(ctx: Context) -> None:
    found = large(ctx)
    for count in (1, 2, 4, 8, 16):
        for change in found.on(device("H100", count)).changes:
            name, _, value = change.partition(": ")
            assert name == "strategy"
            TrainingSpec.model_validate({**LARGE, "strategy": yaml.safe_load(value)})


def test_what_cannot_fit_is_never_said_to(ctx: Context) -> None:
    found = large(ctx)
    assert found.on(device("L4")).fit is Fit.NEVER
    assert found.on(device("H100")).fit is Fit.NEVER  # 8 billion parameters take 128 GB of states
    fits = [count for count in (1, 2, 4, 8) if found.on(device("H100", count)).fit is Fit.FITS]
    assert fits == [4, 8]


def test_where_its_own_strategy_does_not_fit_it_is_the_one_that_auto_would_choose(ctx: Context) -> None:
    found = large(ctx, strategy={"type": "ddp", "processes": 8}, executor={**RENTED, "gpus": 8})
    outlook = found.on(device("H100", 8))
    assert outlook.fit is Fit.FITS
    assert outlook.changes[0].startswith("strategy: {type: zero")
    assert "would take" in outlook.why


def test_a_single_process_does_not_keep_more_devices_busy_by_itself(ctx: Context) -> None:
    found = workload(ctx, TEXT)
    assert found.on(device("H100")).changes == ()
    assert found.on(device("H100", 2)).changes == ("strategy: {type: ddp, processes: 2}",)


def test_what_keeps_states_elsewhere_is_not_moved_to_a_strategy_that_cannot(ctx: Context) -> None:
    found = large(ctx, memory={"gradient_checkpointing": True, "offload": ["optimizer"]})
    assert found.on(device("H200")).changes == ("strategy: {type: zero3, processes: 1}",)
    alone = large(ctx, memory={"offload": ["optimizer"]}, strategy={"type": "auto"})
    assert alone.on(device("H200")).unsupported == "no strategy goes with the rest of the training"


def test_micro_batches_are_no_larger_than_what_a_process_has_of_a_batch(ctx: Context) -> None:
    found = large(ctx, micro_batch_size=4)
    assert found.on(device("H100", 4)).changes == ()
    assert found.on(device("H100", 8)).changes == ("strategy: {type: zero3, processes: 8}", "micro_batch_size: 2")


def test_layers_stay_cut_as_they_are_and_the_rest_of_the_devices_share_the_rows(ctx: Context) -> None:
    found = large(
        ctx, strategy={"type": "tensor", "processes": 4}, memory={"gradient_checkpointing": False}, engine="torch"
    )
    wide = found.on(device("H200", 8))
    assert wide.changes == ("strategy: {type: 3d, data: 2, tensor: 4, pipeline: 1}",)


@pytest.mark.parametrize(
    ("more", "name", "count", "said"),
    [
        ({}, "V100", 1, "bf16"),
        ({}, "MI300X", 1, "ROCm"),
        ({"batch_size": 4}, "H100", 8, "4 rows"),
        ({"precision": "bf16", "method": {"type": "qlora", "quantization": "int8"}}, "V100", 1, "bf16"),
    ],
)
def test_what_the_software_asks_of_a_device_is_told(
    ctx: Context, more: dict[str, Any], name: str, count: int, said: str
) -> None:
    outlook = workload(ctx, {**TEXT, **more}).on(device(name, count))
    assert said in outlook.unsupported
    assert outlook.memory is not None  # so that what else is wrong is told first


def test_another_maker_is_fine_for_who_is_there(ctx: Context) -> None:
    found = large(ctx, executor={**RENTED, "gpu": "MI300X"})
    assert found.on(device("MI300X", 4)).unsupported == ""
    assert found.on(device("H100", 4)).unsupported == ""


def test_a_checkpoint_takes_longer_the_more_is_learnt(ctx: Context) -> None:
    small, big = workload(ctx, TEXT).checkpoint_seconds, large(ctx).checkpoint_seconds
    adapters = large(ctx, method={"type": "lora"}, strategy="single", executor={**RENTED, "gpus": 1}).checkpoint_seconds
    assert small < adapters < big
    assert big > 8e9 * 12 / 2.5e9


def test_while_its_rows_are_not_known_it_has_memory_and_no_time(ctx: Context) -> None:
    desired = make_desired(Training(), "training.m", TEXT, ctx, rows())
    inputs = {Address("datasets", "rows"): Unknown("datasets.rows")}
    found = Training().workload(replace(desired, inputs=inputs), [], ctx)
    assert found is not None
    outlook = found.on(device("H100"))
    assert outlook.memory is not None
    assert outlook.seconds is None
    assert "once datasets.rows is made" in outlook.why


def test_a_model_that_a_function_builds_is_no_workload(ctx: Context) -> None:
    (ctx.root / "model.py").write_text("def build(features):\n    return None\n")
    values = {**TABLE, "model": {"type": "python", "entrypoint": "model.py:build"}}
    assert Training().workload(make_desired(Training(), "training.m", values, ctx, rows()), [], ctx) is None


def test_more_devices_never_need_more_memory_of_each(ctx: Context) -> None:
    found = large(ctx)
    needs = [found.on(device("H100", count)).memory for count in (4, 8, 16)]
    assert all(
        before is not None and after is not None and after.mid <= before.mid for before, after in pairwise(needs)
    )


def test_a_machine_is_compared_by_its_own_layout(ctx: Context) -> None:
    found = workload(ctx, TABLE)
    outlook = found.on(Device("cpu", 16, 64 * GIB, host=True))
    assert outlook.changes == ()
    here = found.on(found.device)
    assert outlook.memory == here.memory
