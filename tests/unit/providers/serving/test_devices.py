"""On what a deployment stands, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from pydantic import ValidationError

from mlctl.engine.budget import judge
from mlctl.engine.budget_lines import Line
from mlctl.estimate.devices import DEVICE_VARIABLE, GIB, NAMED
from mlctl.estimate.prices import PriceRow, Prices
from mlctl.provider import Context
from mlctl.providers.serving.devices import place_of
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import MONTH_HOURS
from tests.unit.providers.serving.foretelling import (
    L4,
    block,
    foretold,
    moved,
    priced,
    refused,
    stored,
)


def test_here_the_gpus_count_that_its_layers_are_spread_over(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:8")
    for tensor in (1, 4):
        values = block({"type": "vllm", "max_model_len": 8192, "tensor_parallel": tensor})
        found = foretold(priced(ctx, "H100", "owned", 2.0), values, stored(ctx))
        assert found.devices == tensor
        assert found.hourly is not None
        assert found.hourly.mid == 2.0 * tensor
        assert moved(ctx, values, stored(ctx)).device.count == tensor


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
    low = 2 * usd * (0.5 if tier == "spot" else 1)
    high = 5 * usd * (1.5 if tier == "spot" else 1)
    assert (found.hourly.low, found.hourly.mid, found.hourly.high) == pytest.approx((low, 2 * usd, high))
    assert "per replica, of 2 to 5" in found.notes[0]
    assert "it costs as 2 of 5 replicas while little is asked of it, and never less" in found.notes[1]


def test_the_likely_replicas_refuse_a_month_and_the_most_warn(ctx: Context) -> None:
    target = {"gpus": 1, "autoscale": {"min": 2, "max": 5, "cpu": 80}, "node_selector": L4}
    found = foretold(
        priced(ctx, "L4", "owned", 1.0), block({"type": "vllm", "max_model_len": 8192}, target), stored(ctx)
    )
    line = Line("deployments.api", found)
    for most, refuses in ((1.9, [True]), (2.0, [False]), (4.9, [False]), (5.0, [])):
        assert [item.refuses for item in judge({"max_usd_per_month": most * MONTH_HOURS}, [line])] == refuses


def test_no_deployment_sleeps() -> None:
    target = {"gpus": 1, "autoscale": {"min": 0, "max": 5, "cpu": 80}, "node_selector": L4}
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        DeploymentSpec.model_validate(block("vllm", target))


def test_nodes_that_are_rented_several_at_once_are_paid_for_so(ctx: Context) -> None:
    ours = replace(ctx, prices=Prices(given=[PriceRow("L4", "p", "owned", 1.0, date(2026, 11, 1), "s", min_gpus=4)]))
    target = {"gpus": 1, "autoscale": {"min": 2, "max": 5, "cpu": 80}, "node_selector": L4}
    found = foretold(ours, block({"type": "vllm", "max_model_len": 8192}, target), stored(ctx))
    assert found.hourly is not None
    assert (found.hourly.low, found.hourly.mid, found.hourly.high) == (4.0, 4.0, 8.0)
    assert any("4 L4 are paid for, and 2 are used" in note for note in found.notes)


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


def test_a_machine_that_nobody_knows_is_refused(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H1000")
    with pytest.raises(MlctlError, match="H1000"):
        place_of(DeploymentSpec.model_validate(block()))
