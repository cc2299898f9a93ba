"""What a plan foretells of a deployment, wherever it stands and whatever is known of its model."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE, GIB, NAMED, named
from mlctl.estimate.fit import Fit
from mlctl.estimate.prices import PriceRow, Prices
from mlctl.provider import Context, Desired, Estimates, Movable
from mlctl.providers.mlflow.spec import EvaluationSpec
from mlctl.providers.serving.deployment import Deployment
from mlctl.providers.serving.devices import place_of
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.workload import DeploymentWorkload
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import Estimate
from mlctl.types.state import Record
from mlctl.types.value import Unknown

LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14_336, "vocab_size": 128_256, "max_position_embeddings": 131_072, "torch_dtype": "bfloat16",
}  # fmt: skip
SMALL = {**LLAMA_8B, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 128, "vocab_size": 1000, "max_position_embeddings": 2048}  # fmt: skip
POD = {"type": "kubernetes", "image": "i", "models": "pvc://c/m", "cpus": "4", "memory": "32Gi"}
L4 = {"nvidia.com/gpu.product": "NVIDIA-L4"}
GATE = Address("evaluations", "gate")
DAY = date(2026, 11, 1)


@dataclass
class Project:
    """The blocks of a project."""

    blocks: Mapping[Address, Any] = field(default_factory=dict)
    edges: Mapping[Address, Collection[Address]] = field(default_factory=dict)

    def block(self, address: Address) -> Any | None:
        return self.blocks.get(address)

    def uses(self, address: Address) -> Collection[Address]:
        return self.edges.get(address, ())


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100")
    return make_context(tmp_path)


def stored(ctx: Context, config: Mapping[str, Any] = LLAMA_8B, **outputs: Any) -> dict[str, Record]:
    """An evaluation that has registered a model which is there."""
    folder = ctx.root / "models" / "3"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    made = {
        "name": "shops",
        "alias": "champion",
        "version": 3,
        "model": "models/3",
        "task": "causal_lm",
        "digest": "d",
        **outputs,
    }
    return {str(GATE): Record(ObjectKey(GATE, "1"), "1", outputs=made)}


def block(engine: Any = "vllm", target: Mapping[str, Any] | None = None, **serve: Any) -> dict[str, Any]:
    found = {"model": "shops@champion", "serve": {"port": 8080, "engine": engine, **serve}}
    return {**found, **({"target": {**POD, **target}} if target is not None else {})}


def asked(ctx: Context, values: Mapping[str, Any], inputs: Mapping[str, Record] | None = None) -> Desired:
    return make_desired(Deployment(), "deployments.api", values, ctx, inputs)


def foretold(ctx: Context, values: Mapping[str, Any], inputs: Mapping[str, Record] | None = None) -> Estimate:
    found = Deployment().estimate(asked(ctx, values, inputs), (), ctx)
    assert found is not None
    return found


def refused(ctx: Context, values: Mapping[str, Any], inputs: Mapping[str, Record]) -> str:
    with pytest.raises(MlctlError) as raised:
        foretold(ctx, values, inputs)
    found = raised.value.diagnostics[0]
    assert found.code == "deploy.does-not-start"
    assert found.address == "deployments.api"
    return f"{found.summary}\n{found.why}\n{found.fix}"


def moved(ctx: Context, values: Mapping[str, Any], inputs: Mapping[str, Record]) -> DeploymentWorkload:
    found = Deployment().workload(asked(ctx, values, inputs), (), ctx)
    assert isinstance(found, DeploymentWorkload)
    return found


def priced(ctx: Context, gpu: str, tier: Any, usd: float) -> Context:
    return replace(ctx, prices=Prices(given=[PriceRow(gpu, "p", tier, usd, DAY, "s")]))


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


def test_what_helps_is_taken(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "L4:4")
    for more in ({"max_model_len": 8192}, {"tensor_parallel": 4}):
        assert foretold(ctx, block({"type": "vllm", **more}), stored(ctx)).warnings == ()


def test_here_the_gpus_count_that_its_layers_are_spread_over(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    for tensor in (1, 4):
        values = block({"type": "vllm", "max_model_len": 8192, "tensor_parallel": tensor})
        found = foretold(priced(ctx, "H100", "owned", 2.0), values, stored(ctx))
        assert found.devices == tensor
        assert found.hourly is not None
        assert found.hourly.mid == 2.0 * tensor
        assert moved(ctx, values, stored(ctx)).device.count == tensor


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


def test_on_a_cluster_the_labels_of_the_nodes_say_which_gpus_there_are(ctx: Context) -> None:
    target = {"gpus": 2, "replicas": 3, "node_selector": L4}
    found = foretold(ctx, block({"type": "vllm", "max_model_len": 8192, "tensor_parallel": 2}, target), stored(ctx))
    assert (found.device, found.devices) == ("L4", 6)
    assert found.capacity == NAMED["L4"].memory
    found = foretold(ctx, block({"type": "vllm", "max_model_len": 8192}, target), stored(ctx))
    assert any("uses 1 of the 2 GPUs" in text for text in found.warnings)
    assert "needs 16.0 GiB" in refused(ctx, block("vllm", {"gpus": 1, "node_selector": L4}), stored(ctx))


def test_of_gpus_that_nobody_names_only_the_need_is_told(ctx: Context) -> None:
    found = foretold(ctx, block("vllm", {"gpus": 1}), stored(ctx))
    assert (found.device, found.capacity, found.hourly) == ("gpu", None, None)
    assert found.memory is not None
    assert found.memory.low > 30 * GIB
    assert "the cluster's affair" in found.notes[0]


def test_a_model_that_is_still_to_be_made_is_that_of_its_training(ctx: Context) -> None:
    (ctx.root / "base").mkdir()
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    first, second = Address("training", "first"), Address("training", "second")
    project = Project(
        {GATE: gate(), first: training("base"), second: training("${training.first.model}")},
        {GATE: [second], second: [first]},
    )
    desired = replace(
        asked(ctx, block({"type": "vllm", "max_model_len": 8192})), inputs={GATE: Unknown("it")}, blocks=project
    )
    found = Deployment().estimate(desired, (), ctx)
    assert found is not None
    assert found.parts["weights"] == pytest.approx(14.96 * GIB, rel=0.01)
    assert Deployment().workload(desired, (), ctx) is not None


def test_a_well_known_base_is_known_by_its_name(ctx: Context) -> None:
    trained = Address("training", "it")
    project = Project({GATE: gate(), trained: training("Qwen/Qwen2.5-14B", "a" * 40)}, {GATE: [trained]})
    desired = replace(
        asked(ctx, block({"type": "vllm", "max_model_len": 8192})), inputs={GATE: Unknown("it")}, blocks=project
    )
    found = Deployment().estimate(desired, (), ctx)
    assert found is not None
    assert found.parts["weights"] == pytest.approx(27.5 * GIB, rel=0.02)


def gate() -> EvaluationSpec:
    return EvaluationSpec.model_validate(
        {
            "model": "${training.it.model}", "dataset": "d", "require": {"loss": {"max": 1.0}},
            "register": {"name": "shops", "alias": "champion"},
        }
    )  # fmt: skip


def training(base: str, revision: str | None = None) -> TrainingSpec:
    return TrainingSpec.model_validate(
        {
            "data": {"dataset": "d", "text": "t", "max_length": 16}, "model": {"type": "causal_lm", "base": base, "revision": revision},
            "epochs": 1, "batch_size": 1, "optimizer": {"lr": 1e-4},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("config", "engine", "why"),
    [
        (None, "vllm", "registered once its evaluation is made"),
        ({**LLAMA_8B, "model_type": "deepseek_v3"}, "vllm", "deepseek_v3"),
        ({**LLAMA_8B, "quantization_config": {"quant_method": "exl2"}}, "vllm", "exl2"),
        ({**LLAMA_8B, "quantization_config": "awq"}, "vllm", "`quantization_config` cannot be read"),
        (
            {**LLAMA_8B, "quantization_config": {"quant_method": "modelopt", "quantization": "x"}},
            "vllm",
            "cannot be read",
        ),
        (
            {**LLAMA_8B, "quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"0": 8}}},
            "vllm",
            "cannot be read",
        ),
        ({**LLAMA_8B, "max_position_embeddings": None}, "vllm", "max_model_len"),
        (LLAMA_8B, {"command": ["serve", "{port}"]}, "`command` takes cannot be counted"),
        (LLAMA_8B, {"type": "vllm", "extra": {"cpu-offload-gb": 4}}, "cpu-offload-gb"),
    ],
)
def test_what_cannot_be_counted_is_said_and_not_guessed(
    ctx: Context, config: Mapping[str, Any] | None, engine: Any, why: str
) -> None:
    inputs = {} if config is None else stored(ctx, config)
    found = foretold(ctx, block(engine), inputs)
    assert found.memory is None
    assert any(why in text for text in found.notes), found.notes
    assert Deployment().workload(asked(ctx, block(engine), inputs), (), ctx) is None


def test_scales_for_keys_leave_the_room_open(ctx: Context) -> None:
    stored_so = {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}
    found = foretold(ctx, block(), stored(ctx, {**LLAMA_8B, "quantization_config": stored_so}))
    assert found.parts["weights"] == pytest.approx(8.5 * GIB, rel=0.02)
    assert "its room is not told" in found.notes[0]


@pytest.mark.parametrize(
    ("selector", "tier", "usd"),
    [
        ({}, "owned", 0.4),
        ({"karpenter.sh/capacity-type": "spot"}, "spot", 0.3),
        ({"eks.amazonaws.com/capacityType": "ON_DEMAND"}, "on_demand", 0.7),
    ],
)
def test_nodes_of_a_cluster_cost_what_their_labels_say(
    ctx: Context, selector: dict[str, str], tier: str, usd: float
) -> None:
    target = {"gpus": 1, "autoscale": {"min": 2, "max": 5, "cpu": 80}, "node_selector": {**L4, **selector}}
    values = block({"type": "vllm", "max_model_len": 8192}, target)
    found = foretold(priced(ctx, "L4", tier, usd), values, stored(ctx))
    assert found.tier == tier
    assert found.hourly is not None
    assert found.hourly.mid == pytest.approx(2 * usd)
    assert "per replica, of 2 to 5" in found.notes[0]


def test_what_is_owned_and_has_no_price_has_no_tier_and_costs_nothing_that_is_known(ctx: Context) -> None:
    found = foretold(ctx, block({"type": "vllm", "max_model_len": 8192}), stored(ctx))
    assert (found.tier, found.hourly, found.usd) == (None, None, None)


def test_rented_nodes_without_a_price_say_so(ctx: Context) -> None:
    target = {"gpus": 1, "node_selector": {"nvidia.com/gpu.product": "NVIDIA-A30", "cloud.google.com/gke-spot": "true"}}
    found = foretold(ctx, block({"type": "vllm", "max_model_len": 8192}, target), stored(ctx))
    assert (found.tier, found.hourly) == ("spot", None)
    assert "no price is known for A30 (spot)" in found.notes


def test_a_machine_of_ours_costs_what_the_price_list_says(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:8:64GiB")
    found = foretold(priced(ctx, "cpu", "owned", 0.2), block("torch"), {})
    assert (found.memory, found.tier) == (None, "owned")
    assert found.hourly is not None
    assert found.hourly.mid == 0.2


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


@pytest.mark.parametrize(
    ("config", "engine", "gibibytes"),
    [
        ({}, {"type": "vllm", "dtype": "float32"}, 29.9),
        ({}, {"type": "vllm", "quantization": "fp8"}, 8.5),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, {"type": "vllm"}, 5.3),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, {"type": "vllm"}, 8.5),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, {"type": "vllm"}, 5.6),
        ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"0": {"weights": {"num_bits": 8, "type": "int"}}}}},
         {"type": "vllm"}, 8.6),
        ({}, {"type": "tgi", "quantization": "eetq"}, 8.6),
        ({}, {"type": "sglang", "python": "p", "quantization": "w8a8_int8"}, 8.6),
    ],
)  # fmt: skip
def test_weights_are_counted_as_they_are_kept(
    ctx: Context, config: Mapping[str, Any], engine: Mapping[str, Any], gibibytes: float
) -> None:
    found = foretold(ctx, block({**engine, "max_model_len": 2048}), stored(ctx, {**LLAMA_8B, **config}))
    assert found.parts["weights"] / GIB == pytest.approx(gibibytes, rel=0.02)


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


def test_a_machine_that_nobody_knows_is_refused(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H1000")
    with pytest.raises(MlctlError, match="H1000"):
        place_of(DeploymentSpec.model_validate(block()))


def test_elsewhere_an_engine_is_spread_over_what_its_heads_allow(ctx: Context) -> None:
    found = moved(ctx, block({"type": "vllm", "max_model_len": 8192}), stored(ctx))
    four, three = (found.on(replace(NAMED["L4"], count=count)) for count in (4, 3))
    assert four.fit is Fit.FITS
    assert four.changes == ("serve.engine.tensor_parallel: 4",)
    assert set(four.figures) == {"concurrency", "tpot_seconds", "ttft_seconds", "tokens_per_second"}
    assert three.unsupported == "its layers cannot be shared by 3 devices"
    assert found.device == named("H100")
    assert found.lasting
    assert found.checkpoint_seconds is None


def test_pods_are_so_many_as_the_project_has_where_that_is_possible(ctx: Context) -> None:
    target = {"gpus": 1, "replicas": 3, "node_selector": L4}
    found = moved(ctx, block({"type": "vllm", "max_model_len": 8192}, target), stored(ctx))
    own, wider, other = (found.on(replace(NAMED["L4"], count=count)) for count in (3, 12, 16))
    assert (own.changes, own.why) == ((), "3 replicas")
    assert wider.changes == ("serve.engine.tensor_parallel: 4", "target.gpus: 4")
    assert other.changes == ("serve.engine.tensor_parallel: 8", "target.gpus: 8", "target.replicas: 2")
    one = found.on(NAMED["L4"])
    assert own.figures["concurrency"].mid == pytest.approx(3 * one.figures["concurrency"].mid)
    assert own.figures["tpot_seconds"].mid < one.figures["tpot_seconds"].mid  # a third of the requests each
    assert found.device == replace(NAMED["L4"], count=3)


def test_where_it_is_devices_that_no_layer_is_on_do_nothing(ctx: Context) -> None:
    target = {"gpus": 2, "node_selector": L4}
    found = moved(ctx, block({"type": "vllm", "max_model_len": 8192}, target), stored(ctx))
    here, one = found.on(found.device), found.on(NAMED["L4"])
    assert found.device.count == 2
    assert here.changes == ()
    assert here.figures == one.figures
    assert one.changes == ("target.gpus: 1",)


def test_more_and_faster_devices_answer_sooner(ctx: Context) -> None:
    found = moved(ctx, block({"type": "vllm", "max_model_len": 8192}), stored(ctx))
    times = [found.on(replace(NAMED[name], count=count)).figures["tpot_seconds"].mid
             for name, count in (("L4", 1), ("A100-80GB", 1), ("H100", 1), ("H100", 4))]  # fmt: skip
    assert times == sorted(times, reverse=True)


def test_where_it_cannot_start_it_says_what_would_help(ctx: Context) -> None:
    outlook = moved(ctx, block(), stored(ctx)).on(NAMED["L4"])
    assert outlook.fit is Fit.NEVER
    assert outlook.unsupported == ""
    assert "max_model_len" in outlook.why


@pytest.mark.parametrize(
    ("engine", "device", "why"),
    [
        ({"type": "vllm", "quantization": "fp8"}, "A100-80GB", "capability 8.9"),
        ({"type": "vllm", "quantization": "fp8"}, "L4", ""),
        ({"type": "vllm", "quantization": "fp8"}, "MI300X", ""),
        ({"type": "vllm", "dtype": "bfloat16"}, "T4", "capability 8"),
        ({"type": "vllm"}, "V100-32GB", ""),  # which computes in the other 16 bits then
        ({"type": "vllm", "extra": {"kv-cache-dtype": "fp8"}}, "A100-80GB", "keys and values in 8 bits"),
        ({"type": "vllm"}, "MI300X", ""),
        ({"type": "tensorrt_llm"}, "MI300X", "no build for MI300X"),
        ({"type": "vllm"}, "cpu:8:64GiB", ""),
        ({"type": "tgi"}, "cpu:8:64GiB", "no build for processors"),
    ],
)
def test_what_a_device_lacks_is_named(ctx: Context, engine: Mapping[str, Any], device: str, why: str) -> None:
    found = named(device)
    assert found is not None
    outlook = moved(ctx, block({**engine, "max_model_len": 2048}), stored(ctx)).on(found)
    assert why in outlook.unsupported if why else outlook.unsupported == ""
    assert (outlook.fit is Fit.NEVER) == bool(why)


def test_four_bits_with_scales_need_the_newest_devices(ctx: Context) -> None:
    four_bits = {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}
    found = moved(ctx, block({"type": "vllm", "max_model_len": 2048}), stored(ctx, {**LLAMA_8B, **four_bits}))
    assert "capability 10" in found.on(NAMED["H100"]).unsupported
    assert found.on(NAMED["B200"]).unsupported == ""


def test_pods_on_gpus_that_nobody_names_can_be_moved_to_some_that_are(ctx: Context) -> None:
    found = moved(ctx, block({"type": "vllm", "max_model_len": 8192}, {"gpus": 1, "replicas": 2}), stored(ctx))
    assert found.device.count == 2
    assert found.on(found.device).fit is Fit.MAY
    assert found.on(NAMED["H100"]).fit is Fit.FITS


def test_a_small_model_is_foreseen_within_a_millisecond_or_a_few(ctx: Context) -> None:
    import time

    desired = asked(ctx, block(), stored(ctx, SMALL))
    begun = time.perf_counter()
    for _ in range(20):
        Deployment().estimate(desired, (), ctx)
    assert (time.perf_counter() - begun) / 20 < 0.02
