"""Catalogues of prices that others publish: what becomes of their lines, and what is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from mlctl.estimate.catalogues import NotACatalogue, device_of, from_gpuhunt, from_skypilot
from mlctl.estimate.prices import PriceRow

DAY = date(2026, 11, 1)
# The columns stand in another order in each provider's file.
SKYPILOT = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice"
GPUHUNT = "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size"


def sky(*lines: str, header: str = SKYPILOT) -> Any:
    return from_skypilot("\n".join((header, *lines)), provider="nebius", as_of=DAY, source="s")


def hunt(*lines: str, header: str = GPUHUNT) -> Any:
    return from_gpuhunt("\n".join((header, *lines)), provider="lambda", as_of=DAY, source="s")


def row(gpu: str, tier: Any, usd: float, **more: Any) -> PriceRow:
    return PriceRow(gpu, "nebius", tier, usd, DAY, "s", **more)


def test_a_machine_with_eight_devices_is_an_eighth_each_of_eight_at_least() -> None:
    found = sky("gpu_8x,H100,8.0,128,1600,22.40,eu,\"{'Gpus': [{'Name': 'H100', 'Count': 8}]}\",10")
    assert found.rows == (
        row("H100", "on_demand", 2.8, region="eu", min_gpus=8),
        row("H100", "spot", 1.25, region="eu", min_gpus=8),
    )


def test_fewer_devices_at_the_same_price_each_make_more_of_them_no_row_of_their_own() -> None:
    found = sky("a,H100,1,16,200,2.95,eu,,", "b,H100,8,128,1600,23.6,eu,,", "c,H100,16,1,1,32,eu,,")
    assert found.rows == (
        row("H100", "on_demand", 2.95, region="eu"), row("H100", "on_demand", 2.0, region="eu", min_gpus=16)
    )  # fmt: skip


def test_what_costs_the_same_everywhere_has_no_region_and_what_does_not_has_one() -> None:
    same = sky("a,L4,1,1,1,0.7,eu,,0.2", "a,L4,1,1,1,0.7,us,,0.3")
    assert same.rows == (
        row("L4", "on_demand", 0.7), row("L4", "spot", 0.2, region="eu"), row("L4", "spot", 0.3, region="us")
    )  # fmt: skip


def test_of_the_machines_with_as_many_devices_the_cheapest_counts_with_the_range_of_its_zones() -> None:
    found = sky(
        "big,L4,1,64,1,3.4,eu,,", "small,L4,1,4,1,0.7,eu,,", "small,L4,1,4,1,0.9,eu,,", "small,L4,1,4,1,0.8,eu,,"
    )
    assert found.rows == (row("L4", "on_demand", 0.8, low=0.7, high=0.9, region="eu"),)


def test_what_is_not_taken_over_is_counted() -> None:
    found = sky(
        "cpu_4x,,,4,16,0.2,eu,,",  # no accelerator
        ",A100,1,,,2.9,eu,,1.2",  # an accelerator to be put into some machine
        "part,A10,0.5,8,32,0.4,eu,,",
        "old,RTX6000,1,64,432,1.9,eu,,",
        "old,RTX6000,1,64,432,1.9,us,,",
        "none,L4,1,4,16,,eu,,",
        "free,L4,1,4,16,0.0,eu,,",
    )
    assert (found.rows, found.lines) == ((), 7)
    assert found.unknown == {"RTX6000": 2}
    assert found.left_out == {
        "without an accelerator": 1,
        "accelerators without the machine around them": 1,
        "with a part of a device": 1,
        "without a price": 2,
    }


def test_a_price_of_next_to_nothing_is_none_and_one_of_a_fortune_is_a_mistake() -> None:
    found = sky("a,H100,8,128,1600,0.00001,eu,,10")
    assert found.rows == (row("H100", "spot", 1.25, region="eu", min_gpus=8),)
    assert sky("a,H100,8,128,1600,0.00001,eu,,").left_out == {"without a price": 1}
    with pytest.raises(NotACatalogue) as error:
        sky("a,H100,8,128,1600,1e308,eu,,")
    assert error.value.problems == [(2, "one H100 costs $1.25e+307 an hour there")]


def test_gpuhunt_tells_devices_of_one_name_apart_by_their_memory() -> None:
    found = hunt(
        "p4d,us,32.8,96,1152,8,A100,40,False,",
        "p4de,us,40.96,96,1152,8,A100,80,False,",
        "p3dn,us,16,96,768,8,V100,32.0,True,",
        "g2,us,0.7,4,16,1,L4,24,false,50.0",
        "cpu,us,0.1,4,16,0,,,False,",
    )
    assert [(item.gpu, item.tier, item.usd, item.min_gpus) for item in found.rows] == [
        ("A100", "on_demand", 4.1, 8), ("A100-80GB", "on_demand", 5.12, 8), ("L4", "on_demand", 0.7, 1), ("V100-32GB", "spot", 2.0, 8)
    ]  # fmt: skip
    assert {item.provider for item in found.rows} == {"lambda"}


def test_a_file_of_several_providers_says_whose_each_line_is() -> None:
    found = hunt(
        "a,eu,1,1,1,1,L4,24,False,aws", "b,eu,2,1,1,1,L4,24,False,gcp", header=GPUHUNT.replace("disk_size", "provider")
    )
    assert [(item.provider, item.usd) for item in found.rows] == [("aws", 1.0), ("gcp", 2.0)]


def test_columns_may_stand_in_any_order_and_there_may_be_more() -> None:
    header = (
        "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice"
    )
    found = sky("a,12,85,L4,1,,eu,eu-a,0.7,0.2", header=header)
    assert [item.usd for item in found.rows] == [0.7, 0.2]


@pytest.mark.parametrize(
    ("name", "gigabytes", "ours"),
    [
        ("A100-80GB-SXM", None, "A100-80GB"), ("H100-MEGA", None, "H100"), ("H100NVL", 94, "H100-NVL"), ("RTXA6000", 48, "A6000"),
        ("h100-sxm", None, "H100"), ("A100", 80, "A100-80GB"), ("A100", 40, "A100"), ("RTX4090", 24, "RTX4090"),
        ("MI300X", 192, "MI300X"), ("B200", 180, "B200"), ("RTXPRO6000WS", None, "RTX-PRO-6000"),
        ("GH200", 96, "GH200"), ("A100-80GB-PCIE", 80, "A100-PCIE-80GB"), ("H200-NVL", 141, "H200-NVL"), ("RTX6000-Ada", 48, "RTX6000-ADA"),
        ("RTX6000", 24, None),
        ("RTXA5000", 24, "A5000"), ("H200NVL", 141, "H200-NVL"), ("B300", 288, "B300"), ("MI325X", 256, "MI325X"),
        ("tpu-v5p", None, None), ("A10:4", None, None), ("cpu", None, None),
    ],
)  # fmt: skip
def test_devices_of_catalogues_have_one_name_here(name: str, gigabytes: float | None, ours: str | None) -> None:
    assert device_of(name, gigabytes) == ours


def test_what_is_wrong_is_told_line_by_line_and_nothing_is_taken() -> None:
    with pytest.raises(NotACatalogue) as error:
        sky(
            "a,L4,1,1,1,0.7,eu,,",
            "b,L4,one,1,1,0.7,eu,,",
            "c,L4,1,1,1,-2,eu,,",
            "d,L4,1",
            "e,L4,1,1,1,nan,eu,,",
            "f,L4,1,1,1,x,eu,,,",
        )
    assert [line for line, _ in error.value.problems] == [3, 4, 5, 6, 7]
    assert "`AcceleratorCount` is `one`, which is no number" in str(error.value)
    with pytest.raises(NotACatalogue, match="line 2: `spot` is `maybe`"):
        hunt("a,eu,1,1,1,1,L4,24,maybe,")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "[1, 2]", "\x00"])
def test_a_file_of_another_kind_is_told_which_columns_are_missing(text: str) -> None:
    with pytest.raises(NotACatalogue, match=r"no column `InstanceType`|no CSV"):
        from_skypilot(text, provider="p", as_of=DAY, source="s")
