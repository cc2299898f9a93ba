"""Run a command to its end and read what the operating system accounted for it."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One finished run: seconds on the clock, seconds of CPU (children included), peak resident bytes."""

    wall: float
    cpu: float
    peak_bytes: int


def once(arguments: Sequence[str], cwd: Path | None = None, *, ok: Sequence[int] = (0,)) -> Run:
    """Run a command once. Raises SystemExit with its output when it fails."""
    started = time.perf_counter()
    with subprocess.Popen(arguments, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in ok:
        raise SystemExit(
            f"{' '.join(arguments)} ended with {process.returncode}:\n{output.decode(errors='replace')[-4000:]}"
        )
    return Run(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def median(arguments: Sequence[str], cwd: Path | None = None, *, runs: int = 5, ok: Sequence[int] = (0,)) -> Run:
    """The medians of several runs, after one that is not counted."""
    once(arguments, cwd, ok=ok)
    found = [once(arguments, cwd, ok=ok) for _ in range(runs)]
    return Run(
        statistics.median(run.wall for run in found),
        statistics.median(run.cpu for run in found),
        int(statistics.median(run.peak_bytes for run in found)),
    )
