"""Run a command to its end and read what the operating system accounted for it, and how busy others kept the machine."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """One finished run: seconds on the clock, seconds of CPU (children included), peak resident bytes."""

    wall: float
    cpu: float
    peak_bytes: int
    others: float = 0.0  # cores that everything else on the machine took meanwhile, on average


def once(
    arguments: Sequence[str],
    cwd: Path | None = None,
    *,
    ok: Sequence[int] = (0,),
    env: Mapping[str, str] | None = None,
    shows: str = "",
) -> Run:
    """Run a command once. Raises SystemExit with its output when it fails, or when the output lacks what it should show."""
    busy, started = machine_busy(), time.perf_counter()
    # an installed package has its byte code, whatever the caller's shell says of writing it
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(env or {})}
    with subprocess.Popen(
        arguments, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall, cpu = time.perf_counter() - started, usage.ru_utime + usage.ru_stime
    if process.returncode not in ok:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}:\n{output[-4000:]}")
    if shows not in output:
        raise SystemExit(f"{' '.join(arguments)} did not say `{shows}`:\n{output[-4000:]}")
    return Run(wall, cpu, usage.ru_maxrss * 1024, max(machine_busy() - busy - cpu, 0.0) / wall)


def median(
    arguments: Sequence[str],
    cwd: Path | None = None,
    *,
    runs: int = 5,
    ok: Sequence[int] = (0,),
    env: Mapping[str, str] | None = None,
    shows: str = "",
) -> Run:
    """The medians of several runs, after one that is not counted."""
    once(arguments, cwd, ok=ok, env=env, shows=shows)
    found = [once(arguments, cwd, ok=ok, env=env, shows=shows) for _ in range(runs)]
    return Run(
        statistics.median(run.wall for run in found),
        statistics.median(run.cpu for run in found),
        int(statistics.median(run.peak_bytes for run in found)),
        statistics.median(run.others for run in found),
    )


def machine_busy() -> float:
    """CPU seconds that all cores have spent on anything since the machine came up."""
    user, nice, system, _idle, _waiting, *rest = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(rest)) / TICKS
