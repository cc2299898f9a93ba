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
from tests.unit.estimate.models import LLAMA3_8B, LLAMA_7B, SMOLLM2_135M

CPU = Device("cpu", 2, 24 * GIB, host=True)


def on(gpu: str, shape: LanguageShape, **more: Any) -> Setup:
    device = named(gpu)
    assert device is not None
    return Setup(shape, device, **{"batch": 1, "precision": "bf16", **more})


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


def test_a_generation_gets_its_own_share_of_its_peak() -> None:
    shares = {name: time.utilisation(on(name, LLAMA_7B)) for name in ("A100-80GB", "H100", "MI300X", "L40S")}
    assert shares["A100-80GB"].mid > shares["H100"].mid > shares["MI300X"].mid
    assert all(item.high <= time.MOST for item in shares.values())
    compiled = time.utilisation(on("H100", LLAMA_7B, compiled=True))
    assert shares["H100"].mid * 1.1 < compiled.mid <= compiled.high <= time.MOST


def test_thirty_two_bits_take_several_times_as_long_as_sixteen_and_so_does_what_is_only_emulated() -> None:
    work = Work(Range.exactly(1e9), 1)
    half, whole = (time.seconds(on("A100-80GB", LLAMA_7B, precision=name), work) for name in ("bf16", "fp32"))
    assert 10 < whole.mid / half.mid < 16  # 19.5 of 312 TFLOPS, of which more is reached
    fp16, bf16, fp32 = (time.seconds(on("V100", LLAMA_7B, precision=name), work) for name in ("fp16", "bf16", "fp32"))
    assert fp16.mid < bf16.mid == fp32.mid
    assert time.plausible(
        on("A100-80GB", LLAMA_7B, precision="fp32"), 0.4 * 312e12 / time.operations(on("A100-80GB", LLAMA_7B))
    )


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
