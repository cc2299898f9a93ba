"""A deployment on other devices: whether it starts there, how fast it is, and what has to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mlctl.estimate import sizing
from mlctl.estimate.devices import NAMED, named
from mlctl.estimate.fit import Fit
from mlctl.estimate.options import options
from mlctl.estimate.prices import PriceRow
from mlctl.provider import Context
from tests.unit.providers.serving.foretelling import (
    DAY,
    L4,
    LLAMA_8B,
    block,
    moved,
    stored,
)


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


def test_without_a_wish_there_has_to_be_room_for_as_many_requests_as_it_is_to_work_on(ctx: Context) -> None:
    rows = [PriceRow(gpu, "A", "on_demand", usd, DAY, "a test") for gpu, usd in (("L4", 0.7), ("H100", 3.6))]
    offered = list(options(rows, counts=(1,)))
    engine = {"type": "vllm", "max_model_len": 8192}
    many = moved(ctx, block({**engine, "max_running": 64}), stored(ctx))
    found = sizing.size(many, offered)
    assert (found.wish.usual, found.wish.usual_tokens) == (64, 1250)
    assert found.chosen is not None
    assert found.chosen.option.device.name == "H100"
    (small,) = found.others
    assert (small.lost, "`max_running` has 64" in small.why) == (sizing.Constraint.CONCURRENCY, True)
    assert found.today.oversized == ""
    few = sizing.size(moved(ctx, block({**engine, "max_running": 4}), stored(ctx)), offered)
    assert few.chosen is not None
    assert few.chosen.option.device.name == "L4"
    assert "with 4 requests of 1,250 tokens at once" in few.today.oversized
    unsaid = sizing.size(moved(ctx, block(engine), stored(ctx)), offered)
    assert unsaid.wish.usual is None
    assert "with one request of the greatest length" in unsaid.today.oversized
    asked = sizing.size(many, offered, sizing.Wish(concurrency=2))
    assert asked.wish.usual is None


def test_what_is_used_of_a_device_counts_the_requests_that_are_wanted(ctx: Context) -> None:
    many = moved(ctx, block({"type": "vllm", "max_model_len": 8192, "max_running": 64}), stored(ctx))
    here = many.on(many.device)
    assert here.each_usual == pytest.approx(1250 * here.each / 8192, rel=0.02)  # in whole blocks
    assert here.usual is not None
    assert here.usual.low > here.figures["concurrency"].high
