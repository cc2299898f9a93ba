"""What an engine is to the worker: a function `run(plan, place, stop) -> Ending` in `torch_engine.run` or `hf_engine.run`.

Every rank calls it. It trains from the newest whole checkpoint to the end, and before it returns `done` or `stopped_early`
rank 0 has written the trained weights into the folder WEIGHTS below the job's folder, beside and swapped in: `model.safetensors`
for all weights, or an adapter in PEFT's format.

Rank 0 tells how far it is by lines in PROGRESS_FILE, one JSON object each (`mlctl.runtime.trainer.progress` writes them):

- `{"type": "held", "trainable", "total", "ranks": [Held of each rank]}` after the first step of each start, when all state is there
- `{"type": "step", "epoch", "step", "total", "loss", "lr", "rows_per_second"[, "tokens_per_second"]}` twice a second at most
- `{"type": "epoch", "epoch", "step", "total", "train_loss", "val_loss", "seconds", "rows_per_second"[, "tokens_per_second"]}`
- `{"type": "resumed", "step", "total"}`, `{"type": "saved", "step", "total"}`
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

WEIGHTS = "weights"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rank stands: among how many, on which device, and the job's folder, which all ranks share."""

    folder: Path
    rank: int
    world: int
    local_rank: int
    device: torch.device


@dataclass(frozen=True, slots=True)
class Held:
    """Elements that a rank holds by itself: of the model's parameters (frozen ones too), and of the optimizer's state."""

    parameters: int
    optimizer: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How the ranks ended. `preempted` when they were asked to stop: a checkpoint is saved."""

    status: Literal["done", "preempted", "stopped_early"]
    step: int
    total: int
    history: list[dict[str, float]]  # the `epoch` lines, without their type
    held: Held
    trainable: int  # parameters that were trained, over all ranks
    parameters: int  # all of the model's
    facts: dict[str, Any] = field(default_factory=dict)  # more to keep, such as the loss before and after a merge
