"""What a training or a model may run on: this machine's processors and memory, or accelerators by name, with what they can do at most."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from mlctl.estimate import host
from mlctl.types.estimate import Range

# Names another machine to plan for, as `NAME[:COUNT][:MEMORY]`: `A100-80GB:8`, or `cpu:4:16GiB`.
DEVICE_VARIABLE = "MLCTL_DEVICE"
GIB = 2**30
_BF16 = 8.0  # of CUDA, from which on devices compute in bf16
_MIB = 2**20
_UNITS = {"mib": _MIB, "gib": GIB, "tib": 2**40, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_GIVEN = r"(?P<name>[A-Za-z0-9-]+)(:(?P<count>[1-9]\d{0,4}))?(:(?P<memory>\d+(\.\d+)?)\s*(?P<unit>[A-Za-z]{2,3}))?"
_SMI_SECONDS = 10
HOST = 8  # GPUs of one machine at most: more of them are several machines
# Operations a second of one core, sustained: measured with language models of 6 to 135 million parameters on server cores
# of 2023, and far less on a machine that others use too.
_CORE = {"fp32": Range(3e9, 42e9, 90e9), "bf16": Range(8e9, 110e9, 250e9), "emulated": Range(0.5e9, 8e9, 90e9)}


@dataclass(frozen=True, slots=True)
class Device:
    """One kind of device, `count` of them. `peak` are dense 16-bit operations a second of one, `single` those of 32 bits without
    tensor cores, `link` and `slot` bytes a second and direction, from its maker's sheet."""

    name: str
    count: int
    memory: float  # bytes of one; of a CPU, those of the machine
    peak: float = 0.0
    host: bool = False  # a CPU, whose processes share one memory
    fast_half: bool = True  # whether 16 bits are computed faster than 32
    bandwidth: float = 0.0  # bytes a second of its memory, from its maker's sheet; 0 where it is not known
    watts: float = 0.0  # at most, from its maker's sheet
    capability: float | None = None  # CUDA's name for what it can compute; None for others
    maker: str = ""
    single: float = 0.0
    link: float = 0.0  # to the others of its machine, all together, by links of its own; 0 where it has none
    joined: int = HOST  # how many of a machine are joined by such links
    slot: float = 0.0  # to its machine, by PCIe
    most: int = HOST  # of them in one machine

    @property
    def machines(self) -> int:
        """Machines that all of them are in at least."""
        return 1 if self.host else -(-self.count // self.most)

    def speed(self, precision: str, processes: int) -> Range:
        """Operations a second of all processes together, at the most that is ever seen of a CPU, or of a GPU's sheet."""
        if not self.host:
            # PyTorch multiplies 32 bits in full unless it is told otherwise, and what a device cannot do in 16 bits as well
            whole = precision == "fp32" or (precision == "bf16" and not self.fast_half)
            return Range.exactly((self.single if whole else self.peak) * processes)
        kind = "fp32" if precision == "fp32" else "bf16" if self.fast_half else "emulated"
        each = max(1, self.count // processes)  # threads of a process: no core is asked for twice
        return _CORE[kind] * min(each * processes, self.count)


_PCIE3, _PCIE4, _PCIE5 = 16e9, 32e9, 64e9  # bytes a second and direction over 16 lanes


def _nvidia(
    name: str,
    mebibytes: int,
    teraflops: float,
    single: float,
    gigabytes: float,
    watts: float,
    capability: float,
    slot: float = _PCIE4,
    nvlink: float = 0.0,
    joined: int = HOST,
    most: int = HOST,
) -> Device:
    return Device(
        name, 1, mebibytes * _MIB, teraflops * 1e12, fast_half=capability >= _BF16, bandwidth=gigabytes * 1e9, watts=watts,
        capability=capability, maker="nvidia", single=single * 1e12, slot=slot, link=nvlink * 1e9, joined=joined, most=most,
    )  # fmt: skip


def _amd(
    name: str, mebibytes: int, teraflops: float, single: float, gigabytes: float, watts: float, fabric: float
) -> Device:
    return Device(
        name, 1, mebibytes * _MIB, teraflops * 1e12, bandwidth=gigabytes * 1e9, watts=watts, maker="amd", single=single * 1e12,
        slot=_PCIE5, link=fabric * 1e9,
    )  # fmt: skip


# Memory as the driver reports it; of the makers' sheets dense bf16 (fp16 for those that have no bf16), 32 bits without tensor cores,
# bandwidth of the memory, and power. Where boards of one name differ the slower one counts: the B200's memory is told as 7.7 to 8.0
# TB/s, the RTX PRO 6000 is the server's edition, a GH200 has 96 or 144 GB, and a V100 is taken to be the one with NVLink.
# Then the slot, and of boards with links of their own GB a second of one direction, half of what their sheets tell of both: NVLink
# 2 (300 GB/s), 3 (600), 4 (900) and 5 (1,800), through a switch or, of the NVL boards, by bridges over 2 and over 4 of them. Bridges
# that are bought apart (A100 and H100 for PCIe, A30, A40, A5000, A6000, RTX 3090) do not count: who rents such boards seldom has them.
# Of MI300X and MI325X each is linked to the seven others, by 64 GB a second.
NAMED = {
    item.name: item
    for item in (
        _nvidia("T4", 15_360, 65, 8.1, 320, 70, 7.5, _PCIE3),
        _nvidia("V100", 16_384, 125, 15.7, 900, 300, 7.0, _PCIE3, 150),
        _nvidia("V100-32GB", 32_768, 125, 15.7, 900, 300, 7.0, _PCIE3, 150),
        _nvidia("A10", 23_028, 125, 31.2, 600, 150, 8.6),
        _nvidia("A10G", 23_028, 70, 31.2, 600, 150, 8.6),
        _nvidia("A30", 24_576, 165, 10.3, 933, 165, 8.0),
        _nvidia("A40", 46_068, 149.7, 37.4, 696, 300, 8.6),
        _nvidia("L4", 23_034, 121, 30.3, 300, 72, 8.9),
        _nvidia("A5000", 24_564, 111.1, 27.8, 768, 230, 8.6),
        _nvidia("A6000", 49_140, 155, 38.7, 768, 300, 8.6),
        _nvidia("RTX6000-ADA", 49_140, 364, 91.1, 960, 300, 8.9),
        _nvidia("L40", 46_068, 181, 90.5, 864, 300, 8.9),
        _nvidia("L40S", 46_068, 362, 91.6, 864, 350, 8.9),
        _nvidia("RTX3090", 24_576, 71, 35.6, 936, 350, 8.6),
        _nvidia("RTX4090", 24_564, 165, 82.6, 1008, 450, 8.9),
        _nvidia("RTX5090", 32_607, 209.5, 104.8, 1792, 575, 12.0, _PCIE5),
        _nvidia("RTX-PRO-6000", 97_887, 468, 120, 1597, 600, 12.0, _PCIE5),
        _nvidia("A100", 40_960, 312, 19.5, 1555, 400, 8.0, _PCIE4, 300),
        _nvidia("A100-80GB", 81_920, 312, 19.5, 2039, 400, 8.0, _PCIE4, 300),
        _nvidia("A100-PCIE", 40_960, 312, 19.5, 1555, 250, 8.0),
        _nvidia("A100-PCIE-80GB", 81_920, 312, 19.5, 1935, 300, 8.0),
        _nvidia("H100", 81_559, 989, 67, 3350, 700, 9.0, _PCIE5, 450),
        _nvidia("H100-PCIE", 81_559, 756, 51, 2000, 350, 9.0, _PCIE5),
        _nvidia("H100-NVL", 95_830, 835, 60, 3900, 400, 9.0, _PCIE5, 300, joined=2),
        _nvidia("GH200", 97_871, 989, 67, 4000, 1000, 9.0, _PCIE5, most=1),
        _nvidia("H200", 143_771, 989, 67, 4800, 700, 9.0, _PCIE5, 450),
        _nvidia("H200-NVL", 143_771, 835, 60, 4800, 600, 9.0, _PCIE5, 450, joined=4),
        _nvidia("B200", 183_359, 2250, 75, 7700, 1000, 10.0, _PCIE5, 900),
        _nvidia("B300", 275_040, 2250, 75, 7700, 1100, 10.3, _PCIE5, 900),
        _amd("MI300X", 196_592, 1307, 163.4, 5300, 750, 448),
        _amd("MI325X", 262_128, 1307, 163.4, 6000, 1000, 448),
    )
}
_OTHER_NAMES = {"A100-40GB": "A100", "A100-SXM4-80GB": "A100-80GB", "A100-SXM4-40GB": "A100", "A100-PCIE-40GB": "A100-PCIE",
                "A100-80GB-PCIE": "A100-PCIE-80GB", "H100-80GB": "H100", "H100-SXM": "H100", "H100-80GB-HBM3": "H100",
                "RTX-A5000": "A5000", "RTX-A6000": "A6000", "RTX-6000-ADA": "RTX6000-ADA", "RTX6000ADA": "RTX6000-ADA",
                "TESLA-T4": "T4"}  # fmt: skip

_NOT_WHOLE = {
    "MIG",
    "SHARED",
    "LAPTOP",
    "MOBILE",
    "MAX",
    "D",
}  # words in the names of parts, of shares, and of boards with less in them


def named(text: str) -> Device | None:
    """Accelerators as `NAME[:COUNT][:MEMORY]`, or a CPU as `cpu:CORES:MEMORY`; None for what is not known."""
    import re  # what is not asked for costs no time at the start

    match = re.fullmatch(_GIVEN, text.strip())
    if match is None:
        return None
    count = int(match["count"] or 1)
    unit = _UNITS.get((match["unit"] or "").lower())
    if match["memory"] and unit is None:
        return None
    memory = float(match["memory"]) * unit if match["memory"] and unit else None
    if memory is not None and memory < 1:
        return None
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
    return _gpus() or processors()


@cache
def processors() -> Device:
    """The processor and the memory of this machine, whatever GPUs it has."""
    return Device("cpu", host.usable_cores(), host.memory(), host=True, fast_half=host.has_fast_half())


@cache
def _gpus() -> Device | None:
    """The GPUs that the driver's own tool lists, when there is one; of several makes the one with the least memory counts."""
    import shutil
    import subprocess

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
        rows = _visible(rows, visible)
    if not rows:
        return None
    name, mebibytes = min(((name.strip(), float(size)) for name, size in rows), key=lambda item: item[1])
    known = recognized(name)
    if known is None:
        return Device(name, len(rows), mebibytes * _MIB, maker="nvidia")
    return replace(known, name=name, count=len(rows), memory=mebibytes * _MIB)


def _visible(rows: list[list[str]], visible: str) -> list[list[str]]:
    """Those that CUDA is told to use, by their numbers; it takes none behind one that is not there. Of others than numbers only the
    count is known."""
    asked = [item.strip() for item in visible.split(",") if item.strip()]
    if not all(item.lstrip("-").isdigit() for item in asked):
        return rows[: len(asked)]
    there = itertools.takewhile(lambda number: 0 <= number < len(rows), map(int, asked))
    return [rows[number] for number in there]


def sheet_name(device: Device) -> str:
    """What a device is called here and in price lists, whatever its driver calls it; its own name where it is not known."""
    if device.host or device.name in NAMED:
        return device.name
    found = recognized(device.name)
    return device.name if found is None else found.name


def recognized(name: str) -> Device | None:
    """The device that a driver calls by a name: the known one with most of its words in it, as `NVIDIA A100-SXM4-80GB`. A part of
    one, and a smaller one that is sold under the same name, is none of them."""
    import re

    words = set(re.split(r"[ -]+", re.sub(r"RTX (?=\d)", "RTX", name.upper())))
    words |= {before + after for before, after in itertools.pairwise(re.split(r"[ -]+", name.upper()))}
    if words & _NOT_WHOLE:
        return None
    fitting = [item for item in NAMED.values() if set(item.name.split("-")) <= words]
    return max(fitting, key=lambda item: item.name.count("-"), default=None)
