"""What a plan foretells of a deployment, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE, GIB, NAMED
from mlctl.provider import Context, Estimates, Movable
from mlctl.providers.serving.deployment import Deployment
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record
from tests.unit.providers.serving.foretelling import (
    L4,
    SMALL,
    asked,
    block,
    foretold,
    moved,
    refused,
    stored,
)


def test_it_can_be_estimated_and_moved() -> None:
    assert isinstance(Deployment(), Estimates)
    assert isinstance(Deployment(), Movable)


def test_a_language_model_here_has_memory_room_and_times(ctx: Context) -> None:
    found = foretold(ctx, block({"type": "vllm", "max_model_len": 8192}), stored(ctx))
    assert (found.device, found.devices, found.lasting, found.seconds) == ("H100", 1, True, None)
    assert found.memory is not None
    assert 15 * GIB < found.memory.low < found.memory.high < 26 * GIB
    assert found.parts["weights"] == pytest.approx(14.96 * GIB, rel=0.01)
    assert sum(found.parts.values()) == pytest.approx(found.memory.mid)
    room, speed = found.notes
    assert "requests of 8,192 at once" in room
    assert "ms" in speed and "first token >= 14 ms" in speed  # noqa: PT018
    assert found.warnings == ()


def test_an_engine_that_cannot_start_is_refused_with_what_would_help(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "L4:4")
    said = refused(ctx, block(), stored(ctx))
    assert "131,072 tokens needs 16.0 GiB" in said
    assert "one L4 with 22.5 GiB" in said
    assert "weights 15.0 GiB" in said
    assert "`serve.engine.max_model_len: " in said
    assert "`serve.engine.tensor_parallel: 4`" in said


def test_requests_longer_than_the_model_has_places_for_are_warned_of(ctx: Context) -> None:
    longer = block({"type": "vllm", "max_model_len": 16_384})
    (warning,) = foretold(ctx, longer, stored(ctx, SMALL)).warnings
    assert warning == (
        "`vllm` will not start: `max_model_len: 16384` is more than the 2,048 tokens that the model takes (max_position_embeddings)"
    )
    assert foretold(ctx, block({"type": "vllm", "max_model_len": 2048}), stored(ctx, SMALL)).warnings == ()
    stretched = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 2048}
    assert foretold(ctx, longer, stored(ctx, {**SMALL, "rope_scaling": stretched})).warnings == ()
    given = {"type": "vllm", "max_model_len": 16_384, "extra": {"hf-overrides": '{"rope_parameters": {}}'}}
    assert foretold(ctx, block(given), stored(ctx, SMALL)).warnings == ()


def test_a_shorter_request_is_advised_that_the_model_takes(ctx: Context) -> None:
    said = refused(ctx, block({"type": "vllm", "max_model_len": 1_000_000}), stored(ctx))
    assert "`serve.engine.max_model_len: 131072`" in said


def test_what_helps_is_taken(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "L4:4")
    for more in ({"max_model_len": 8192}, {"tensor_parallel": 4}):
        assert foretold(ctx, block({"type": "vllm", **more}), stored(ctx)).warnings == ()


def test_a_machine_that_may_be_too_small_is_told_as_that(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:8:19GiB")
    (warning,) = foretold(ctx, block({"type": "vllm", "max_model_len": 4096}), stored(ctx)).warnings
    assert "it may not fit: up to 1" in warning or "it may not fit: up to 2" in warning
    assert "of 19.0 GiB" in warning


def test_what_may_not_start_is_planned_with_a_warning(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "L4")
    (warning,) = foretold(ctx, block({"type": "vllm", "max_model_len": 24_576}), stored(ctx)).warnings
    assert "may not start" in warning
    assert "`serve.engine.max_model_len: " in warning


def test_devices_that_layers_do_not_come_out_even_on_are_refused(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    engine = {"type": "vllm", "max_model_len": 1024, "tensor_parallel": 4}
    config = {
        **SMALL,
        "num_attention_heads": 40,
        "num_key_value_heads": 10,
        "hidden_size": 640,
        "intermediate_size": 1280,
    }
    said = refused(ctx, block(engine), stored(ctx, config))
    assert "10 heads of keys and values cannot be shared evenly by 4 devices" in said
    assert "set `serve.engine.tensor_parallel` to 1 or 2" in said
    alone = moved(ctx, block({**engine, "tensor_parallel": 2}, {"gpus": 2, "node_selector": L4}), stored(ctx, config))
    four = alone.on(replace(NAMED["H100"], count=4))
    assert "serve.engine.tensor_parallel: 4" not in four.changes


@pytest.mark.parametrize(
    ("device", "engine", "why"),
    [
        ("V100", {"type": "vllm", "dtype": "bfloat16"}, "weights in bf16 need capability 8, and V100 has 7"),
        ("A100", {"type": "vllm", "quantization": "fp8"}, "weights in fp8 need capability 8.9, and A100 has 8"),
        ("A100", {"type": "vllm", "extra": {"kv-cache-dtype": "fp8"}}, "keys and values in 8 bits need capability 8.9"),
        ("MI300X", "tensorrt_llm", "`tensorrt_llm` has no build for MI300X"),
    ],
)
def test_what_a_device_cannot_compute_is_warned_of(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, device: str, engine: Any, why: str
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, device)
    values = block(engine if isinstance(engine, str) else {**engine, "max_model_len": 1024})
    found = foretold(ctx, values, stored(ctx, SMALL))
    assert any("may not start" in text and why in text for text in found.warnings), found.warnings


def test_a_processor_gives_keys_what_it_is_told(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:8:64GiB")
    said = refused(ctx, block({"type": "vllm", "max_model_len": 16_384}), stored(ctx))
    assert "this machine" in said
    assert "`serve.engine.kv_cache_gb: 2`" in said
    said = refused(ctx, block({"type": "vllm", "max_model_len": 8192, "kv_cache_gb": 60}), stored(ctx))
    assert "it needs at least 75." in said
    assert "`serve.engine.kv_cache_gb: 1`" in said
    found = foretold(ctx, block({"type": "vllm", "max_model_len": 16_384, "kv_cache_gb": 2}), stored(ctx))
    assert found.device == "cpu"
    assert found.notes == ("room for 16,384 tokens: one request of 16,384 at once",)


def test_a_server_of_rows_is_told_of_once_its_model_is_there(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:2:4GiB")
    rows = stored(ctx, task="binary")
    (ctx.root / "models" / "3" / "weights").write_bytes(b"x" * 50_000_000)
    assert Deployment().estimate(asked(ctx, block("torch")), (), ctx) is None
    one, four = (foretold(ctx, block("torch", workers=number), rows) for number in (1, 4))
    assert one.memory is not None
    assert four.memory is not None
    assert 0.1e9 < one.memory.low < one.memory.mid < 0.6e9
    assert four.memory.mid == pytest.approx(4 * one.memory.mid)
    assert foretold(ctx, block("torch", workers=64), rows).warnings != ()
    assert Deployment().workload(asked(ctx, block("torch"), rows), (), ctx) is None


def test_a_new_release_beside_the_old_one_needs_a_share_for_each(ctx: Context) -> None:
    desired = asked(ctx, block({"type": "vllm", "max_model_len": 8192}), stored(ctx))
    before = Record(ObjectKey(Address("deployments", "api"), ""), "release-1")
    found = Deployment().estimate(desired, (before,), ctx)
    assert found is not None
    assert any("set `gpu_memory`" in text for text in found.warnings)
    small = asked(ctx, block({"type": "vllm", "max_model_len": 8192, "gpu_memory": 0.45}), stored(ctx))
    found = Deployment().estimate(small, (before,), ctx)
    assert found is not None
    assert found.warnings == ()


def test_an_engine_of_gpus_on_a_processor_says_what_it_needs(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:8:64GiB")
    assert "`tgi` needs a GPU" in foretold(ctx, block("tgi"), stored(ctx)).notes[0]


def test_llama_cpp_takes_its_file_and_room_for_all_requests(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = {"type": "xllamacpp", "gguf": "it.gguf", "max_model_len": 4096, "max_running": 8}
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:8:16GiB")
    assert "`it.gguf` is still to be made" in foretold(ctx, block(engine), stored(ctx)).notes[0]
    with (ctx.root / "it.gguf").open("wb") as file:
        file.truncate(4 * GIB)
    found = foretold(ctx, block(engine), stored(ctx))
    assert (found.parts["weights"], found.parts["keys and values"]) == (4 * GIB, 4096 * 8 * 131_072)
    assert found.notes == ("room for 32,768 tokens: 8 requests of 4,096 at once",)
    assert found.warnings == ()
    said = refused(ctx, block({**engine, "max_running": 32}), stored(ctx))
    assert "this machine with 16.0 GiB: it needs at least 20.1 GiB, 16.0 GiB of them for keys and values" in said
    assert "`serve.engine.max_running: 16`" in said
    assert "kv_cache_gb" not in said
    outlook = moved(ctx, block(engine), stored(ctx)).on(NAMED["H100"])
    assert "no build for H100" in outlook.unsupported


def test_a_small_model_is_foreseen_within_a_millisecond_or_a_few(ctx: Context) -> None:
    import time

    desired = asked(ctx, block(), stored(ctx, SMALL))
    begun = time.perf_counter()
    for _ in range(20):
        Deployment().estimate(desired, (), ctx)
    assert (time.perf_counter() - begun) / 20 < 0.02
