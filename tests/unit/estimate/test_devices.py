from dataclasses import replace

import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE, GIB, NAMED, Device, here, listed, named


@pytest.mark.parametrize(
    ("text", "name", "count", "gibibytes"),
    [
        ("H100:8", "H100", 8, 79.6),
        ("a100-80gb", "A100-80GB", 1, 80.0),
        ("A100-SXM4-40GB:2", "A100", 2, 40.0),
        ("tesla-t4", "T4", 1, 15.0),
        ("V100:4:32GiB", "V100", 4, 32.0),
        ("cpu:2:16GiB", "cpu", 2, 16.0),
    ],
)
def test_a_device_is_named_with_a_count_and_its_memory(text: str, name: str, count: int, gibibytes: float) -> None:
    found = named(text)
    assert found is not None
    assert (found.name, found.count, found.host) == (name, count, name == "cpu")
    assert found.memory / GIB == pytest.approx(gibibytes, abs=0.1)


@pytest.mark.parametrize(
    "text", ["", "H1000", "cpu", "cpu:4", "H100:0", "H100:x", "H100:8:lots", "H100:8:16QB", "H100:8:0GiB", "cpu:4:0GiB"]
)
def test_what_is_not_known_is_no_device(text: str) -> None:
    assert named(text) is None


def test_another_machine_can_be_planned_for() -> None:
    assert here({DEVICE_VARIABLE: "L4:4"}) == named("L4:4")
    with pytest.raises(ValueError, match=r"L5:4.*H100"):
        here({DEVICE_VARIABLE: "L5:4"})


def test_this_machine_has_cores_and_memory() -> None:
    found = here({})
    assert found.count >= 1
    assert found.memory > 2**28


def test_gpus_are_read_from_what_the_driver_lists() -> None:
    text = "NVIDIA H100 80GB HBM3, 81559\nNVIDIA H100 80GB HBM3, 81559\n"
    found = listed(text)
    assert found is not None
    assert (found.count, found.peak) == (2, 989e12)
    assert found.memory / GIB == pytest.approx(79.6, abs=0.1)


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA A10G", 70e12), ("NVIDIA A10", 125e12), ("Tesla T4", 65e12), ("NVIDIA L40S", 362e12),
     ("NVIDIA L4", 121e12), ("Tesla V100-SXM2-16GB", 125e12), ("NVIDIA GeForce RTX 4090", 165e12), ("Quadro K620", 0.0)],
)  # fmt: skip
def test_a_gpu_is_known_by_the_driver_s_name(name: str, peak: float) -> None:
    found = listed(f"{name}, 10000")
    assert found is not None
    assert found.peak == peak


def test_only_visible_gpus_count_and_the_smallest_is_the_measure() -> None:
    text = "NVIDIA A100-SXM4-80GB, 81920\nNVIDIA A100-SXM4-40GB, 40960\nNVIDIA A100-SXM4-40GB, 40960\n"
    assert listed(text, "0") == listed("NVIDIA A100-SXM4-80GB, 81920")
    found = listed(text, "0,1")
    assert found is not None
    assert (found.count, found.memory / GIB) == (2, 40.0)
    assert listed(text, "1") == listed("NVIDIA A100-SXM4-40GB, 40960")
    assert listed(text, "2,0,7,1") == replace(found, count=2)  # CUDA sees none behind one that is not there
    assert listed(text, "GPU-5a,GPU-6b") == found  # by their own ids
    assert listed(text, "") is None
    assert listed(text, "-1") is None
    assert listed("no devices were found") is None
    assert listed("Quadro RTX 6000, 24576") == Device("Quadro RTX 6000", 1, 24_576 * 2**20, maker="nvidia")


@pytest.mark.parametrize(
    ("name", "precision", "teraflops"),
    [
        ("A100", "bf16", 312), ("A100", "fp32", 19.5), ("H100", "fp16", 989), ("H100", "fp32", 67), ("L4", "fp32", 30.3),
        ("V100", "fp16", 125), ("V100", "bf16", 15.7), ("T4", "bf16", 8.1), ("MI300X", "fp32", 163.4),
    ],
)  # fmt: skip
def test_a_gpu_multiplies_as_fast_as_its_sheet_says_of_a_precision(name: str, precision: str, teraflops: float) -> None:
    found = named(f"{name}:2")
    assert found is not None
    assert found.speed(precision, 2).mid == pytest.approx(2e12 * teraflops)


def test_every_named_gpu_has_all_of_its_sheet() -> None:
    for item in NAMED.values():
        assert 0 < item.single < item.peak, item.name
        assert item.bandwidth > 0, item.name
        assert item.watts > 0, item.name


def test_sixteen_bits_are_slow_where_the_processor_cannot_do_them() -> None:
    fast, slow = (Device("cpu", 2, GIB, host=True, fast_half=half) for half in (True, False))
    assert fast.speed("bf16", 1).mid > fast.speed("fp32", 1).mid > slow.speed("bf16", 1).mid
