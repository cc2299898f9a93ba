"""A choice of devices is written where the executor or the target can carry it; where not, it is said what would."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from mlctl.cli.costing.moving import moved
from mlctl.cli.costing.workloads import workloads
from mlctl.cli.patching import patched
from mlctl.estimate.devices import DEVICE_VARIABLE, NAMED
from mlctl.estimate.options import Option
from mlctl.estimate.prices import PriceRow, Tier, price_of
from mlctl.estimate.sizing import Wish, judge
from mlctl.types.address import Address
from tests.unit.cli.costing.shop import PROJECT, written

PODS = (
    "executor: {type: kubernetes, image: registry.example/train:1, storage: s3://shop/runs, cpus: 8, memory: 64Gi, gpus: 8, "
    "node_selector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}"
)
BATCH = 'executor: {type: slurm, nodes: 1, gpus_per_node: 8, constraint: "H100&ib"}'
RENTED = "executor: {type: skypilot, gpu: H100, gpus: 8, storage: s3://shop/runs}"


def option(gpu: str, count: int, tier: Tier = "on_demand") -> Option:
    price = price_of([PriceRow(gpu, "House", tier, 1.0, date(2026, 11, 1), "ours")])
    assert price is not None
    return Option(replace(NAMED[gpu], count=count), tier, "House", price)


def moves(folder: Path, address: str, chosen: Option, text: str = PROJECT) -> tuple[list[str], str]:
    """The changes, which make a valid project, or why there are none."""
    workspace = written(folder, text)
    found = workloads(workspace, [Address.parse(address)])[0]
    assert found.workload is not None
    edits, why = moved(found, judge(found.workload, chosen, Wish()))
    if edits:
        assert patched(workspace, edits).workspace.project is not None
    return [edit.words for edit in edits], why


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:2:16GiB")


def test_rented_devices_are_named_with_the_strategy_that_shares_the_work(tmp_path: Path) -> None:
    assert moves(tmp_path, "training.large", option("B200", 4)) == (
        ["executor.gpu: B200", "executor.gpus: 4", "strategy: {type: fsdp, processes: 4}"],
        "",
    )


def test_more_devices_than_a_machine_has_are_several_machines(tmp_path: Path) -> None:
    words, _ = moves(tmp_path / "a", "training.large", option("H100", 16))
    assert words == ["executor.nodes: 2", "strategy: {type: fsdp, processes: 16}"]
    words, _ = moves(tmp_path / "b", "training.large", option("H100", 12))  # and not twice eight for twelve
    assert words == ["executor.gpus: 6", "executor.nodes: 2", "strategy: {type: fsdp, processes: 12}"]


def test_spot_devices_come_with_checkpoints_by_the_minute(tmp_path: Path) -> None:
    words, _ = moves(tmp_path / "a", "training.large", option("H100", 8, "spot"))
    assert words == ["executor.spot: true", "checkpoint.every: 30 minutes"]  # however long it takes
    minutes = PROJECT.replace("epochs: 2\n", "max_steps: 500\n    epochs: 2\n")
    assert moves(tmp_path / "b", "training.large", option("H100", 8, "spot"), minutes)[0][0] == "executor.spot: true"


def test_a_machine_that_costs_more_than_the_project_allows_is_not_written(tmp_path: Path) -> None:
    text = PROJECT.replace("gpu: H100, gpus: 8, storage", "gpu: H100, gpus: 8, max_hourly_cost: 3, storage")
    words, why = moves(tmp_path, "training.large", option("B200", 4), text)
    assert (words, why) == ([], "a machine costs $4.00 an hour, and `executor.max_hourly_cost` allows $3.00")


def test_a_machine_of_ones_own_says_what_would_rent(tmp_path: Path) -> None:
    words, why = moves(tmp_path, "training.small", option("L40S", 2, "spot"), PROJECT.replace(
        "executor: {type: skypilot, gpu: A100-80GB, gpus: 2, storage: s3://shop/runs}", "executor: {type: local}"))  # fmt: skip
    assert words == []
    assert why == (
        "this machine is what it is; to rent, write `executor: {type: skypilot, gpu: L40S, gpus: 2, spot: true, "
        "storage: s3://BUCKET/PREFIX}`"
    )


@pytest.mark.parametrize(("executor", "field"), [(PODS, "executor.gpus"), (BATCH, "executor.gpus_per_node")])
def test_a_cluster_gives_more_or_fewer_of_the_devices_it_has_and_no_others(
    executor: str, field: str, tmp_path: Path
) -> None:
    text = PROJECT.replace(RENTED, executor)
    words, _ = moves(tmp_path / "a", "training.large", option("H100", 4, "owned"), text)
    assert words == [f"{field}: 4", "strategy: {type: fsdp, processes: 4}"]
    words, why = moves(tmp_path / "b", "training.large", option("B200", 4, "owned"), text)
    assert (words, why.split(":")[0]) == ([], "the project cannot say how devices are paid (owned)")
    assert moves(tmp_path / "c", "training.large", option("H100", 4), text)[0] == []


def test_pods_get_more_or_fewer_of_the_devices_their_nodes_have(tmp_path: Path) -> None:
    assert moves(tmp_path / "a", "deployments.chat", option("H100", 1)) == (["target.gpus: 1"], "")
    eight, _ = moves(tmp_path / "b", "deployments.chat", option("H100", 8))
    assert eight == ["serve.engine.tensor_parallel: 8", "target.gpus: 8"]
    sixteen, _ = moves(tmp_path / "c", "deployments.chat", option("H100", 16))
    assert sixteen == ["serve.engine.tensor_parallel: 8", "target.gpus: 8", "target.replicas: 2"]
    words, why = moves(tmp_path / "d", "deployments.chat", option("L4", 1))
    assert (words, why) == (
        [],
        "which nodes the pods get is the cluster's affair: choose those with L4 by `target.node_selector`",
    )
    assert moves(tmp_path / "e", "deployments.chat", option("H100", 1, "spot"))[0] == []


def test_a_kind_of_somebody_else_is_moved_by_hand(tmp_path: Path) -> None:
    workspace = written(tmp_path, PROJECT)
    found = workloads(workspace, [Address.parse("training.large")])[0]
    assert found.workload is not None
    judged = judge(found.workload, option("B200", 4), Wish())
    edits, why = moved(replace(found, address="embeddings.all"), judged)
    assert edits == []
    assert "4 x B200 by hand" in why
