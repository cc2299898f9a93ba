"""Time against published rates."""

from dataclasses import replace
from typing import Any

import pytest

from mlctl.estimate import time
from mlctl.estimate.devices import GIB, Device, named
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import DenseShape, LanguageShape
from mlctl.estimate.time import Work
from mlctl.types.estimate import Range
from tests.unit.estimate.models import LLAMA3_8B, LLAMA_7B, LLAMA_70B, SMOLLM2_135M, llama

CPU = Device("cpu", 2, 24 * GIB, host=True)
LLAMA_13B = llama(5120, 40, 40, 40, 13_824, 32_000)


def on(gpu: str, shape: LanguageShape, **more: Any) -> Setup:
    device = named(gpu)
    assert device is not None
    return Setup(shape, device, **{"batch": 1, "precision": "bf16", **more})


@pytest.mark.parametrize(("tokens", "share"), [(5762, 0.337), (6667, 0.390)])
def test_the_share_of_the_peak_is_that_of_torchtitan(tokens: float, share: float) -> None:
    # 8B by FSDP on 8 H100, 8192 tokens, tokens a second and GPU; the second with torch.compile
    setup = on("H100:8", LLAMA3_8B, strategy="fsdp", data=8, batch=16, length=8192)
    assert tokens * time.operations(setup) / setup.device.peak == pytest.approx(share, abs=0.003)
    foreseen = time.utilisation(setup)
    assert foreseen.low < share < foreseen.high


@pytest.mark.parametrize(
    ("shape", "hours", "share"), [(LLAMA_7B, 184_320, 0.39), (LLAMA_13B, 368_640, 0.38), (LLAMA_70B, 1_720_320, 0.43)]
)
def test_hours_of_llama_2_are_within_the_range(shape: LanguageShape, hours: float, share: float) -> None:
    # 2e12 tokens of 4096, A100-80GB (Touvron et al. 2023, table 2)
    setup = on("A100-80GB:1024", shape, strategy="fsdp", data=1024, batch=1024, length=4096)
    found = time.seconds(setup, Work(Range.exactly(2e12), 2e12 / 4096 / 1024))
    assert found.low < hours * 3600 / 1024 < found.high
    without_attention = time.operations(replace(setup, length=1))  # as those who published it count
    assert 2e12 * without_attention / (hours * 3600 * setup.device.peak) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("precision", "rate"), [("bf16", 345), ("bf16", 435), ("fp32", 160)])
def test_a_fine_tuning_on_two_cores_is_within_the_range(precision: str, rate: float) -> None:
    # SmolLM2-135M, LoRA, 2 x 512 tokens: tokens a second, measured
    setup = Setup(SMOLLM2_135M, CPU, batch=4, micro=2, length=512, engine="hf", method="lora", precision=precision)
    tokens = 100_000
    found = time.seconds(setup, Work(Range.exactly(tokens), tokens / 2048))
    assert found.low < tokens / rate < found.high
    assert found.mid == pytest.approx(tokens / rate, rel=0.5)


def test_frozen_weights_save_a_third_and_recomputing_costs_a_third() -> None:
    full, lora = on("H100", LLAMA_7B), on("H100", LLAMA_7B, method="lora", engine="hf")
    assert time.operations(lora) == pytest.approx(time.operations(full) * 4 / 6)
    assert time.operations(replace(full, checkpointing=True)) == pytest.approx(time.operations(full) * 8 / 6)


def test_a_teacher_adds_its_forward_pass() -> None:
    setup = on("H100", SMOLLM2_135M, engine="hf")
    assert time.operations(replace(setup, teacher=LLAMA_7B)) == pytest.approx(
        time.operations(setup) + time.operations(on("H100", LLAMA_7B)) / 3
    )


def test_short_rows_that_are_filled_up_make_poor_use_of_a_device() -> None:
    setup = on("H100", LLAMA_7B)
    assert time.utilisation(setup, packed=False).mid == pytest.approx(time.utilisation(setup).mid * 0.4)


def test_each_step_costs_something_beside_its_arithmetic() -> None:
    setup = Setup(DenseShape(4, (8,)), CPU, batch=32)
    few, many = (time.seconds(setup, Work(Range.exactly(1000), steps)) for steps in (10, 1000))
    assert many.mid > 50 * few.mid


def test_more_processes_than_cores_are_no_faster() -> None:
    two, four = (Setup(SMOLLM2_135M, CPU, batch=8, length=64, strategy="ddp", data=count) for count in (2, 4))
    work = Work(Range.exactly(10_000), 10)
    assert time.seconds(four, work).mid >= time.seconds(two, work).mid


def test_deepspeed_has_to_compile_before_it_starts() -> None:
    setup = Setup(SMOLLM2_135M, CPU, batch=8, length=64, engine="hf")
    assert time.start(replace(setup, strategy="zero2", data=2)).high > 2 * time.start(setup).high


@pytest.mark.parametrize(("rate", "plausible"), [(4699, False), (2413, True), (0, False)])
def test_a_rate_beyond_what_any_training_gets_is_no_measurement(rate: float, plausible: bool) -> None:
    # a published LoRA rate on an A6000 asks for 97 % of its peak
    assert time.plausible(on("A6000", LLAMA3_8B, method="lora", engine="hf", checkpointing=False), rate) is plausible
