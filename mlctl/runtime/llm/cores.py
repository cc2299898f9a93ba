"""Processor cores for engines: each server of this user is allotted its own, as long as there are enough."""

from __future__ import annotations

import os
from pathlib import Path

from mlctl.files.lock import FileLock
from mlctl.types.environments import environments_home


class Cores:
    """Cores that this process holds by locks, which the system lets go of when it ends, however it ends."""

    def __init__(self, wanted: int, folder: Path | None = None) -> None:
        """Take `wanted` cores, or with 0 half of all: so a second version can run beside the first. Shared ones when too few are free."""
        folder = folder or environments_home().parent / "cores"
        folder.mkdir(parents=True, exist_ok=True)
        every = _all()
        wanted = min(wanted or max(1, len(every) // 2), len(every))
        self._locks: list[FileLock] = []
        mine: list[int] = []
        for core in every:
            if len(mine) == wanted:
                break
            lock = FileLock(folder / f"{core}.lock")
            if lock.acquire():
                self._locks.append(lock)
                mine.append(core)
        self.shared = wanted - len(mine)  # how many others use as well
        mine += [core for core in reversed(every) if core not in mine][: self.shared]
        self.numbers = sorted(mine)

    def __str__(self) -> str:
        return ",".join(map(str, self.numbers))


def _all() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
