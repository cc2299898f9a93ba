"""Memory against published figures. Each case names its source; all are bytes of one device."""

from dataclasses import replace
from typing import Any

import pytest

from mlctl.estimate import fit, memory
from mlctl.estimate.devices import GIB, Device, named
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import DenseShape, LanguageShape
from tests.unit.estimate.models import LLAMA3_3B, LLAMA3_8B, LLAMA_7B, SMOLLM2_135M

CPU = Device("cpu", 2, 24 * GIB, host=True)


def on(gpu: str, shape: Any, **more: Any) -> Setup:
    device = named(gpu)
    assert device is not None
    return Setup(shape, device, **{"batch": 1, "precision": "bf16", **more})


def states(setup: Setup) -> float:
    found = memory.parts(setup)
    return sum(found[name].low for name in ("weights", "gradients", "optimizer") if name in found)


def test_one_process_holds_16_bytes_for_each_parameter() -> None:
    assert states(on("H100", LLAMA_7B)) == 16 * LLAMA_7B.parameters
    assert states(on("H100", LLAMA_7B, optimizer="adamw_8bit")) == pytest.approx(10 * LLAMA_7B.parameters, rel=0.01)
    assert states(on("H100", LLAMA_7B, optimizer="sgd")) == 8 * LLAMA_7B.parameters
    assert states(on("H100", LLAMA_7B, optimizer="sgd", momentum=True)) == 12 * LLAMA_7B.parameters


@pytest.mark.parametrize(
    ("more", "measured"),
    [
        ({"precision": "bf16"}, 3.1e9),  # Transformers' Trainer
        ({"precision": "bf16"}, 3.6e9),  # TRL's, which computes more
        ({"precision": "fp32"}, 5.3e9),
        ({"precision": "bf16", "checkpointing": True}, 2.1e9),
    ],
)
def test_a_fine_tuning_on_a_cpu_stays_within_the_range(more: dict[str, Any], measured: float) -> None:
    # SmolLM2-135M, LoRA r 8, 2 x 512 tokens: resident bytes of the process, measured on two cores
    found = memory.peak(Setup(SMOLLM2_135M, CPU, batch=2, length=512, engine="hf", method="lora", **more))
    assert found.low < measured < found.high
    assert found.mid == pytest.approx(measured, rel=0.35)


def test_processes_on_a_cpu_share_its_memory_and_those_of_a_gpu_do_not() -> None:
    alone = memory.peak(Setup(SMOLLM2_135M, CPU, batch=2, length=128))
    four = memory.peak(Setup(SMOLLM2_135M, CPU, batch=8, length=128, strategy="ddp", data=4))
    two_hosts = memory.peak(Setup(SMOLLM2_135M, CPU, batch=8, length=128, strategy="ddp", data=4, hosts=2))
    assert four.low > 3.9 * alone.low
    assert two_hosts.low == pytest.approx(four.low / 2)
    gpu = on("H100:4", SMOLLM2_135M, length=128)
    assert memory.peak(replace(gpu, batch=4, strategy="ddp", data=4)).low == memory.peak(gpu).low


def test_offloaded_states_are_not_on_the_gpu() -> None:
    setup = on("H100:8", LLAMA3_8B, strategy="zero3", data=8, batch=8, engine="hf")
    away = memory.parts(replace(setup, offload=("optimizer",)))
    assert "optimizer" not in away
    assert memory.peak(replace(setup, offload=("optimizer",))).mid < memory.peak(setup).mid


@pytest.mark.parametrize("strategy", ["zero2", "zero3"])
def test_gradients_go_where_the_optimizer_is(strategy: str) -> None:
    # DeepSpeed's estimator for ZeRO-2 with the optimizer elsewhere: 2 bytes a parameter on the GPU, and buckets
    setup = on("L4:2", LLAMA3_8B, strategy=strategy, data=2, batch=2, length=512, engine="hf", checkpointing=True)
    away = replace(setup, offload=("optimizer",))
    held = {"zero2": 1.0, "zero3": 0.5}[strategy]
    assert states(away) == held * 2 * LLAMA3_8B.parameters
    assert fit.verdict(memory.peak(away), away.device.memory) is not fit.Fit.NEVER
    assert fit.verdict(memory.peak(setup), away.device.memory) is fit.Fit.NEVER
    found = memory.parts(away)["gradients"]
    assert found.mid < memory.parts(setup)["gradients"].mid / 10


def test_a_teacher_is_held_beside_the_student() -> None:
    setup = on("H100", SMOLLM2_135M, engine="hf", length=512)
    taught = replace(setup, teacher=LLAMA3_3B)
    assert memory.parts(taught)["teacher"].low >= 2 * LLAMA3_3B.parameters
    assert memory.parts(taught)["logits"].mid == 2 * memory.parts(setup)["logits"].mid


def test_galore_keeps_less_of_the_optimizer_and_lora_nearly_nothing() -> None:
    full = memory.parts(on("H100", LLAMA_7B))["optimizer"].low
    galore = memory.parts(on("H100", LLAMA_7B, method="galore", rank=128, engine="hf"))["optimizer"].low
    lora = memory.parts(on("H100", LLAMA_7B, method="lora", rank=8, engine="hf"))["optimizer"].low
    assert galore < full / 5
    assert lora < full / 100


def test_a_stage_of_a_pipeline_holds_its_layers_and_one_table() -> None:
    whole = on("H100:4", LLAMA_7B)
    stage = replace(whole, strategy="pipeline", pipeline=4, microbatches=4, batch=4)
    weights = memory.parts(stage)["weights"].low / 4
    shape: LanguageShape = LLAMA_7B
    assert weights == pytest.approx(8 * shape.block + shape.vocabulary * shape.hidden + shape.final)


def test_a_perceptron_is_mostly_runtime() -> None:
    found = memory.parts(Setup(DenseShape(10, (64, 32)), CPU, batch=256, table=1_000_000))
    assert found["runtime"].mid > 0.9 * memory.peak(Setup(DenseShape(10, (64, 32)), CPU, batch=256)).mid
    assert found["data"].high == pytest.approx(1_500_000)
