"""What a machine computes with: its processor, its driver, and how fast its devices are at most, as far as that is known."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

from mlctl.estimate.devices import listed


def peak_flops(precision: str, ranks: int) -> float | None:
    """Operations a second of all ranks together, where each has a GPU that is known; None elsewhere. Loads nothing."""
    torch = sys.modules.get("torch")
    if precision == "fp32" or torch is None or not torch.cuda.is_available():
        return None
    found = listed(f"{torch.cuda.get_device_name()}, 0")
    return found.peak * ranks if found is not None and found.peak else None


def processor() -> str:
    """The make of the processor, or its architecture where the system does not tell."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def driver() -> str | None:
    """The version of the GPU's driver; None where there is none."""
    try:
        found = re.search(r"\s(\d+\.\d[\d.]*)\s", Path("/proc/driver/nvidia/version").read_text())
    except OSError:
        return None
    return found[1] if found else None
