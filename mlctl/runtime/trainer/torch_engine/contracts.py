"""The two sides of the loop: a task says what is learnt, a distribution says how the work is spread over the ranks.

The loop between them owns time: order of rows, steps, epochs, learning rate, checkpoints, stopping, reports. It hands rows of
the global batch to the distribution and never looks into a tensor of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from mlctl.runtime.trainer.engine import Held


class Sum(NamedTuple):
    """A sum of losses, and over how much it is: rows, or tokens that were foretold."""

    loss: float
    weight: float


class Task(Protocol):
    """What is learnt, made by `NAMETask(plan, place)`. Rows 0 to `train` - 1 are learnt from, the next `validation` are validated on."""

    train: int
    validation: int
    unit: str  # of weights: `rows` or `tokens`

    def build(self) -> nn.Module:
        """The whole module on the CPU, initialised from the seed or loaded; the same on every rank."""
        ...

    def blocks(self, module: nn.Module) -> Sequence[nn.Module]:
        """Its parts in order, each of which is sharded, recomputed or put into a stage as one. May be empty."""
        ...

    def batch(self, rows: torch.Tensor, device: torch.device) -> Any:
        """What the module takes, for row numbers (rows,)."""
        ...

    def weight(self, rows: torch.Tensor) -> float:
        """Over how much the loss of these rows is summed."""
        ...

    def loss(self, module: nn.Module, batch: Any) -> torch.Tensor:
        """The sum of losses of a batch, a scalar with gradient, float32."""
        ...


class Distribution(Protocol):
    """One way to spread a training, made by `NAME(task, recipe, place)`. `data_rank` of `data_world` tells which part of each
    batch this rank works on. Every method but `held` and `promised` is called by all ranks at the same point."""

    data_rank: int
    data_world: int
    module: nn.Module  # the part of the model that this rank works on
    total: int  # parameters of the whole model
    trainable: int  # those of them that are trained

    def accumulate(self, parts: Sequence[torch.Tensor], weight: float) -> Sum:
        """Forward and backward over this rank's part of a batch, in micro-batches of row numbers; `weight` is that of the whole
        batch over all ranks, so that the gradient is the batch's mean. All ranks get as many parts. Gives this rank's own sum;
        ranks that work on the same rows either give the same sum, all of them, or only one of them gives one."""
        ...

    def step(self, lr: float) -> float | None:
        """Clip, update, and clear the gradients; gives the length of the gradient where it was measured."""
        ...

    def evaluate(self, parts: Sequence[torch.Tensor]) -> Sum:
        """This rank's sum over rows, without gradients; who gives it as for `accumulate`."""
        ...

    def held(self) -> Held:
        """The elements this rank holds now."""
        ...

    def promised(self) -> Held:
        """The elements it may hold at most if the work is spread as the plan says."""
        ...

    def save(self, folder: Path) -> None:
        """Write this rank's part of a checkpoint; no barrier is needed after it."""
        ...

    def snapshot(self) -> Callable[[Path], None]:
        """Copy what `save` writes, and give what writes the copy. It is called in a thread while training goes on, so it must
        use no process group that training uses."""
        ...

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint. Raises ValueError when it was made by another layout that this one cannot take over."""
        ...

    def weights(self) -> dict[str, torch.Tensor] | None:
        """All weights of the model by name, on the CPU, on rank 0; None on the others."""
        ...
