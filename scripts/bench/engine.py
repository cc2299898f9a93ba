"""What the engine costs by itself, beside its peers: one graph without work, as a project of mlctl, Terraform and DVC.

Prints a table in Markdown, the ratios to the budgets and to the peers, and what a resource more costs; ends with 1 when a
budget is broken or the cost does not grow in a straight line. Compare CPU seconds: they hardly depend on who else is at
work. Terraform and DVC go into venvs of their own below $MLCTL_BENCH_DIR or ~/.cache/mlctl-bench.

Run it with: .venv/bin/python scripts/bench/engine.py [--full] [--no-peers]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import peers
from graphs import SHAPES
from measure import Run, median, once
from peers import MLCTL, Tool

SIZES = (100, 1_000, 10_000)
# What the design allows, by shape, what is measured, and size: CPU seconds; and resident bytes at the largest size.
BUDGETS = {
    ("layered", "plan, no changes", 1_000): 0.35,
    ("layered", "plan, no changes", 10_000): 3.0,
    ("layered", "status", 1_000): 0.3,
    ("layered", "apply", 1_000): 2.0,
}
PEAK_BUDGET = 250e6
START_BUDGETS = {"--version": 3.0, "--help": 10.0}  # CPU over that of `python -c pass`
# The cost of one resource more between 1,000 and 10,000, over that between 100 and 1,000. A straight line has 1, noise and
# logarithms make it 1.5 at most, a square has 10.
CURVE_BUDGET = 2.0

Key = tuple[str, str, str, int]  # tool, shape, what is measured, size


def main() -> int:
    """Measure, print, and give 1 when a budget is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the peers at 10,000 too, flat: ten minutes more")
    parser.add_argument("--no-peers", action="store_true", help="mlctl alone")
    options = parser.parse_args()
    peers.CACHE.mkdir(parents=True, exist_ok=True)
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
    broken = start()
    print(f"| {'tool':9} | {'graph':14} | {'what':16} | CPU s | wall s | peak MB | others took |")
    print("|---|---|---|---|---|---|---|")
    found: dict[Key, Run] = {}
    for tool in [MLCTL, *([] if options.no_peers else found_peers())]:
        for key, run in measure(tool, full=options.full):
            found[key] = run
            graph = f"{key[1]} {key[3]:,}"
            cells = f"{run.cpu:5.2f} | {run.wall:6.2f} | {run.peak_bytes / 1e6:7.0f} | {run.others:11.2f}"
            print(f"| {key[0]:9} | {graph:14} | {key[2]:16} | {cells} |", flush=True)
    broken += budgets(found) + curves(found)
    versus(found)
    return 1 if broken else 0


def start() -> int:
    """The start of the process against that of Python: how many budgets are broken."""
    floor = median([sys.executable, "-c", "pass"], runs=15)
    print(f"`python -c pass`: {floor.cpu:.3f} CPU s, {floor.peak_bytes / 1e6:.0f} MB")
    broken = 0
    for flag, bar in START_BUDGETS.items():
        run = median([*MLCTL.command, flag], runs=15)
        broken += run.cpu > bar * floor.cpu
        print(f"`mlctl {flag}`: {run.cpu:.3f} CPU s, {run.cpu / floor.cpu:.1f} × (bar {bar:.0f} ×)")
    print(flush=True)
    return broken


def found_peers() -> Iterator[Tool]:
    """The peers that can be had; the others are named with the reason."""
    for name, make in (("terraform", peers.terraform), ("dvc", peers.dvc)):
        tool = make()
        if isinstance(tool, str):
            print(f"{name} is left out, it cannot be installed: {tool}", file=sys.stderr)
        else:
            yield tool


def measure(tool: Tool, *, full: bool) -> Iterator[tuple[Key, Run]]:
    """Every figure of one tool."""
    for shape, make in SHAPES.items():
        for size in SIZES:
            if tool is not MLCTL and size == SIZES[-1] and (not full or shape == "layered"):
                continue
            with tempfile.TemporaryDirectory(dir=os.environ.get("MLCTL_BENCH_DIR")) as name:
                folder, graph = Path(name), make(size)
                peers.project(tool, graph, folder)
                for what, ask in tool.asks.items():
                    command = [*tool.command, *ask.arguments]
                    if what == "apply":
                        if long(tool, size):
                            assert tool.made is not None
                            tool.made(graph, folder)
                            continue
                        run = once(command, folder, env=tool.env, shows=ask.shows)
                    else:
                        run = median(command, folder, runs=repeats(tool, size), env=tool.env, shows=ask.shows)
                    yield (tool.name, shape, what, size), run


def long(tool: Tool, size: int) -> bool:
    """Whether an apply would take minutes or more: its result is then put there instead of measured."""
    return size > {"terraform": 1_000, "dvc": 100}.get(tool.name, size)


def repeats(tool: Tool, size: int) -> int:
    """How often a command is run: fewer times where one run takes long."""
    if tool is MLCTL:
        return 7 if size <= 1_000 else 5
    return {100: 5, 1_000: 3}.get(size, 1)


def budgets(found: dict[Key, Run]) -> int:
    """Print each budget with what it came to: how many are broken."""
    print("\nBudgets")
    broken = 0
    for (shape, what, size), bar in BUDGETS.items():
        cpu = found[MLCTL.name, shape, what, size].cpu
        broken += cpu > bar
        print(f"- {what}, {size:,} {shape}: {cpu:.2f} CPU s, {cpu / bar:.2f} of {bar} s")
    peak = max(run.peak_bytes for (name, _, _, size), run in found.items() if (name, size) == (MLCTL.name, SIZES[-1]))
    print(f"- peak of any command at {SIZES[-1]:,}: {peak / 1e6:.0f} MB of {PEAK_BUDGET / 1e6:.0f} MB")
    return broken + (peak > PEAK_BUDGET)


def curves(found: dict[Key, Run]) -> int:
    """Print what a resource more costs, and whether that stays the same: how many curves are not straight."""
    print("\nCPU of one resource more (microseconds)")
    broken = 0
    small, middle, large = SIZES
    for shape in SHAPES:
        for what in MLCTL.asks:
            first, second, third = (found[MLCTL.name, shape, what, size].cpu for size in SIZES)
            low, high = (second - first) / (middle - small) * 1e6, (third - second) / (large - middle) * 1e6
            ratio = high / low
            broken += ratio > CURVE_BUDGET
            spans = f"{low:.0f} from {small:,} to {middle:,}, {high:.0f} from {middle:,} to {large:,}"
            print(f"- {what}, {shape}: {spans}: {ratio:.2f} × (1 is a straight line, bar {CURVE_BUDGET} ×)")
    return broken


def versus(found: dict[Key, Run]) -> None:
    """Print how many times mlctl's CPU and memory a peer takes for the same."""
    lines = [
        f"- {name}, {what}, {size:,} {shape}: {run.cpu / own.cpu:.1f} ×, {run.peak_bytes / own.peak_bytes:.1f} ×"
        for (name, shape, what, size), run in found.items()
        if name != MLCTL.name and (own := found[MLCTL.name, shape, what, size])
    ]
    if lines:
        print("\nPeers over mlctl (CPU, then peak memory)", *lines, sep="\n")


if __name__ == "__main__":
    sys.exit(main())
