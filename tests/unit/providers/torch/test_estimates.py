"""What a plan foretells of a training, and what a training leaves for the next plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlctl.estimate import fit
from mlctl.estimate.devices import DEVICE_VARIABLE, GIB
from mlctl.estimate.prices import PriceRow, Prices
from mlctl.provider import Context
from mlctl.providers.torch import actuals
from mlctl.providers.torch.devices import place_of
from mlctl.providers.torch.layout import choose, fixed_layout
from mlctl.providers.torch.rules_engine import check_engine, check_memory, check_optimizer, check_strategy
from mlctl.providers.torch.setups import setup_of
from mlctl.providers.torch.sizes import shape_of, teacher_of
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import Estimate
from mlctl.types.state import Record, Use
from mlctl.types.value import Unknown

TABLE: dict[str, Any] = {
    "data": {"labels": "rows", "columns": ["a", "b"], "target": "y"},
    "model": {"type": "mlp", "hidden": [64, 32]},
    "epochs": 2,
    "batch_size": 100,
    "optimizer": {"lr": 1e-3},
}
TEXT: dict[str, Any] = {
    "data": {"dataset": "rows", "text": "text", "max_length": 512},
    "model": {"type": "causal_lm", "base": "base"},
    "precision": "bf16",
    "epochs": 1,
    "batch_size": 16,
    "optimizer": {"lr": 1e-4},
}
POD = {"type": "kubernetes", "storage": "s3://bucket/jobs", "image": "i", "cpus": "4", "memory": "16Gi"}
LLAMA_8B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14_336, "vocab_size": 128_256,
}  # fmt: skip
SMALL = {**LLAMA_8B, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 1000}  # fmt: skip


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:2:16GiB")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "rows.jsonl").write_text("x" * 100_000)
    return make_context(tmp_path)


def rows(count: int = 1000, **more: Any) -> dict[str, Record]:
    outputs = {"rows": count, "files": ["rows.jsonl"], "format": "json", "columns": dict.fromkeys("abyi", "double"),
               "key": ["i"], "digest": "d", **more}  # fmt: skip
    return {"datasets.rows": Record(ObjectKey.parse("datasets.rows#d"), "r", outputs=outputs)}


def foreseen(
    ctx: Context, values: Mapping[str, Any], inputs: dict[str, Record] | None = None, made: list[Record] | None = None
) -> Estimate:
    desired = make_desired(Training(), "training.m", values, ctx, rows() if inputs is None else inputs)
    return Training().estimate(desired, made or [], ctx)


def without(ctx: Context, values: Mapping[str, Any]) -> Estimate:
    """Of a training whose dataset is not made yet."""
    desired = make_desired(Training(), "training.m", values, ctx, rows())
    still = {Address("datasets", "rows"): Unknown("datasets.rows")}
    return Training().estimate(replace(desired, inputs=still, identity=Unknown("datasets.rows")), [], ctx)


def test_a_table_is_foreseen_from_its_rows_and_columns(ctx: Context) -> None:
    found = foreseen(ctx, TABLE)
    assert (found.device, found.devices, found.capacity) == ("cpu", 1, 16 * GIB)
    assert found.memory is not None
    assert found.seconds is not None
    assert found.seconds.basis == "formula"
    longer = foreseen(ctx, {**TABLE, "epochs": 20}).seconds
    assert longer is not None
    assert longer.mid == pytest.approx(10 * found.seconds.mid)
    stopped = foreseen(ctx, {**TABLE, "epochs": 20, "max_steps": 16}).seconds
    assert stopped is not None
    assert stopped.mid == pytest.approx(found.seconds.mid)
    assert found.usd is None


def test_before_its_data_is_there_only_memory_is_known(ctx: Context) -> None:
    found = without(ctx, TABLE)
    assert found.memory is not None
    assert found.seconds is None
    assert found.notes == ("its time is known once datasets.rows is made",)
    of_all_columns = without(ctx, {**TABLE, "data": {"labels": "rows", "target": "y"}})
    assert of_all_columns.memory is None
    assert of_all_columns.notes == ("known once datasets.rows is made",)


def test_text_is_foreseen_from_the_size_of_its_files(ctx: Context) -> None:
    small, large = foreseen(ctx, TEXT).seconds, foreseen(ctx, TEXT, rows(20_000)).seconds
    assert small is not None
    assert large is not None
    (ctx.root / "rows.jsonl").write_text("x" * 1_000_000)
    more = foreseen(ctx, TEXT).seconds
    assert more is not None
    assert more.mid > 5 * small.mid
    gone = foreseen(ctx, TEXT, rows(files=["not-there.jsonl"])).seconds
    assert gone is not None
    assert gone.high / gone.low > small.high / small.low


def test_a_model_of_a_function_says_that_its_size_is_not_known(ctx: Context) -> None:
    (ctx.root / "m.py").write_text("def build(features):\n    return None\n")
    found = foreseen(ctx, {**TABLE, "model": {"type": "python", "entrypoint": "m.py:build"}})
    assert (found.memory, found.seconds) == (None, None)
    assert found.notes == ("unknown: the size of a model that a function builds is not known before it is built",)


@pytest.mark.parametrize(
    ("config", "why"),
    [({"model_type": "mixtral"}, "the architecture `mixtral`"), (None, "the config.json of `base` is not here")],
)
def test_a_base_of_unknown_shape_is_not_guessed_at(ctx: Context, config: dict[str, Any] | None, why: str) -> None:
    path = ctx.root / "base" / "config.json"
    path.write_text(json.dumps(config)) if config is not None else path.unlink()
    found = foreseen(ctx, TEXT)
    assert found.memory is None
    assert why in found.notes[0]


def test_what_cannot_fit_is_refused_with_numbers_and_what_to_change(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "L4:1")
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    with pytest.raises(MlctlError) as error:
        foreseen(ctx, TEXT)
    (found,) = error.value.diagnostics
    assert found.code == "training.does-not-fit"
    assert found.summary.startswith("training.m needs at least ")
    assert found.summary.endswith("and each L4 has 22.5 GiB")
    assert found.why.startswith("optimizer 59.8 GiB, ")
    assert "`method: {type: qlora}`" in found.fix


def test_what_is_refused_on_a_cpu_counts_all_its_processes(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:2:1GiB")
    foreseen(ctx, TEXT)
    with pytest.raises(MlctlError) as error:
        foreseen(ctx, {**TEXT, "strategy": {"type": "ddp", "processes": 8}})
    assert "this machine has 1.0 GiB" in error.value.diagnostics[0].summary
    assert error.value.diagnostics[0].why.startswith("8 processes, each with ")
    assert "`strategy: single`" in error.value.diagnostics[0].fix


def test_what_may_not_fit_is_planned_with_a_warning(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "L4:1")
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    found = foreseen(ctx, {**TEXT, "method": {"type": "lora"}, "micro_batch_size": 1})
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("it may not fit: up to ")
    assert "; with `" in found.warnings[0]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"precision": "fp32", "engine": "torch"},
        {"optimizer": {"type": "adamw_8bit", "lr": 1e-4}},
        {"method": {"type": "galore"}},
        {"memory": {"compile": True}},
        {"batch_size": 4},
        {"distill": {"teacher": "base"}},
        {"strategy": {"type": "zero2", "processes": 8}},
        {"strategy": {"type": "fsdp", "processes": 8}},
        {"strategy": {"type": "pipeline", "stages": 4, "microbatches": 4}},
    ],
)
@pytest.mark.parametrize("device", ["H100:8", "T4:8", "cpu:8:64GiB"])
def test_a_lever_that_is_named_goes_with_the_rest_of_the_training(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, device: str, changed: dict[str, Any]
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, device)
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    values = {**TEXT, **changed}
    spec = TrainingSpec.model_validate(values)
    layout = fixed_layout(spec)
    assert layout is not None
    setup = setup_of(spec, shape_of(spec, ctx, None), layout, place_of(spec), teacher_of(spec, ctx))
    for lever in fit.levers(setup):
        path, _, written = lever.change.partition(": ")
        if path == "data.max_length":
            continue
        value = yaml.safe_load(written)
        merged = {**values.get(path, {}), **value} if path in ("memory", "optimizer") else value
        found = TrainingSpec.model_validate({**values, path: merged})
        said = [*check_strategy(found), *check_memory(found), *check_optimizer(found)]
        if path not in ("method", "precision"):  # which may ask for another engine
            said += check_engine(found)
        assert said == [], lever.change
    assert ("precision: fp16" in {item.change for item in fit.levers(setup)}) == (
        device[0] == "T" and "precision" in changed
    )


def test_bf16_that_is_only_emulated_is_warned_of(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "V100")
    (warning,) = foreseen(ctx, TEXT).warnings
    assert warning == "bf16 is only emulated by V100, as slow as fp32; `precision: fp16` is not"
    assert foreseen(ctx, {**TEXT, "precision": "fp16"}).warnings == ()


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


def test_what_would_not_be_enough_is_not_given_as_the_way_out(ctx: Context) -> None:
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    values = {**TEXT, "data": {**TEXT["data"], "max_length": 500_000}, "method": {"type": "qlora"}}
    with pytest.raises(MlctlError) as error:
        foreseen(ctx, values)
    (found,) = error.value.diagnostics
    assert found.fix.startswith("a smaller model or shorter rows: ")


def test_auto_of_what_fits_nowhere_is_refused_with_a_way(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "T4:2")
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    with pytest.raises(MlctlError) as error:
        choose(TrainingSpec.model_validate({**TEXT, "strategy": "auto"}), ctx)
    (found,) = error.value.diagnostics
    assert found.code == "training.does-not-fit"
    assert "method: {type: qlora}" in found.fix


def test_a_machine_that_nobody_knows_is_refused(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H1000:8")
    with pytest.raises(MlctlError, match="H1000"):
        foreseen(ctx, TABLE)


@pytest.mark.parametrize(
    ("executor", "device", "devices", "capacity"),
    [
        ({"type": "torchrun", "hosts": ["a", "b"]}, "cpu", 2, 16 * GIB),
        ({"type": "slurm", "nodes": 2, "cpus_per_task": 8, "memory": "8G"}, "cpu", 2, 8 * GIB),
        ({"type": "slurm", "gpus_per_node": 1, "constraint": "a100"}, "A100", 1, 40_960 * 2**20),
        ({"type": "slurm", "gpus_per_node": 1}, "gpu", 1, None),
        ({"type": "slurm"}, "cpu", 1, None),
        ({"type": "ray", "address": "auto"}, "cpu", 1, None),
        ({"type": "skypilot", "storage": "s3://bucket/jobs", "cpus": "8+", "memory": 32}, "cpu", 1, 32 * GIB),
        ({**POD, "cpus": "500m", "memory": "16Gi"}, "cpu", 1, 16 * GIB),
        (
            {**POD, "gpus": 1, "node_selector": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}},
            *("A100-80GB", 1, 81_920 * 2**20),
        ),
        ({**POD, "gpus": 1}, "gpu", 1, None),
    ],
)
def test_the_executor_says_on_what_it_will_run(
    ctx: Context, executor: dict[str, Any], device: str, devices: int, capacity: float | None
) -> None:
    found = foreseen(ctx, {**TABLE, "executor": executor})
    assert (found.device, found.devices, found.capacity) == (device, devices, capacity)


def rented(**more: Any) -> dict[str, Any]:
    return {**TABLE, "executor": {"type": "skypilot", "storage": "s3://bucket/jobs", "gpu": "H100", "gpus": 1, **more}}


def test_what_is_rented_costs_money_with_a_date(ctx: Context) -> None:
    found = foreseen(ctx, rented())
    assert found.usd is not None
    assert found.usd.basis == "prices of 2026-10-24"
    assert found.usd.low < found.usd.mid < found.usd.high
    spot = foreseen(ctx, rented(spot=True)).usd
    assert spot is not None
    assert spot.mid < found.usd.mid
    assert foreseen(ctx, rented(infra="k8s/mine")).usd is None
    unpriced = foreseen(ctx, rented(gpu="T4"))
    assert unpriced.usd is None
    assert "no price is known for T4 (on_demand)" in unpriced.notes


def ran(ctx: Context, values: Mapping[str, Any], *, seconds: float, megabytes: float, ranks: int = 1) -> dict[str, Any]:
    """What a training puts out whose ranks took so much: the files that they and the program leave, and its outputs."""
    desired = make_desired(Training(), "training.m", values, ctx, rows())
    folder = ctx.folder(desired.key)
    folder.mkdir(parents=True, exist_ok=True)
    used = {"peak_rss_megabytes": megabytes, "gpu_megabytes": 0.0, "cpu_seconds": 1.0, "device": "cpu"}
    steps = 3 if "dataset" in values["data"] else 16
    (folder / actuals.ENDED).write_text(json.dumps({"step": steps, "total": steps, "history": [{"epoch": 1}], "ranks": [used] * ranks}))  # fmt: skip
    data: dict[str, Any] = {"type": "table", "columns": ["a", "b"], "train": 800, "validation": 200}
    if "dataset" in values["data"]:
        data = {"type": "text", "train": 40, "validation": 4, "train_tokens": 20_000}
    (folder / actuals.PLANNED).write_text(json.dumps({"data": data}))
    return actuals.with_actual({"seconds": seconds, "run_id": "r"}, desired, ctx)


def record(outputs: dict[str, Any], sequence: int = 1) -> Record:
    uses = (Use(ObjectKey.parse("datasets.rows#d"), "d"),)
    return Record(ObjectKey.parse(f"training.m#{sequence:016d}"), "r", outputs=outputs, sequence=sequence, uses=uses)


def test_what_it_took_is_kept_beside_what_the_formula_says(ctx: Context) -> None:
    kept = ran(ctx, TABLE, seconds=4.0, megabytes=500)["estimate"]
    assert kept["actual"]["memory"] == 500_000_000
    assert kept["actual"]["rows_per_second"] == 400.0
    assert kept["ratio"]["memory"] == pytest.approx(500e6 / kept["predicted"]["memory"], rel=1e-3)
    assert kept["ratio"]["seconds"] == pytest.approx(4.0 / kept["predicted"]["seconds"], rel=1e-3)
    assert kept["group"]["device"] == "cpu x2"


def test_the_next_plan_is_put_right_by_it(ctx: Context) -> None:
    before = foreseen(ctx, TABLE)
    made = [
        record(ran(ctx, TABLE, seconds=seconds, megabytes=500), place) for place, seconds in enumerate((0.4, 0.5, 0.45))
    ]
    after = foreseen(ctx, {**TABLE, "seed": 1}, made=made)
    assert before.seconds is not None
    assert after.seconds is not None
    assert after.seconds.basis == "calibrated from 3 runs"
    assert after.seconds.mid == pytest.approx(0.45, rel=0.01)
    assert after.seconds.high / after.seconds.low < before.seconds.high / before.seconds.low
    assert after.memory is not None
    assert after.memory.mid == pytest.approx(500e6, rel=0.01)


def test_tokens_that_were_counted_once_are_not_guessed_again(ctx: Context) -> None:
    made = [record(ran(ctx, TEXT, seconds=1.0, megabytes=900))]
    found = foreseen(ctx, {**TEXT, "seed": 1}, made=made).seconds
    guessed = foreseen(ctx, {**TEXT, "seed": 1, "data": {**TEXT["data"], "max_length": 256}}, made=made).seconds
    assert found is not None
    assert guessed is not None
    assert found.mid == pytest.approx(1.0, rel=0.15)
    assert found.high / found.low < guessed.high / guessed.low


def test_runs_that_cannot_be_compared_put_nothing_right(ctx: Context) -> None:
    values = {**TABLE, "strategy": {"type": "ddp", "processes": 2}}
    fewer = ran(ctx, values, seconds=4.0, megabytes=500, ranks=1)["estimate"]
    assert set(fewer) == {"actual"}
    desired = make_desired(Training(), "training.other", TABLE, ctx, rows())
    assert actuals.with_actual({"seconds": 1.0}, desired, ctx) == {"seconds": 1.0}  # taken over: no ranks ran


def test_a_run_elsewhere_than_was_planned_for_puts_nothing_right_and_has_no_price_of_that(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100")  # only planned for: the ranks were on a processor
    owned = replace(ctx, prices=Prices(given=[PriceRow("H100", "p", "owned", 2.0, date(2026, 11, 1), "s")]))
    found = ran(owned, TABLE, seconds=4.0, megabytes=500)["estimate"]
    assert set(found) == {"actual"}
    assert "usd" not in found["actual"]
    assert found["actual"]["held_seconds"] == 4.0


def test_what_is_left_of_a_training_is_what_is_foreseen(ctx: Context) -> None:
    desired = make_desired(Training(), "training.m", TABLE, ctx, rows())
    whole = Training().estimate(desired, [], ctx).seconds
    folder = ctx.folder(desired.key) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "step-0000000012.json").write_text(json.dumps({"step": 12, "total": 16}))
    (folder / "step-0000000014.json").write_text("torn")
    left = Training().estimate(desired, [], ctx).seconds
    assert whole is not None
    assert left is not None
    assert left.mid == pytest.approx(whole.mid / 4)


def test_status_tells_what_it_took_beside_what_was_planned(ctx: Context) -> None:
    made = record(ran(ctx, TABLE, seconds=4.0, megabytes=500))
    assert actuals.told(made) == "took 4.0 s, 477 MiB"
    planned = foreseen(ctx, TABLE).to_json()
    text = actuals.told(replace(made, provenance={"estimate": planned}))
    assert text.startswith("took 4.0 s, 477 MiB (planned ")
    assert actuals.told(record({})) == ""


def test_an_estimate_is_no_part_of_what_a_training_is(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    one = make_desired(Training(), "training.m", TABLE, ctx, rows())
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    assert make_desired(Training(), "training.m", TABLE, ctx, rows()).identity == one.identity


def test_rows_that_may_be_short_refuse_nothing_and_warn_all_the_same(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "L4:1")
    values = {**TEXT, "batch_size": 4096, "data": {**TEXT["data"], "max_length": 8192, "packing": False}}
    assert foreseen(ctx, values).warnings
    with pytest.raises(MlctlError, match="needs at least"):
        foreseen(ctx, {**values, "data": {**TEXT["data"], "max_length": 8192}}, rows(10_000_000, files=["gone"]))
