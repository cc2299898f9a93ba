"""What this machine gives its processes: cores and memory, as far as a container or a batch system leaves them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache

# Where the system tells of groups of processes, and how many cores Slurm has allotted to a job on this machine.
_GROUPS, _OWN_GROUP, SLURM_VARIABLE = "/sys/fs/cgroup", "/proc/self/cgroup", "SLURM_CPUS_ON_NODE"


def seen_cores() -> int:
    """Cores that this process may run on; libraries start as many threads if nobody tells them otherwise."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except (AttributeError, OSError):  # not on every system
        return os.cpu_count() or 1


def usable_cores() -> int:
    """Cores whose time is this process's own: a container may see all of its machine's, and get the time of a few; so may a job of
    Slurm where nothing binds it."""
    limits = [float(seen_cores())]
    for folder in _folders():
        limits += _quota(folder)
    allotted = os.environ.get(SLURM_VARIABLE, "")
    if allotted.isdecimal():
        limits.append(float(allotted))
    return max(1, int(min(limits)))


def memory() -> float:
    """Bytes that the processes of this machine, or of this container, may have at most."""
    import psutil

    limits = [float(psutil.virtual_memory().total)]
    for folder in _folders():
        for name in ("memory.max", "memory/memory.limit_in_bytes"):
            limits += _numbers(f"{folder}/{name}")[:1]
    return min(limits)


@cache
def has_fast_half() -> bool:
    """Whether the processor multiplies 16-bit numbers by itself."""
    try:
        with open("/proc/cpuinfo") as file:
            flags = next(line for line in file if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return False
    return any(name in flags.split() for name in ("avx512_bf16", "amx_bf16", "bf16", "avx_ne_convert"))


def _folders() -> Iterator[str]:
    """The group of this process and all above it: each may take something away."""
    yield _GROUPS
    try:
        with open(_OWN_GROUP) as file:
            own = next(line.strip() for line in file if line.startswith("0::/"))
    except (OSError, StopIteration):  # not on every system
        return
    place = _GROUPS
    for name in own.removeprefix("0::/").split("/"):
        if name:
            place = f"{place}/{name}"
            yield place


def _quota(folder: str) -> list[float]:
    """Cores by the share of time that a group gets in each period; none without a limit."""
    found = _numbers(f"{folder}/cpu.max")
    if len(found) < 2:
        found = _numbers(f"{folder}/cpu/cpu.cfs_quota_us") + _numbers(f"{folder}/cpu/cpu.cfs_period_us")
    return [found[0] / found[1]] if len(found) == 2 and min(found) > 0 else []


def _numbers(path: str) -> list[float]:
    """The numbers of a file; none of one that is not there, or says `max`."""
    try:
        with open(path) as file:
            return [float(text) for text in file.read().split()]
    except (OSError, ValueError):
        return []
