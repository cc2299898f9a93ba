"""The training loop beside one that is written by hand: rows a second under DDP, and what the worker's start costs.

    .venv/bin/python scripts/bench/training_loop.py [--folder DIR] [--rows 200000] [--epochs 3] [--pairs 5]

Both sides learn the same rows with the same model, optimizer, batch size and number of processes, under torchrun with the same
environment, in turns; a pair is one run of each. Rows a second are those of the epochs alone, start-up is a whole run of
one process over a tiny table, from its start to its exit. Ends with 1 when a bar is broken: 0.97 of the rows a second, 1.5 s.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import Run, once

COLUMNS = 12
HIDDEN = [128, 128]
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    "GLOO_SOCKET_IFNAME": "lo",
}
LEAST_SPEED, MOST_SECONDS = 0.97, 1.5


def prepare(folder: Path, rows: int, epochs: int, processes: int, batch_size: int) -> None:
    """The table and the plan of the ranks; the loop by hand reads the same files."""
    import numpy as np

    from mlctl.runtime.trainer.plan import FEATURES_FILE, PLAN_FILE, TARGET_FILE

    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, COLUMNS)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(np.float32)
    np.save(folder / FEATURES_FILE, x)
    np.save(folder / TARGET_FILE, y)
    train = rows * 9 // 10
    columns = [f"c{index}" for index in range(COLUMNS)]
    model = {"type": "mlp", "hidden": HIDDEN, "dropout": 0.0}
    layout = {"strategy": "ddp" if processes > 1 else "single", "data": processes}
    recipe = {
        "model": model, "layout": layout, "precision": "fp32", "epochs": epochs, "batch_size": batch_size, "seed": 0,
        "optimizer": {"type": "adamw", "lr": 1e-3}, "checkpoint": {"every": f"{epochs} epochs", "keep": 1},
    }  # fmt: skip
    table = {
        "type": "table", "folder": str(folder), "columns": columns, "task": "binary", "train": train, "validation": rows - train,
        "mean": [0.0] * COLUMNS, "std": [1.0] * COLUMNS, "offset": 0.0, "scale": 1.0,
    }  # fmt: skip
    plan = {"data": table, "model": {"columns": columns, "task": "binary", **model}, "recipe": recipe}
    (folder / PLAN_FILE).write_text(json.dumps(plan))


def by_hand(folder: Path) -> None:
    """What one would write: the loop of the tutorials, with a sampler's order, a loss that is summed up, and a last checkpoint."""
    import numpy as np
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits
    from torch.nn.parallel import DistributedDataParallel

    plan = json.loads((folder / "ranks.json").read_text())
    data, recipe = plan["data"], plan["recipe"]
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        dist.init_process_group("gloo")
    torch.manual_seed(recipe["seed"])
    x, y = (torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in ("features", "target"))
    layers: list[nn.Module] = []
    width = COLUMNS
    for size in recipe["model"]["hidden"]:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    net: Any = nn.Sequential(*layers, nn.Linear(width, 1))
    mean, std = torch.zeros(COLUMNS), torch.ones(COLUMNS)
    network = DistributedDataParallel(net) if world > 1 else net
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe["optimizer"]["lr"], weight_decay=0.0)
    train, batch, seconds = data["train"], recipe["batch_size"], 0.0
    for epoch in range(recipe["epochs"]):
        began, total = time.perf_counter(), 0.0
        order = torch.randperm(train, generator=torch.Generator().manual_seed(epoch))
        network.train()
        for start in range(0, train - 2 * world + 1, batch):
            rows = order[start : start + batch][rank::world]
            standard = torch.nan_to_num((x[rows] - mean) / std, nan=0.0)  # as our model does it for itself
            loss = binary_cross_entropy_with_logits(network(standard).squeeze(-1), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        seconds += time.perf_counter() - began
        network.eval()
        with torch.inference_mode():
            binary_cross_entropy_with_logits(net(x[train + rank :: world]).squeeze(-1), y[train + rank :: world])
    if rank == 0:
        torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.pt")
        (folder / "by-hand.json").write_text(json.dumps(train * recipe["epochs"] / seconds))
    if world > 1:
        dist.destroy_process_group()


def speed_of(folder: Path, ours: bool) -> float:
    """Rows a second over all epochs of the run that was last."""
    if not ours:
        return float(json.loads((folder / "by-hand.json").read_text()))
    history = json.loads((folder / "ranks-ended.json").read_text())["history"]
    rows = sum(line["rows_per_second"] * line["seconds"] for line in history)
    return float(rows / sum(line["seconds"] for line in history))


def run(folder: Path, processes: int, ours: bool) -> Run:
    """One run of a side, from nothing."""
    for name in ("checkpoints", "weights", "best", "errors"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("ranks.jsonl", "curve.bin", "ranks-ended.json"):
        (folder / name).unlink(missing_ok=True)
    script = ["-m", "mlctl.runtime.trainer.worker", str(folder)] if ours else [__file__, "--by-hand", str(folder)]
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    )
    return once([sys.executable, *launcher, *script], env=ENVIRONMENT)


def compare_speed(folder: Path, pairs: int) -> bool:
    """Print rows a second of both sides; gives whether the bar is broken."""
    found: dict[bool, list[float]] = {True: [], False: []}
    others = []
    for pair in range(pairs + 1):  # the first one is not counted
        for ours in (pair % 2 == 0, pair % 2 == 1):
            others.append(run(folder, 2, ours).others)
            if pair:
                found[ours].append(speed_of(folder, ours))
    ratios = sorted(mine / theirs for mine, theirs in zip(found[True], found[False], strict=True))
    ratio = statistics.median(ratios)
    print("rows a second, DDP on 2 processes, medians")
    print(f"  ours     {statistics.median(found[True]):12,.0f}")
    print(f"  by hand  {statistics.median(found[False]):12,.0f}")
    print(
        f"  ours / by hand: {ratio:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})  (others {statistics.mean(others):.2f})"
    )
    return ratio < LEAST_SPEED


def compare_start(folder: Path, pairs: int) -> bool:
    """Print what a whole run over a tiny table takes; gives whether the bar is broken."""
    found: dict[bool, list[Run]] = {True: [], False: []}
    for pair in range(pairs + 1):
        for ours in (pair % 2 == 0, pair % 2 == 1):
            done = run(folder, 1, ours)
            if pair:
                found[ours].append(done)
    print("a run of one process over a tiny table, medians")
    for ours, name in ((True, "ours"), (False, "by hand")):
        wall, cpu = (
            statistics.median(item.wall for item in found[ours]),
            statistics.median(item.cpu for item in found[ours]),
        )
        print(f"  {name:8} {wall:6.2f} s  {cpu:6.2f} CPU s")
    over = statistics.median(mine.wall - theirs.wall for mine, theirs in zip(found[True], found[False], strict=True))
    busy = statistics.median(mine.cpu - theirs.cpu for mine, theirs in zip(found[True], found[False], strict=True))
    others = statistics.mean(item.others for items in found.values() for item in items)
    print(f"  ours - by hand: {over:.2f} s, {busy:.2f} CPU s  (others {others:.2f})")
    return over > MOST_SECONDS


def main() -> None:
    """Run all of it, or one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--by-hand", type=Path)
    asked = parser.parse_args()
    if asked.by_hand:
        by_hand(asked.by_hand)
        return
    with tempfile.TemporaryDirectory(prefix="training-loop-", dir=asked.folder) as name:
        large, small = Path(name) / "large", Path(name) / "small"
        prepare(large, asked.rows, asked.epochs, 2, asked.batch_size)
        prepare(small, 400, 2, 1, 64)
        slow, late = compare_speed(large, asked.pairs), compare_start(small, asked.pairs)
    for text, broken in ((f"{LEAST_SPEED} x by hand", slow), (f"{MOST_SECONDS} s of start-up", late)):
        if broken:
            print(f"broken: {text}")
    sys.exit(1 if slow or late else 0)


if __name__ == "__main__":
    main()
