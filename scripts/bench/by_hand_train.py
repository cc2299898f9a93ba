"""The training of by_hand.py, one rank: started by torchrun with the folder that holds the arrays and the settings."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.parallel import DistributedDataParallel


class Net(nn.Module):
    """A multi-layer perceptron on standardised features; a missing one becomes the mean."""

    def __init__(self, features: int, hidden: list[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(features, width), nn.ReLU()]
            features = width
        self.network = nn.Sequential(*layers, nn.Linear(features, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.network(torch.nan_to_num((x - self.mean) / self.std)).float().squeeze(-1)


def save(work: Path, name: str, content: dict[str, Any]) -> None:
    """Write beside and swap in, so that a kill leaves the last whole checkpoint."""
    torch.save(content, work / f"{name}.tmp")
    os.replace(work / f"{name}.tmp", work / name)


def main(work: Path) -> None:
    """Train and leave the weights and the history."""
    settings = json.loads((work / "settings.json").read_text())
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(settings["seed"])
    x, y = (torch.from_numpy(np.load(work / f"{name}.npy", mmap_mode="c")) for name in ("x", "y"))
    first, size = settings["train"], settings["batch_size"]
    net = Net(x.shape[1], settings["hidden"])
    seen = np.asarray(x[:first], dtype=np.float64)
    net.mean.copy_(torch.from_numpy(np.nanmean(seen, axis=0)))
    net.std.copy_(torch.from_numpy(np.nanstd(seen, axis=0)))
    ddp = DistributedDataParallel(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings["lr"], weight_decay=settings["weight_decay"])
    history, step = [], 0
    for epoch in range(settings["epochs"]):
        began, total = time.perf_counter(), 0.0
        order = torch.randperm(first, generator=torch.Generator().manual_seed(settings["seed"] + epoch))
        net.train()
        for start in range(0, first - 2 * world + 1, size):
            rows = order[start : start + size][rank::world]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = ddp(x[rows])
            loss = binary_cross_entropy_with_logits(out, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
            step += 1
            if rank == 0 and step % settings["checkpoint_every"] == 0:
                save(
                    work,
                    f"step-{step}.pt",
                    {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "epoch": epoch},
                )
                (work / f"step-{step - settings['checkpoint_keep'] * settings['checkpoint_every']}.pt").unlink(
                    missing_ok=True
                )
        net.eval()
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            held = slice(first + rank, None, world)
            validation = binary_cross_entropy_with_logits(net(x[held]), y[held], reduction="sum")
        sums = torch.tensor([total, float(validation)], dtype=torch.float64)
        dist.all_reduce(sums)
        train_loss, val_loss = float(sums[0]) / first, float(sums[1]) / (len(x) - first)
        history.append(
            {"epoch": epoch + 1, "train_loss": train_loss, "val_loss": val_loss, "seconds": time.perf_counter() - began}
        )
    if rank == 0:
        save(work, "final.pt", {"model": net.state_dict(), "step": step})
        (work / "history.json").write_text(json.dumps(history))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
