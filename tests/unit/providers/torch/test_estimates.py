"""What a plan foretells of a training, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from mlctl.estimate import fit
from mlctl.estimate.devices import DEVICE_VARIABLE, GIB
from mlctl.provider import Context
from mlctl.providers.torch.devices import place_of
from mlctl.providers.torch.layout import fixed_layout
from mlctl.providers.torch.rules_engine import check_engine, check_memory, check_optimizer, check_strategy
from mlctl.providers.torch.setups import setup_of
from mlctl.providers.torch.sizes import shape_of, teacher_of
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_desired
from mlctl.types.diagnostic import MlctlError
from tests.unit.providers.torch.trainings import LLAMA_8B, POD, TABLE, TEXT, foreseen, rows, without

START, BEGIN = 6.0, 15.0  # seconds that processes of both engines are likely to take to their first step


def test_a_table_is_foreseen_from_its_rows_and_columns(ctx: Context) -> None:
    found = foreseen(ctx, TABLE)
    assert (found.device, found.devices, found.capacity) == ("cpu", 1, 16 * GIB)
    assert found.memory is not None
    assert found.seconds is not None
    assert found.seconds.basis == "formula"
    longer = foreseen(ctx, {**TABLE, "epochs": 20}).seconds
    assert longer is not None
    assert longer.mid - START == pytest.approx(10 * (found.seconds.mid - START))
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
    assert more.mid - BEGIN > 5 * (small.mid - BEGIN)
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


def test_what_is_not_likely_to_fit_is_told_as_that(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "L4:1")
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    longer = {**TEXT["data"], "max_length": 4096}
    (warning,) = foreseen(ctx, {**TEXT, "data": longer, "method": {"type": "lora"}, "micro_batch_size": 1}).warnings
    assert warning.startswith("it is not likely to fit: about ")
    assert "GiB of 22.5 GiB; with `" in warning


def test_a_slip_in_the_name_of_a_gpu_is_told_with_what_was_meant(ctx: Context) -> None:
    sky = {"type": "skypilot", "storage": "s3://bucket/jobs", "gpus": 1}
    for name, meant in (("H10", "; did you mean `H100`?"), ("A100-80G", "; did you mean `A100-80GB`?"), ("Z1", "")):
        notes = foreseen(ctx, {**TEXT, "executor": {**sky, "gpu": name}}).notes
        assert f"`{name}` is not among the devices that mlctl knows{meant}" in notes


def test_more_processes_than_gpus_are_warned_of(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:4")
    (warning,) = foreseen(ctx, {**TEXT, "strategy": {"type": "ddp", "processes": 8}}).warnings
    assert warning == "8 processes want as many GPUs, and there are 4"
    assert foreseen(ctx, {**TEXT, "strategy": {"type": "ddp", "processes": 4}}).warnings == ()
    assert foreseen(ctx, TEXT).warnings == ()  # one of four: others may have the rest
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:2:16GiB")
    assert foreseen(ctx, {**TEXT, "strategy": {"type": "ddp", "processes": 8}}).warnings == ()


def test_gpus_that_are_asked_for_and_not_used_are_warned_of(ctx: Context) -> None:
    sky = {"type": "skypilot", "storage": "s3://bucket/jobs", "gpu": "H100", "gpus": 8, "nodes": 2}
    for executor in (sky, {**POD, "gpus": 8, "nodes": 2}):
        values = {**TEXT, "executor": executor, "strategy": {"type": "ddp", "processes": 4}}
        (warning,) = (text for text in foreseen(ctx, values).warnings if "GPUs" in text)
        assert warning == "16 GPUs are asked for, and the strategy uses 4"
        found = foreseen(ctx, {**values, "strategy": {"type": "ddp", "processes": 16}})
        assert not any("GPUs" in text for text in found.warnings)


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


def test_what_would_not_be_enough_is_not_given_as_the_way_out(ctx: Context) -> None:
    (ctx.root / "base" / "config.json").write_text(json.dumps({**LLAMA_8B, "num_hidden_layers": 320}))
    values = {**TEXT, "data": {**TEXT["data"], "max_length": 500_000}, "method": {"type": "qlora"}}
    with pytest.raises(MlctlError) as error:
        foreseen(ctx, values)
    (found,) = error.value.diagnostics
    assert found.fix.startswith("a smaller model or shorter rows: ")


def test_rows_that_are_much_too_long_are_told_the_length_that_fits_once(ctx: Context) -> None:
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    values = {**TEXT, "data": {**TEXT["data"], "max_length": 1_000_000_000}, "method": {"type": "qlora"}}
    with pytest.raises(MlctlError) as error:
        foreseen(ctx, values)
    (found,) = error.value.diagnostics
    assert found.fix.startswith("together ")
    assert found.fix.count("max_length") == 1


def test_what_is_shared_by_devices_may_be_kept_in_their_machines_or_shared_by_more(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    (ctx.root / "base" / "config.json").write_text(json.dumps({**LLAMA_8B, "num_hidden_layers": 320}))
    values = {**TEXT, "strategy": {"type": "zero3", "processes": 8}, "batch_size": 64, "micro_batch_size": 1}
    with pytest.raises(MlctlError) as error:
        foreseen(ctx, values)
    (found,) = error.value.diagnostics
    assert "`memory: {offload: [optimizer, parameters]}`" in found.fix
    assert "`strategy: {type: zero3, processes: 32}` on 32 devices, 4 machines" in found.fix


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
    assert left.mid - START == pytest.approx((whole.mid - START) / 4)  # and one start more


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
