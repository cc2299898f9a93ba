from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from mlctl.runtime.trainer import devices


def torch_with(name: str | None) -> SimpleNamespace:
    cuda = SimpleNamespace(is_available=lambda: name is not None, get_device_name=lambda: name)
    return SimpleNamespace(cuda=cuda)


@pytest.mark.parametrize(
    ("name", "precision", "ranks", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", "bf16", 8, 8 * 312e12),
        ("NVIDIA A10", "bf16", 1, 125e12),
        ("NVIDIA L40S", "fp16", 2, 2 * 362e12),
        ("NVIDIA H100 80GB HBM3", "bf16", 1, 989e12),
        ("NVIDIA A100-SXM4-80GB", "fp32", 8, None),
        ("A device of tomorrow", "bf16", 1, None),
        (None, "bf16", 1, None),
    ],
)
def test_the_peak_is_told_where_it_is_known(
    monkeypatch: pytest.MonkeyPatch, name: str | None, precision: str, ranks: int, peak: float | None
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch_with(name))
    assert devices.peak_flops(precision, ranks) == peak


def test_a_process_without_torch_has_no_peak_and_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert devices.peak_flops("bf16", 1) is None
    assert "torch" not in sys.modules


def test_the_processor_has_a_name() -> None:
    assert devices.processor()
