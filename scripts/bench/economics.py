"""What it costs to price a project: 100 trainings and 100 deployments, over the start of the interpreter.

A process of its own builds every line anew (ten models, eight kinds of GPU, trainings by six strategies and language models behind
vLLM), estimates its memory, time and money, and adds up the total. Prints what that takes over `python -c pass`, what of it is the
import of the estimators, and what it adds to a command that has loaded its floors; ends with 1 when the bar is broken, when torch,
pandas or the network was touched, or when a line has no price. Compare CPU seconds.

Run it with: .venv/bin/python scripts/bench/economics.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from measure import median

BAR = 0.050  # CPU seconds over `python -c pass`
RUNS = 21
HEAVY = ("torch", "pandas", "numpy", "mlflow", "feast", "pydantic", "socket", "ssl", "http")

COMMAND = "import mlctl.workspace"  # what plan and cost have loaded before they price anything
IMPORTS = """
from dataclasses import replace
from mlctl.estimate import decode, fit, memory, money, serving
from mlctl.estimate import time as duration
from mlctl.estimate.devices import NAMED
from mlctl.estimate.known_models import config_named
from mlctl.estimate.kv import keys_of
from mlctl.estimate.prices import Prices
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import from_config
from mlctl.types.estimate import NOTHING, Range
"""
LINES = """
import json, sys
MODELS = ("SmolLM2-135M", "SmolLM2-1.7B", "Llama-3.2-1B", "Llama-3.2-3B", "Llama-3.1-8B", "Qwen2.5-0.5B", "Qwen2.5-7B", "Qwen2.5-14B",
          "Mistral-7B-v0.1", "Llama-3.1-70B")
GPUS = ("A10G", "L4", "L40S", "A100", "A100-80GB", "H100", "H200", "B200")
WAYS = (("single", 1), ("ddp", 8), ("zero2", 8), ("zero3", 8), ("fsdp", 8), ("fsdp", 16))
prices, once, monthly, lines, fits = Prices(), NOTHING, NOTHING, 0, 0
for number in range(100):
    config = config_named(MODELS[number % 10])
    shape, device = from_config(config), NAMED[GPUS[number % 8]]
    rate = prices.price(device.name, "on_demand")
    strategy, processes = WAYS[number % 6]
    setup = Setup(shape, replace(device, count=processes), 8 * processes, micro=1, length=2048, engine="hf", strategy=strategy,
                  data=processes, precision="bf16", checkpointing=number % 2 == 0)
    peak = memory.peak(setup)
    seconds = duration.seconds(setup, duration.Work(Range.exactly(5e7 + number), 1000)) + duration.start(setup)
    once = once + money.cost(seconds, money.hourly(processes, rate))
    service = serving.Service(shape, keys_of(shape, config), replace(device, count=1), 4096)
    verdict = serving.starts(service)
    traffic = decode.Traffic(prompt=512, answer=256, requests=8)
    decode.tpot(service, traffic), serving.concurrency(service)
    monthly = monthly + money.hourly(1, rate) * 730
    fits += fit.verdict(peak, device.memory) is fit.Fit.FITS
    lines += 2
print(json.dumps({"lines": lines, "usd": once.mid, "monthly": monthly.mid, "fits": fits, "modules": sorted(sys.modules)}))
"""


def main() -> int:
    """Measure, print, and give 1 when a bar is broken."""
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    told = subprocess.run([sys.executable, "-c", IMPORTS + LINES], capture_output=True, text=True, check=True).stdout
    found = json.loads(told)
    heavy = [name for name in HEAVY if name in found["modules"]]
    print(
        f"{found['lines']} lines: ${found['usd']:,.0f} to make, ${found['monthly']:,.0f} a month, {found['fits']} trainings fit"
    )
    floor = median([sys.executable, "-c", "pass"], runs=RUNS)
    imports = median([sys.executable, "-c", IMPORTS], runs=RUNS)
    whole = median([sys.executable, "-c", IMPORTS + LINES], runs=RUNS)
    command = median([sys.executable, "-c", COMMAND], runs=RUNS)
    inside = median([sys.executable, "-c", COMMAND + IMPORTS + LINES], runs=RUNS)
    over = whole.cpu - floor.cpu
    print(f"\n| what | CPU ms | over `pass` |\n|---|---|---|\n| `python -c pass` | {floor.cpu * 1e3:.0f} | |")
    print(f"| the estimators imported | {imports.cpu * 1e3:.0f} | {(imports.cpu - floor.cpu) * 1e3:.0f} |")
    print(f"| 200 lines priced | {whole.cpu * 1e3:.0f} | {over * 1e3:.0f} (bar {BAR * 1e3:.0f}) |")
    print(f"| a command of mlctl that has opened its project's floor | {command.cpu * 1e3:.0f} | |")
    print(
        f"| 200 lines priced inside of it | {inside.cpu * 1e3:.0f} | {(inside.cpu - command.cpu) * 1e3:.0f} over that command |"
    )
    for name in heavy:
        print(f"imported: {name}")
    return 1 if heavy or over > BAR or found["lines"] != 200 else 0


if __name__ == "__main__":
    sys.exit(main())
