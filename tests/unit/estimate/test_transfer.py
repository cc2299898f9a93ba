"""What checkpoints weigh, and how long copies take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlctl.estimate import transfer
from mlctl.estimate.devices import GIB, Device
from mlctl.estimate.setup import Setup
from mlctl.types.estimate import Range
from tests.unit.estimate.models import LLAMA_7B, SMOLLM2_135M

CPU = Device("cpu", 2, 24 * GIB, host=True)
FULL = Setup(SMOLLM2_135M, CPU, batch=2, engine="hf")


def test_a_checkpoint_holds_weights_and_both_moments_in_32_bits() -> None:
    assert transfer.checkpoint_bytes(FULL).mid == 12 * SMOLLM2_135M.parameters
    sgd = replace(FULL, optimizer="sgd")
    assert transfer.checkpoint_bytes(sgd).mid == 4 * SMOLLM2_135M.parameters
    assert transfer.checkpoint_bytes(replace(sgd, momentum=True)).mid == 8 * SMOLLM2_135M.parameters


def test_moments_of_low_rank_weigh_less() -> None:
    galore = replace(FULL, shape=LLAMA_7B, method="galore", rank=128)
    found = transfer.checkpoint_bytes(galore).mid / LLAMA_7B.parameters
    assert 4 < found < 6


def test_a_checkpoint_of_adapters_leaves_the_base_out() -> None:
    lora = replace(FULL, shape=LLAMA_7B, method="lora", rank=8)
    assert transfer.checkpoint_bytes(lora).mid == 12 * LLAMA_7B.adapters(8, None)
    assert transfer.checkpoint_bytes(lora).high < transfer.checkpoint_bytes(replace(FULL, shape=LLAMA_7B)).low / 100


def test_a_checkpoint_weighs_what_one_on_disk_did() -> None:
    # SmolLM2-135M, LoRA r 8, under Adam: the files of one checkpoint of specs/chat
    lora = replace(FULL, method="lora", rank=8)
    found = transfer.checkpoint_bytes(lora)
    assert found.low < 29_709_129 < found.high
    assert found.mid == pytest.approx(29_709_129, rel=0.02)


def test_one_more_than_is_kept_is_on_disk_and_the_model() -> None:
    one, weights = transfer.checkpoint_bytes(FULL), transfer.model_bytes(FULL)
    assert transfer.disk_bytes(FULL, 2).mid == pytest.approx(3 * one.mid + weights.mid)
    assert transfer.disk_bytes(FULL, 2, best=True).mid == pytest.approx(3 * one.mid + 4 * weights.mid)
    assert transfer.disk_bytes(FULL, 5).low > transfer.disk_bytes(FULL, 1).low


def test_a_model_of_adapters_is_the_base_with_them_merged_in_and_they_themselves() -> None:
    lora = replace(FULL, shape=LLAMA_7B, method="lora", rank=8)
    adapters = 4 * LLAMA_7B.adapters(8, None)
    found = transfer.model_bytes(lora)
    assert found.mid == 2 * LLAMA_7B.parameters + adapters
    assert found.high > 4 * LLAMA_7B.parameters  # in 32 bits where rounding does harm
    checkpoints = 3 * transfer.checkpoint_bytes(lora).mid
    assert transfer.disk_bytes(lora, 2).mid == pytest.approx(checkpoints + found.mid)
    best = transfer.disk_bytes(lora, 2, best=True).mid  # the best epoch's adapters beside each checkpoint, not the base
    assert best == pytest.approx(checkpoints + found.mid + 3 * adapters)


def test_a_model_of_adapters_weighs_what_one_on_disk_did() -> None:
    # SmolLM2-135M, LoRA r 8: model.safetensors and adapter_model.safetensors of specs/chat
    found = transfer.model_bytes(replace(FULL, method="lora", rank=8))
    assert found.mid == pytest.approx(269_060_552 + 9_823_216, rel=0.01)


def test_slower_wires_take_longer() -> None:
    weights = Range.exactly(transfer.weight_bytes(LLAMA_7B.parameters))
    assert weights.mid == 2 * LLAMA_7B.parameters
    found = transfer.seconds(weights, transfer.NETWORK)
    assert found.low < found.mid < found.high
    assert found.mid == pytest.approx(weights.mid / transfer.NETWORK.mid)
    assert transfer.checkpoint_seconds(FULL).mid < transfer.checkpoint_seconds(replace(FULL, shape=LLAMA_7B)).mid
