"""The whole quickstart: `mlctl apply` on a fresh copy of specs/quickstart, against the same work by hand (by_hand.py).

The two take turns, and who goes first changes with every pair, so that neither has the warmer machine. Clocks stop when
the model answers. CPU seconds are of the whole tree of processes, the model server up to its end included: this process
makes itself their reaper (Linux), so that even those that outlive their command are accounted for by the kernel.

Run it with: .venv/bin/python scripts/bench/quickstart.py [PAIRS]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from measure import TICKS, machine_busy, median

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE.parents[1] / "specs" / "quickstart"
MLCTL = str(Path(sys.executable).with_name("mlctl"))
BAR = 1.1  # wall seconds of mlctl over wall seconds by hand
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Turn:
    """One run from nothing to an answering server: seconds on the clock, seconds of CPU, seconds by stage."""

    wall: float
    cpu: float
    stages: Mapping[str, float]
    others: float  # cores that everything else on the machine took meanwhile, on average


def main() -> int:
    """Measure, print, and give 1 when the bar is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=int, nargs="?", default=2)
    pairs: int = parser.parse_args().pairs
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit("this needs Linux: it cannot become the reaper of processes that outlive their parent")
    turns: dict[str, list[Turn]] = {"mlctl": [], "by hand": []}
    ratios = []
    for pair in range(pairs):
        for who in list(turns)[:: 1 if pair % 2 else -1]:
            turn = mlctl_turn(last=pair == pairs - 1) if who == "mlctl" else by_hand_turn()
            turns[who].append(turn)
            took = f"wall {turn.wall:7.2f} s  CPU {turn.cpu:7.2f} s"
            print(f"pair {pair + 1}  {who:8} {took}  others took {turn.others:.2f} cores", flush=True)
        ratios.append(turns["mlctl"][-1].wall / turns["by hand"][-1].wall)
    wall = {who: statistics.median(turn.wall for turn in of) for who, of in turns.items()}
    cpu = {who: statistics.median(turn.cpu for turn in of) for who, of in turns.items()}
    ratio = wall["mlctl"] / wall["by hand"]
    print(f"\n{'':14}{'mlctl':>10}{'by hand':>10}{'ratio':>8}")
    for name, found in (("wall s", wall), ("CPU s", cpu)):
        print(f"{name:14}{found['mlctl']:10.2f}{found['by hand']:10.2f}{found['mlctl'] / found['by hand']:8.2f}")
    print(f"wall ratio by pair: {', '.join(f'{item:.2f}' for item in ratios)}; the bar is {BAR}")
    for who, of in turns.items():
        print(f"\nseconds by stage, {who} (medians; stages of mlctl run side by side where they can)")
        for stage in of[0].stages:
            print(f"  {stage:30}{statistics.median(turn.stages[stage] for turn in of):8.2f}")
    return 1 if ratio > BAR else 0


def mlctl_turn(*, last: bool) -> Turn:
    """`mlctl apply` on a copy of the quickstart; at the last turn, also a plan that has nothing to do."""
    with tempfile.TemporaryDirectory(prefix="quickstart-", dir=os.environ.get("MLCTL_BENCH_DIR")) as name:
        folder = Path(name)
        shutil.copytree(QUICKSTART / "data", folder / "data")
        spec = (QUICKSTART / "mlctl.yaml").read_text()
        (folder / "mlctl.yaml").write_text(spec.replace("port: 8080", f"port: {free_port()}"))
        lines, turn = follow([MLCTL, "apply", "--auto-approve", "--json"], folder, until=None)
        if last:
            idle = median([MLCTL, "plan", "--detailed-exitcode"], folder)
            figures = f"wall {idle.wall:.3f} s, CPU {idle.cpu:.3f} s, peak {idle.peak_bytes / 1e6:.0f} MB"
            print(f"plan without changes: {figures}", flush=True)
        server = reap()
    events = [json.loads(line) for line in lines]
    stages = {event["address"]: event["seconds"] for event in events if event["type"] == "apply_complete"}
    return replace(turn, cpu=turn.cpu + server, stages=stages)


def by_hand_turn() -> Turn:
    """The script, which says how long each stage took and when the server answers, and then stops it."""
    command = [sys.executable, str(HERE / "by_hand.py"), str(QUICKSTART / "data"), str(free_port())]
    lines, turn = follow(command, HERE, until="ready")
    stages = {line.split()[1]: float(line.split()[2]) for line in lines if line.startswith("stage ")}
    return replace(turn, cpu=turn.cpu + reap(), stages=stages)


def follow(command: Sequence[str], cwd: Path, until: str | None) -> tuple[list[str], Turn]:
    """Run a command: the lines it prints, and a turn that is timed up to a line, or to its end, without stages yet."""
    with tempfile.TemporaryFile() as noise:
        busy, started = machine_busy(), time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=noise, text=True)
        assert process.stdout is not None
        lines, wall = [], None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if until is not None and line.startswith(until):
                wall = time.perf_counter() - started
        _, status, usage = os.wait4(process.pid, 0)
        whole = time.perf_counter() - started
        others = machine_busy() - busy - usage.ru_utime - usage.ru_stime - sum(map(cpu_of, children()))
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            reap()
            noise.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{noise.read().decode()[-4000:]}")
    return lines, Turn(wall or whole, usage.ru_utime + usage.ru_stime, {}, max(others, 0.0) / whole)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process that still runs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def children() -> list[int]:
    """The processes whose parent this is, those whose own has ended among them."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def reap() -> float:
    """Stop what the command left running, its server, and give the CPU seconds of it."""
    for child in children():
        os.kill(child, signal.SIGTERM)
    total = 0.0
    while True:
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return total
        total += usage.ru_utime + usage.ru_stime


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
