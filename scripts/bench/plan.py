"""What plan and apply cost by themselves: projects of 100, 1,000 and 10,000 resources without work behind them.

Every figure is CPU seconds, beside `python -c pass` in the same run. Run it with: .venv/bin/python scripts/bench/plan.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from measure import Run, median, once

MLCTL = str(Path(sys.executable).with_name("mlctl"))
SIZES = (100, 1_000, 10_000)
# What the design allows: CPU seconds by what is measured.
BUDGETS = {"plan 1,000": 0.35, "plan 10,000": 3.0, "apply 1,000": 2.0}
RATIOS = {"--version": 3.0, "--help": 10.0}


def project(folder: Path, size: int) -> None:
    """A project of entities, which exist in the state alone, so that nothing but mlctl is measured."""
    lines = [
        f"  e{number:05d}: {{key: k{number}, dtype: int64, description: number {number}}}" for number in range(size)
    ]
    (folder / "mlctl.yaml").write_text("project: bench\nentities:\n" + "\n".join(lines) + "\n")


def main() -> int:
    """Measure, print, and give 1 when a budget is broken."""
    floor = median([sys.executable, "-c", "pass"], runs=11)
    rows: list[tuple[str, Run]] = [("python -c pass", floor)]
    rows += [(f"mlctl {flag}", median([MLCTL, flag], runs=7)) for flag in RATIOS]
    for size in SIZES:
        with tempfile.TemporaryDirectory(dir=os.environ.get("MLCTL_BENCH_DIR")) as name:
            folder = Path(name)
            project(folder, size)
            rows.append((f"plan, all new, {size:,}", median([MLCTL, "plan"], folder, runs=3)))
            rows.append((f"apply {size:,}", once([MLCTL, "apply", "--auto-approve"], folder)))
            rows.append((f"plan {size:,}", median([MLCTL, "plan", "--detailed-exitcode"], folder, runs=5)))
            rows.append((f"status {size:,}", median([MLCTL, "status"], folder, runs=3)))
    broken = 0
    print(f"{'':28}{'CPU s':>9}{'ratio':>9}{'wall s':>9}{'peak MB':>9}")
    for label, run in rows:
        name = label.removeprefix("mlctl ")
        over = run.cpu > BUDGETS.get(name, run.cpu) or run.cpu > RATIOS.get(name, 1e9) * floor.cpu
        broken += over
        mark = "  over budget" if over else ""
        print(f"{label:28}{run.cpu:9.3f}{run.cpu / floor.cpu:8.1f}x{run.wall:9.2f}{run.peak_bytes / 1e6:9.0f}{mark}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
