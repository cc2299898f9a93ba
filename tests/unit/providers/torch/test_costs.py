"""What the devices of a training cost, when the budget ends it, and that neither is a part of what a training is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE, NAMED
from mlctl.estimate.prices import PriceRow, Prices, Tier
from mlctl.files.lock import FileLock
from mlctl.provider import Context
from mlctl.providers.torch import actuals, costs, devices
from mlctl.providers.torch.devices import place_of
from mlctl.providers.torch.render import train_job
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_context, make_desired
from mlctl.types import job as contract
from mlctl.types.address import ObjectKey
from mlctl.types.estimate import Estimate, Limit, Range
from mlctl.types.jobs.train import JobLimit, TrainJob
from mlctl.types.state import Record
from mlctl.types.value import Unknown
from tests.unit.providers.torch.trainings import POD, TABLE, ran, record, rows

SKY = {"type": "skypilot", "storage": "s3://bucket/jobs", "gpu": "H100", "gpus": 8}
ROWS: list[tuple[str, Tier, float, float]] = [
    ("H100", "on_demand", 4.0, 5.0), ("cpu", "owned", 0.5, 0.5), ("H100", "owned", 1.0, 1.0), ("cpu", "on_demand", 0.2, 0.2),
]  # fmt: skip
PRICES = Prices(
    given=[PriceRow(gpu, "us", tier, usd, date(2026, 11, 1), "s", high=high) for gpu, tier, usd, high in ROWS]
)


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:2:16GiB")
    (tmp_path / "rows.jsonl").write_text("x" * 1000)
    return replace(make_context(tmp_path), prices=PRICES)


def foreseen_of(ctx: Context, values: Mapping[str, Any]) -> Estimate:
    return Training().estimate(make_desired(Training(), "training.m", values, ctx, rows()), [], ctx)


def bounded(ctx: Context, **limits: float) -> Context:
    return replace(ctx, settings={"budget": limits})


def foreseen(ctx: Context, **executor: Any) -> Estimate:
    values = {**TABLE, "executor": executor} if executor else TABLE
    return Training().estimate(make_desired(Training(), "training.m", values, ctx, rows()), [], ctx)


@pytest.mark.parametrize(
    ("executor", "tier", "hourly"),
    [
        ({}, "owned", Range.exactly(0.5)),
        (SKY, "on_demand", Range(32, 32, 40)),
        ({**SKY, "nodes": 2, "max_hourly_cost": 34}, "on_demand", Range(64, 64, 68)),
        ({**SKY, "infra": "k8s/mine"}, "owned", Range.exactly(8)),
        ({**SKY, "gpu": "H200", "infra": "k8s/mine"}, None, None),
        ({**SKY, "gpu": "NoSuchGpu"}, "on_demand", None),
        (
            {"type": "skypilot", "storage": "s3://bucket/jobs", "cpus": "8", "memory": "32", "nodes": 2},
            "on_demand",
            Range.exactly(0.4),
        ),
        (POD, None, None),
        (
            {**POD, "gpus": 2, "node_selector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}},
            "owned",
            Range.exactly(2),
        ),
        (
            {
                **POD,
                "gpus": 2,
                "node_selector": {
                    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
                    "karpenter.sh/capacity-type": "on-demand",
                },
            },
            "on_demand",
            Range(8, 8, 10),
        ),
        ({**POD, "gpus": 2, "node_selector": {"karpenter.sh/capacity-type": "spot"}}, "spot", None),
        ({"type": "slurm", "gpus_per_node": 1}, None, None),
        ({"type": "ray", "address": "auto"}, None, None),
    ],
)
def test_each_executor_pays_for_what_it_takes(
    ctx: Context, executor: dict[str, Any], tier: str | None, hourly: Range | None
) -> None:
    spec = TrainingSpec.model_validate({**TABLE, **({"executor": executor} if executor else {})})
    found = costs.rent_of(spec, place_of(spec), ctx)
    assert found.tier == tier
    assert (found.hourly is None) == (hourly is None)
    if hourly is not None and found.hourly is not None:
        assert (found.hourly.low, found.hourly.mid, found.hourly.high) == (hourly.low, hourly.mid, hourly.high)
    assert bool(found.note) == (tier is not None and hourly is None)


def test_machines_of_one_cloud_have_its_price_and_not_what_is_usual(ctx: Context) -> None:
    ours = replace(bounded(ctx, max_usd=100.0), prices=Prices())
    usual, there = foreseen(ours, **SKY), foreseen(ours, **{**SKY, "infra": "aws/us-east-1"})
    assert usual.hourly is not None
    assert there.hourly is not None
    assert (usual.hourly.mid, there.hourly.mid) == (8 * 3.64, 8 * 6.88)
    told = costs.job_limit(TrainingSpec.model_validate({**TABLE, "executor": {**SKY, "infra": "aws"}}), ours)
    assert told is not None
    assert told.node_usd_per_hour is not None
    assert told.node_usd_per_hour >= 8 * 6.88  # SkyPilot would find no machine there that costs less


def test_what_is_rented_eight_at_once_costs_eight_and_the_plan_says_so(ctx: Context) -> None:
    eight = PriceRow("H100", "us", "on_demand", 4.0, date(2026, 11, 1), "s", min_gpus=8)
    ours = replace(ctx, prices=Prices(given=[eight]))
    one, whole = foreseen(ours, **{**SKY, "gpus": 1}), foreseen(ours, **SKY)
    assert one.hourly is not None
    assert (one.hourly, one.hourly.mid) == (whole.hourly, 32)
    assert "8 H100 are paid for, and 1 is used" in one.notes
    spread = foreseen_of(ours, {**TABLE, "executor": SKY, "strategy": {"type": "ddp", "processes": 8}})
    assert not any("paid for" in note for note in spread.notes)


def test_an_estimate_says_what_an_hour_costs_also_while_its_time_is_not_known(ctx: Context) -> None:
    values = {**TABLE, "executor": SKY}
    desired = make_desired(Training(), "training.m", values, ctx, rows())
    unknown = Unknown("datasets.rows")
    desired = replace(desired, inputs=dict.fromkeys(desired.inputs, unknown), identity=unknown)
    found = Training().estimate(desired, [], ctx)
    assert found.usd is None
    assert found.hourly is not None
    assert found.hourly.mid == 32
    assert found.tier == "on_demand"


def test_the_budget_ends_what_it_would_not_pay_for(ctx: Context) -> None:
    assert foreseen(ctx, **SKY).limit is None
    assert foreseen(bounded(ctx, max_usd_per_run=20.0), **SKY).limit == Limit(1800.0, "max_usd_per_run", carried=True)
    assert foreseen(bounded(ctx, max_usd_per_run=20.0, max_hours=0.25), **SKY).limit == Limit(
        900.0, "max_hours", carried=True
    )
    assert foreseen(bounded(ctx, max_hours=1.0)).limit == Limit(3600.0, "max_hours", carried=False)
    elsewhere = foreseen(bounded(ctx, max_hours=1.0), type="ray", address="auto")
    assert elsewhere.limit == Limit(3600.0, "max_hours", carried=False)
    assert any("a Ray cluster is told no limit" in note for note in elsewhere.notes)


def test_a_search_is_ended_as_a_whole_by_whoever_follows_it(ctx: Context) -> None:
    search = {"trials": 3, "space": {"optimizer.lr": {"low": 1e-4, "high": 1e-2}}}
    spec = TrainingSpec.model_validate({**TABLE, "executor": SKY, "search": search})
    limited = bounded(ctx, max_usd=20.0)
    found = costs.limit_of(spec, costs.rent_of(spec, place_of(spec), limited), limited)
    assert found == Limit(1800.0, "max_usd", carried=False)


def limited(ctx: Context, values: Mapping[str, Any]) -> tuple[TrainJob, Path]:
    desired = make_desired(Training(), "training.m", values, ctx, rows(format="jsonl"))
    folder = ctx.folder(desired.key)
    return costs.limited(train_job(desired, ctx), desired.spec, folder, ctx), folder


def test_a_job_is_told_its_limit_and_how_dear_a_node_may_be(ctx: Context) -> None:
    values = {**TABLE, "executor": {**SKY, "nodes": 2}}
    job, _ = limited(bounded(ctx, max_usd_per_run=160.0, max_hours=3.0), values)
    assert job.limit == JobLimit(seconds=7200, by="max_usd_per_run", node_usd_per_hour=44.0)
    job, _ = limited(bounded(ctx, max_hours=3.0), values)
    assert job.limit == JobLimit(seconds=10_800, by="max_hours", node_usd_per_hour=None)


def test_without_a_budget_a_job_is_what_it_was(ctx: Context) -> None:
    job, _ = limited(ctx, {**TABLE, "executor": SKY})
    assert job.limit is None
    assert "limit" not in job.params()
    here, _ = limited(bounded(ctx, max_hours=1.0), TABLE)
    assert here.limit is None  # the engine ends it
    carried, _ = limited(bounded(ctx, max_hours=1.0), {**TABLE, "executor": SKY})
    assert carried.params()["limit"]["seconds"] == 3600


def test_a_job_at_work_keeps_the_limit_it_was_started_with(ctx: Context) -> None:
    values = {**TABLE, "executor": SKY}
    first, folder = limited(bounded(ctx, max_usd=160.0), values)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / contract.JOB_FILE).write_text(json.dumps({"program": "train", "params": first.params()}))
    lock = FileLock(folder / contract.LOCK_FILE)
    assert lock.acquire()
    try:
        again, _ = limited(bounded(ctx, max_usd=80.0), values)
        assert again.limit == first.limit
    finally:
        lock.release()
    anew, _ = limited(bounded(ctx, max_usd=80.0), values)  # it is gone: the next one begins with the limit of now
    assert anew.limit is not None
    assert anew.limit.seconds == 7200


def test_a_budget_and_prices_are_no_part_of_what_a_training_is(ctx: Context) -> None:
    values = {**TABLE, "executor": SKY}
    one = make_desired(Training(), "training.m", values, ctx, rows())
    other = make_desired(
        Training(), "training.m", values, replace(bounded(ctx, max_usd=1.0, max_hours=1.0), prices=Prices()), rows()
    )
    assert (one.identity, one.parts, one.values) == (other.identity, other.parts, other.values)


def test_what_a_run_did_cost_is_kept_with_its_price(ctx: Context) -> None:
    kept = ran(ctx, TABLE, seconds=1800.0, megabytes=500)["estimate"]["actual"]
    assert (kept["held_seconds"], kept["usd"], kept["tier"], kept["price_of"]) == (1800.0, 0.25, "owned", "2026-11-01")
    unpriced = ran(replace(ctx, prices=Prices()), TABLE, seconds=1800.0, megabytes=500)["estimate"]["actual"]
    assert unpriced["held_seconds"] == 1800.0
    assert "usd" not in unpriced


@pytest.mark.parametrize(
    ("facts", "held"),
    [
        ({}, 100.0),
        ({"lived_seconds": 130.0, "started_seconds": 20.0}, 130.0),
        ({"lived_seconds": 60.0, "started_seconds": 20.0}, 120.0),  # it went on from a checkpoint
        ({"lived_seconds": 60.0, "started_seconds": 20.0, "machine_seconds": 400.0}, 400.0),
    ],
)
def test_devices_are_held_from_the_start_to_the_end(facts: dict[str, float], held: float) -> None:
    assert actuals._held(facts, 100.0) == held


def test_status_says_dollars_too(ctx: Context) -> None:
    made: Record = record(ran(ctx, TABLE, seconds=7200.0, megabytes=500))
    assert actuals.told(made) == "took 2.0 h, 477 MiB, $1.00"
    planned = {**foreseen(ctx).to_json(), "usd": Range.exactly(2.0).to_json()}
    assert actuals.told(replace(made, provenance={"estimate": planned})).endswith(", $2.00)")
    assert ObjectKey.parse("training.m#0000000000000001") == made.key


def test_a_gpu_of_this_machine_has_the_price_of_its_kind_whatever_its_driver_calls_it(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = replace(NAMED["H100"], name="NVIDIA H100 80GB HBM3", count=2)
    monkeypatch.setattr(devices, "here", lambda: mine)
    found = foreseen(ctx)
    assert (found.device, found.tier) == ("NVIDIA H100 80GB HBM3", "owned")
    assert found.hourly is not None
    assert found.hourly.mid == 2.0
