import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE, GIB, Device, here, listed, named


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


@pytest.mark.parametrize("text", ["", "H1000", "cpu", "cpu:4", "H100:0", "H100:x", "H100:8:lots", "H100:8:16QB"])
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
    assert listed(text, "") is None
    assert listed(text, "-1") is None
    assert listed("no devices were found") is None


def test_sixteen_bits_are_slow_where_the_processor_cannot_do_them() -> None:
    fast, slow = (Device("cpu", 2, GIB, host=True, fast_half=half) for half in (True, False))
    assert fast.speed("bf16", 1).mid > fast.speed("fp32", 1).mid > slow.speed("bf16", 1).mid
