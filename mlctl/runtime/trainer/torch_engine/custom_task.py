"""Learn from a dataset of the project's own, by a loss of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mlctl.runtime.trainer.custom import model
from mlctl.runtime.trainer.custom.datasets import load_dataset
from mlctl.runtime.trainer.engine import Place
from mlctl.runtime.trainer.plan import PreparedCustom, RankPlan
from mlctl.runtime.trainer.project import load_function, row_losses
from mlctl.runtime.trainer.torch_engine.table_task import layers, seed_all
from mlctl.types.jobs.recipe import PythonModel


class CustomTask:
    """A torch Dataset for each split. See `mlctl.runtime.trainer.torch_engine.contracts.Task`."""

    unit = "rows"

    def __init__(self, plan: RankPlan, place: Place) -> None:
        asked, data = plan.recipe.model, plan.data
        if not isinstance(asked, PythonModel) or not isinstance(data, PreparedCustom) or asked.loss is None:
            raise TypeError("a dataset of the project's own needs a `python` model with `dataset` and `loss`")
        self._plan, self._code = plan, place.folder / model.CODE_FOLDER
        self.train, self.validation = data.train, data.validation
        seed_all(plan.recipe.seed)
        self._splits = [
            load_dataset(self._code, asked, plan.model["params"], data.files, split)
            for split in ("train", "validation")
        ]
        for name, split, counted in zip(
            ("train", "validation"), self._splits, (data.train, data.validation), strict=True
        ):
            if len(split) != counted:
                raise ValueError(
                    f"`{asked.dataset.function if asked.dataset else ''}` gave {len(split)} rows for `{name}`, and {counted} before: "
                    "the same files must give the same rows in every process"
                )
        self._own = load_function(self._code, asked.loss)

    def build(self) -> nn.Module:
        """The project's module, initialised from the seed."""
        seed_all(self._plan.recipe.seed)
        return model.build(self._plan.model, self._code)

    def blocks(self, module: nn.Module) -> Sequence[nn.Module]:
        """The layers."""
        return layers(module)

    def batch(self, rows: torch.Tensor, device: torch.device) -> Any:
        """Inputs and targets, stacked."""
        from torch.utils.data import default_collate

        pairs = [
            self._splits[0][row] if row < self.train else self._splits[1][row - self.train] for row in rows.tolist()
        ]
        return moved(default_collate(pairs), device)

    def weight(self, rows: torch.Tensor) -> float:
        """Each row counts once."""
        return float(len(rows))

    def loss(self, module: nn.Module, batch: Any) -> torch.Tensor:
        """The sum over rows."""
        inputs, targets = batch
        return row_losses(self._own, module(inputs), targets, count(targets))


def count(targets: Any) -> int:
    """The rows of a batch of targets: tensors, or lists and mappings of them."""
    while not isinstance(targets, torch.Tensor):
        targets = next(iter(targets.values() if isinstance(targets, dict) else targets))
    return len(targets)


def moved(value: Any, device: torch.device) -> Any:
    """A batch with all of its tensors on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {name: moved(item, device) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [moved(item, device) for item in value]
    return value
