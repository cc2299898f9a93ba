"""Room for checkpoints, and models of a hub that are not fetched yet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE, GIB, Device
from mlctl.estimate.known_models import config_named
from mlctl.provider import Context
from mlctl.providers.torch import devices, finishing
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import ObjectKey
from mlctl.types.estimate import Estimate
from mlctl.types.state import Record

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXT: dict[str, Any] = {
    "data": {"dataset": "rows", "text": "text", "max_length": 128},
    "model": {"type": "causal_lm", "base": "HuggingFaceTB/SmolLM2-360M", "revision": COMMIT},
    "epochs": 1,
    "batch_size": 8,
    "optimizer": {"lr": 1e-4},
}


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    monkeypatch.setattr(devices, "here", lambda: Device("cpu", 8, 64 * GIB, host=True))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "rows.jsonl").write_text("x" * 100_000)
    return make_context(tmp_path)


def foreseen(ctx: Context, values: Mapping[str, Any]) -> Estimate:
    outputs = {"rows": 1000, "files": ["rows.jsonl"], "format": "json", "columns": {"text": "varchar"}, "digest": "d"}
    inputs = {"datasets.rows": Record(ObjectKey.parse("datasets.rows#d"), "r", outputs=outputs)}
    return Training().estimate(make_desired(Training(), "training.m", values, ctx, inputs), [], ctx)


def free(monkeypatch: pytest.MonkeyPatch, gibibytes: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=int(gibibytes * 2**30)))


def test_a_well_known_model_of_a_hub_is_counted_before_it_is_fetched(ctx: Context) -> None:
    found = foreseen(ctx, TEXT)
    assert found.memory is not None
    assert found.memory.low > 16 * 361_821_120
    assert found.seconds is not None
    assert found.notes[0] == "its base is fetched first: 690 MiB, in 0.7 s to 24 s"


def test_what_was_fetched_is_not_fetched_again(ctx: Context) -> None:
    place = ctx.root / "hub" / "models--HuggingFaceTB--SmolLM2-360M" / "snapshots" / COMMIT
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(dict(config_named("SmolLM2-360M") or {})))
    found = foreseen(ctx, TEXT)
    assert found.memory is not None
    assert not any("fetched" in note for note in found.notes)


def test_a_model_of_a_hub_that_nobody_knows_is_not_guessed_at(ctx: Context) -> None:
    found = foreseen(ctx, {**TEXT, "model": {**TEXT["model"], "base": "somebody/SmolLM2-360M-of-mine"}})
    assert found.memory is None
    assert "the config.json of `somebody/SmolLM2-360M-of-mine` is not here" in found.notes[0]


def test_a_slip_in_the_name_of_a_model_is_told_with_what_was_meant(ctx: Context) -> None:
    slip = {**TEXT["model"], "base": "HuggingFaceTB/SmolLM2-360"}
    (note,) = foreseen(ctx, {**TEXT, "model": slip}).notes
    assert note.endswith("it comes with the model; did you mean `HuggingFaceTB/SmolLM2-360M`?")


def test_checkpoints_that_take_much_are_said_and_fit(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 100)
    found = foreseen(ctx, TEXT)
    assert (
        "2 checkpoints, the one being written and the model take 13.5 GiB of disk" in found.notes
    )  # 3 x 12 + 4 bytes each
    assert not found.warnings


def test_a_disk_that_is_too_small_is_warned_of_with_what_helps(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 12)
    found = foreseen(ctx, TEXT)
    (warning,) = found.warnings
    assert warning.startswith(
        "its disk may fill up: 2 checkpoints, the one being written, the model and its base take 14.2 GiB of disk, and "
    )
    assert warning.endswith("12.0 GiB are free; with `checkpoint: {keep: 1}` it would take 10.1 GiB")
    (least,) = foreseen(ctx, {**TEXT, "checkpoint": {"keep": 1}, "early_stopping": {"patience": 1}}).warnings
    assert "keep: 1" not in least


def test_a_machine_that_is_only_planned_for_has_a_disk_of_its_own(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 0)
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:8:64GiB")
    found = foreseen(ctx, TEXT)
    assert not found.warnings
    assert any("of disk" in note for note in found.notes)


def test_adapters_need_room_for_the_model_that_they_are_merged_into(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1)
    model = {**TEXT["model"], "base": "Qwen/Qwen2.5-7B"}
    found = foreseen(ctx, {**TEXT, "model": model, "method": {"type": "qlora"}})
    (warning,) = found.warnings
    # 14.2 GiB are the base that is fetched, and as much the model
    assert "the model and its base take 29.1 GiB of disk, and 1.0 GiB are free" in warning
    assert warning.endswith("it would take 28.9 GiB")


POD: dict[str, Any] = {
    "type": "kubernetes", "storage": "s3://bucket/jobs", "image": "i", "gpus": 8, "cpus": "8", "memory": "64Gi",
    "node_selector": {"nvidia.com/gpu.product": "NVIDIA-H200"},
}  # fmt: skip


def test_checkpoints_of_other_machines_take_no_disk_of_this_one(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 3)  # checkpoints would take 12
    assert not [text for text in foreseen(ctx, {**TEXT, "executor": POD}).warnings if "disk" in text]


def test_what_is_trained_elsewhere_is_merged_here_and_takes_memory_and_disk(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        **TEXT,
        "model": {**TEXT["model"], "base": "meta-llama/Llama-3.1-70B"},
        "method": {"type": "lora"},
        "strategy": {"type": "zero3", "processes": 8},
        "precision": "bf16",
        "executor": POD,
    }
    free(monkeypatch, 1000)
    monkeypatch.setattr(finishing, "processors", lambda: Device("cpu", 8, 256 * GIB, host=True))
    roomy = foreseen(ctx, values)
    (note,) = [text for text in roomy.notes if text.startswith("at the end the adapter is merged")]
    assert "on the machine that runs mlctl: about 133 GiB of memory and 132 GiB of disk" in note
    assert not [text for text in roomy.warnings if "at the end" in text]
    monkeypatch.setattr(finishing, "processors", lambda: Device("cpu", 8, 24 * GIB, host=True))
    free(monkeypatch, 50)
    short, full = [text for text in foreseen(ctx, values).warnings if "at the end" in text or "comes here" in text]
    assert "the model cannot be made at the end" in short
    assert "this one has 24.0 GiB" in short
    assert "50.0 GiB are free" in full
    wide = foreseen(ctx, {**values, "strategy": {"type": "ddp", "processes": 8}, "method": {"type": "qlora"}})
    assert any("at the end" in text and "264 GiB of memory" in text for text in wide.notes)
