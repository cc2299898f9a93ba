"""What a training may run on: this machine's processors and memory, or accelerators by name, with what they can do at most."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mlctl.types.estimate import Range

# Names another machine to plan for, as `NAME[:COUNT][:MEMORY]`: `A100-80GB:8`, or `cpu:4:16GiB`.
DEVICE_VARIABLE = "MLCTL_DEVICE"
GIB = 2**30
_MIB = 2**20
_UNITS = {"mib": _MIB, "gib": GIB, "tib": 2**40, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_GIVEN = re.compile(
    r"(?P<name>[A-Za-z0-9-]+)(:(?P<count>[1-9]\d{0,4}))?(:(?P<memory>\d+(\.\d+)?)\s*(?P<unit>[A-Za-z]{2,3}))?"
)
_SMI_SECONDS = 10
# Operations a second of one core, sustained: measured with language models of 6 to 135 million parameters on server cores
# of 2023, and far less on a machine that others use too.
_CORE = {"fp32": Range(3e9, 42e9, 90e9), "bf16": Range(8e9, 110e9, 250e9), "emulated": Range(0.5e9, 8e9, 90e9)}


@dataclass(frozen=True, slots=True)
class Device:
    """One kind of device, `count` of them. `peak` are dense 16-bit operations a second of one, from its maker's sheet."""

    name: str
    count: int
    memory: float  # bytes of one; of a CPU, those of the machine
    peak: float = 0.0
    host: bool = False  # a CPU, whose processes share one memory
    fast_half: bool = True  # whether 16 bits are computed faster than 32

    def speed(self, precision: str, processes: int) -> Range:
        """Operations a second of all processes together, at the most that is ever seen of a CPU, or of a GPU's sheet."""
        if not self.host:
            factor = 1.0 if precision != "fp32" else 0.25  # 32 bits without tensor cores, or with their reduced mode
            return Range.exactly(self.peak * factor * processes)
        kind = "fp32" if precision == "fp32" else "bf16" if self.fast_half else "emulated"
        return _CORE[kind] * (self.count if processes == 1 else min(processes, self.count))


def _gpu(name: str, mebibytes: int, teraflops: float, *, half: bool = True) -> Device:
    return Device(name, 1, mebibytes * _MIB, teraflops * 1e12, fast_half=half)


# Memory as the driver reports it, and dense bf16 of the makers' sheets (fp16 for the two that have no bf16).
NAMED = {
    item.name: item
    for item in (
        _gpu("T4", 15_360, 65, half=False),
        _gpu("V100", 16_384, 125, half=False),
        _gpu("V100-32GB", 32_768, 125, half=False),
        _gpu("A10", 23_028, 125),
        _gpu("A10G", 23_028, 70),
        _gpu("L4", 23_034, 121),
        _gpu("A6000", 49_140, 155),
        _gpu("L40S", 46_068, 362),
        _gpu("RTX3090", 24_576, 71),
        _gpu("RTX4090", 24_564, 165),
        _gpu("A100", 40_960, 312),
        _gpu("A100-80GB", 81_920, 312),
        _gpu("H100", 81_559, 989),
        _gpu("H200", 143_771, 989),
        _gpu("B200", 183_359, 2250),
        _gpu("MI300X", 196_592, 1307),
    )
}
_OTHER_NAMES = {"A100-40GB": "A100", "A100-SXM4-80GB": "A100-80GB", "A100-SXM4-40GB": "A100", "A100-PCIE-40GB": "A100", "H100-80GB": "H100",
                "H100-SXM": "H100", "H100-NVL": "H100", "H100-PCIE": "H100", "RTX-A6000": "A6000", "TESLA-T4": "T4"}  # fmt: skip


def named(text: str) -> Device | None:
    """Accelerators as `NAME[:COUNT][:MEMORY]`, or a CPU as `cpu:CORES:MEMORY`; None for what is not known."""
    match = _GIVEN.fullmatch(text.strip())
    if match is None:
        return None
    count = int(match["count"] or 1)
    unit = _UNITS.get((match["unit"] or "").lower())
    if match["memory"] and unit is None:
        return None
    memory = float(match["memory"]) * unit if match["memory"] and unit else None
    if match["name"].lower() == "cpu":
        return None if memory is None else Device("cpu", count, memory, host=True, fast_half=True)
    known = _known(match["name"])
    return None if known is None else replace(known, count=count, memory=memory or known.memory)


def _known(name: str) -> Device | None:
    upper = name.upper()
    found = {key.upper(): item for key, item in NAMED.items()}
    return found.get(upper) or found.get(_OTHER_NAMES.get(upper, "").upper())


def here(environment: Mapping[str, str] | None = None) -> Device:
    """The devices of this machine, or those that the environment says to plan for. Raises ValueError for a name without a meaning."""
    given = (os.environ if environment is None else environment).get(DEVICE_VARIABLE)
    if given:
        found = named(given)
        if found is None:
            known = ", ".join(NAMED)
            raise ValueError(f"{DEVICE_VARIABLE} is `{given}`; write `NAME:COUNT`, one of {known}, or `cpu:4:16GiB`")
        return found
    return _gpus() or _cpus()


@cache
def _cpus() -> Device:
    return Device("cpu", _cores(), _memory(), host=True, fast_half=_has_fast_half())


def _cores() -> int:
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except (AttributeError, OSError):  # not on every system
        return os.cpu_count() or 1


def _memory() -> float:
    """What the processes of this machine, or of this container, may have at most."""
    import psutil

    limits = [float(psutil.virtual_memory().total)]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(float(Path(path).read_text()))
        except (OSError, ValueError):  # no such group, or `max`
            continue
    return min(limits)


def _has_fast_half() -> bool:
    """Whether the processor multiplies 16-bit numbers by itself."""
    try:
        flags = next(
            line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "Features"))
        )
    except (OSError, StopIteration):
        return False
    return any(name in flags.split() for name in ("avx512_bf16", "amx_bf16", "bf16", "avx_ne_convert"))


@cache
def _gpus() -> Device | None:
    """The GPUs that the driver's own tool lists, when there is one; of several makes the one with the least memory counts."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        told = subprocess.run(
            [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=_SMI_SECONDS, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return listed(told, os.environ.get("CUDA_VISIBLE_DEVICES"))


def listed(text: str, visible: str | None = None) -> Device | None:
    """The devices that `nvidia-smi` lists as `name, MiB`, as far as they are visible."""
    rows = [line.rsplit(",", 1) for line in text.splitlines() if "," in line]
    if visible is not None:
        rows = rows[: len([item for item in visible.split(",") if item.strip() not in ("", "-1")])]
    if not rows:
        return None
    name, mebibytes = min(((name.strip(), float(size)) for name, size in rows), key=lambda item: item[1])
    known = next((item for item in _by_length() if item.name.split("-")[0] in name.upper().replace("RTX ", "RTX").split()
                  or item.name.split("-")[0] in re.split(r"[ -]", name.upper())), None)  # fmt: skip
    return Device(
        name, len(rows), mebibytes * _MIB, known.peak if known else 0.0, fast_half=known.fast_half if known else True
    )


def _by_length() -> list[Device]:
    """Longer names first, so that `A100` is not taken for `A10`."""
    return sorted(NAMED.values(), key=lambda item: -len(item.name))
