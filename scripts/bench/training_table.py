"""Every way to spread a training beside one process: the loss after some steps, what a rank holds, its memory, and its resumption.

    .venv/bin/python scripts/bench/training_table.py [--folder DIR] [--only tensor,zero3] [--width 128] [--layers 4] [--tokens 2048]

One small language model with random weights learns the same rows with the same seed by every strategy and method of both engines.
Each is trained in one go, and again in two: cut off half way, and gone on with from its checkpoint. `loss` is that of the last
step, `off` its largest relative distance from one process (of the same engine and method) over all steps; `resumed` says whether
the run in two parts took the very same steps. Prints a Markdown table. Ends with 1 when a row is further off than 1e-4 (1e-2 with
quantized weights), or resumed to other losses.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from mlctl.runtime.trainer.plan import ENDED_FILE
from mlctl.runtime.trainer.progress import read_curve
from tests.integration.training import language

ROWS, VALIDATION, BATCH, EPOCHS = 64, 8, 16, 2
STEPS = ROWS // BATCH * EPOCHS
LORA = {"type": "lora", "r": 4, "alpha": 8.0, "dropout": 0.0, "target": "all-linear"}
QLORA = {**LORA, "type": "qlora", "quantization": "nf4"}
GALORE = {"type": "galore", "rank": 8, "update_every": 4, "scale": 1.0, "target": ["attn", "mlp"]}


@dataclass(frozen=True)
class Row:
    """One training: an engine, a strategy with its sizes, and a method."""

    engine: str
    strategy: str
    sizes: dict[str, int] = field(default_factory=dict)
    method: dict[str, Any] = field(default_factory=lambda: {"type": "full"})
    allowed: float = 1e-4  # relative distance from one process

    @property
    def processes(self) -> int:
        """All ranks together."""
        return int(np.prod([self.sizes.get(name, 1) for name in ("data", "tensor", "pipeline")]))

    @property
    def name(self) -> str:
        """What the row is called, which is also its folder."""
        sizes = "x".join(str(self.sizes.get(name, 1)) for name in ("data", "tensor", "pipeline"))
        return f"{self.engine}-{self.strategy}-{sizes}-{self.method['type']}"


TORCH = [
    Row("torch", "single"),
    Row("torch", "ddp", {"data": 2}),
    Row("torch", "fsdp", {"data": 2}),
    Row("torch", "tensor", {"tensor": 2}),
    Row("torch", "pipeline", {"pipeline": 2, "microbatches": 4}),
    Row("torch", "3d", {"data": 2, "tensor": 2}),
    Row("torch", "3d", {"data": 2, "pipeline": 2, "microbatches": 2}),
    Row("torch", "3d", {"tensor": 2, "pipeline": 2, "microbatches": 4}),
    Row("torch", "3d", {"data": 2, "tensor": 2, "pipeline": 2, "microbatches": 2}),
]
HF = [
    Row("hf", strategy, {} if strategy == "single" else {"data": 2}, method, allowed)
    for method, allowed, strategies in (
        ({"type": "full"}, 1e-4, ("single", "ddp", "zero1", "zero2", "zero3")),
        (LORA, 1e-4, ("single", "ddp", "zero1", "zero2", "zero3")),
        ({**LORA, "type": "dora"}, 1e-4, ("single", "ddp")),
        (QLORA, 1e-2, ("single", "ddp", "zero2")),
        (GALORE, 1e-4, ("single",)),
    )
    for strategy in strategies
]


@dataclass(frozen=True)
class Trained:
    """What a training left behind."""

    losses: list[float]
    ended: dict[str, Any]


class Bench:
    """A folder with the model and the rows, and a folder for each training."""

    def __init__(self, root: Path, width: int, layers: int, tokens: int) -> None:
        self.root = root
        self.base = language.make_base(
            root / "base",
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            vocab_size=tokens,
        )
        documents = language.documents(3 * (ROWS + VALIDATION))
        language.write_rows(root / "rows", language.packed(documents, 3))

    def train(self, row: Row, name: str, steps: int | None = None) -> Trained:
        """Train, or go on with what is in this training's folder."""
        recipe: dict[str, Any] = {
            "engine": row.engine,
            "method": row.method,
            "batch_size": BATCH,
            "epochs": EPOCHS,
            "max_steps": steps,
            "optimizer": {"type": "adamw", "lr": 1e-3, "max_grad_norm": 1.0},
        }
        layout = {"strategy": row.strategy, **row.sizes}
        folder = language.make_plan(self.root / name, self.root / "rows", self.base, ROWS, VALIDATION, layout, **recipe)
        program = language.command(row.processes, "-m", "mlctl.runtime.trainer.worker", str(folder))
        with open(folder / "log", "ab") as log:
            code = subprocess.run(program, env=language.environment(), stdout=log, stderr=log, check=False).returncode
        if code:
            raise SystemExit(f"{name} ended with {code}:\n{(folder / 'log').read_text(errors='replace')[-4000:]}")
        return Trained(read_curve(folder)["loss"].tolist(), json.loads((folder / ENDED_FILE).read_bytes()))


def distance(found: Sequence[float], expected: Sequence[float]) -> float:
    """The largest relative difference of two curves; infinite when they are not of one length."""
    if len(found) != len(expected):
        return float("inf")
    return max(abs(one - other) / abs(other) for one, other in zip(found, expected, strict=True))


def measure(bench: Bench, row: Row, alone: list[float] | None) -> tuple[Trained, list[str], bool]:
    """One row of the table, and whether it is as it should be."""
    whole = bench.train(row, row.name)
    bench.train(row, f"{row.name}-cut", STEPS // 2)
    resumed = bench.train(row, f"{row.name}-cut")
    off = distance(whole.losses, alone or whole.losses)
    same = resumed.losses == whole.losses
    held = whole.ended["held"]
    cells = [
        row.engine,
        row.strategy,
        "x".join(str(row.sizes.get(name, 1)) for name in ("data", "tensor", "pipeline")),
        row.method["type"],
        f"{whole.losses[-1]:.6f}",
        f"{off:.1e}",
        f"{max(rank['parameters'] for rank in held):,}",
        f"{max(rank['optimizer'] for rank in held):,}",
        f"{max(rank['peak_rss_megabytes'] for rank in whole.ended['ranks']):,.0f}",
        "the same bits" if same else f"{distance(resumed.losses, whole.losses):.1e} off",
    ]
    return whole, cells, off <= row.allowed and distance(resumed.losses, whole.losses) <= row.allowed


def main() -> int:
    """Train every row, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="a new folder, in which everything is kept")
    parser.add_argument("--only", help="strategies, separated by commas; one process is always trained")
    parser.add_argument("--engine", choices=["torch", "hf"])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--most-processes", type=int, default=8)
    options = parser.parse_args()
    if options.folder is not None and options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"{options.folder} holds something; give a new folder")
    only = {"single", *options.only.split(",")} if options.only else None
    rows = [
        row
        for row in [*TORCH, *HF]
        if (only is None or row.strategy in only)
        and options.engine in (None, row.engine)
        and row.processes <= options.most_processes
    ]
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench((options.folder or Path(scratch)).resolve(), options.width, options.layers, options.tokens)
        print("| engine | strategy | data x tensor x pipeline | method | loss | off | parameters a rank | optimizer a rank | MB a rank | resumed |")  # fmt: skip
        print("|---|---|---|---|---:|---:|---:|---:|---:|---|")
        alone: dict[tuple[str, str], list[float]] = {}
        good = True
        for row in rows:
            group = row.engine, row.method["type"]
            whole, cells, is_good = measure(bench, row, alone.get(group))
            alone.setdefault(group, whole.losses)
            good = good and is_good
            print(f"| {' | '.join(cells)} |", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
