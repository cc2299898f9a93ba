"""Learn from rows of features: binary cross-entropy, squared error, or a loss of the project's own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mlctl.runtime.trainer.engine import Place
from mlctl.runtime.trainer.plan import FEATURES_FILE, TARGET_FILE, PreparedTable, RankPlan
from mlctl.runtime.trainer.project import load_function, row_losses
from mlctl.runtime.trainer.tabular import model
from mlctl.types.jobs.recipe import PythonModel


class TableTask:
    """Rows on disk, whose pages all ranks of a machine share. See `mlctl.runtime.trainer.torch_engine.contracts.Task`."""

    unit = "rows"

    def __init__(self, plan: RankPlan, place: Place) -> None:
        if not isinstance(plan.data, PreparedTable):
            raise TypeError(f"not a table: {plan.data.type}")
        self._plan, self._code, self.data = plan, place.folder / model.CODE_FOLDER, plan.data
        self.train, self.validation = plan.data.train, plan.data.validation
        folder = Path(plan.data.folder)
        self._x = torch.from_numpy(np.load(folder / FEATURES_FILE, mmap_mode="c"))
        self._y = torch.from_numpy(np.load(folder / TARGET_FILE, mmap_mode="c"))
        asked = plan.recipe.model
        self._own: Callable[..., Any] | None = None
        if isinstance(asked, PythonModel) and asked.loss is not None:
            self._own = load_function(self._code, asked.loss)

    def build(self) -> nn.Module:
        """The module with its preprocessing, initialised from the seed."""
        seed_all(self._plan.recipe.seed)
        module = model.build(self._plan.model, self._code)
        for name in ("mean", "std", "offset", "scale"):
            getattr(module, name).copy_(torch.tensor(getattr(self.data, name)))
        return module

    def blocks(self, module: nn.Module) -> Sequence[nn.Module]:
        """The layers."""
        return layers(module)

    def batch(self, rows: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (rows, features) and targets (rows,)."""
        x, y = self._x[rows], self._y[rows]
        return x.to(device, non_blocking=True), y.to(device, non_blocking=True)

    def weight(self, rows: torch.Tensor) -> float:
        """Each row counts once."""
        return float(len(rows))

    def loss(self, module: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The sum over rows; squared errors are in units of the target's standard deviation."""
        x, y = batch
        out = module(x).float()
        if self._own is not None:
            return row_losses(self._own, out, y, len(y))
        if self.data.task == "binary":
            return functional.binary_cross_entropy_with_logits(out, y, reduction="sum")
        return (((out - y) / self.data.scale) ** 2).sum()


def seed_all(seed: int) -> None:
    """Seed whatever a project's code may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def layers(module: nn.Module) -> list[nn.Module]:
    """The children of the outermost lists and sequences of a module that have weights, in order."""
    found: list[nn.Module] = []
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential):
            found += [part for part in child if any(True for _ in part.parameters())]
        else:
            found += layers(child)
    return found
