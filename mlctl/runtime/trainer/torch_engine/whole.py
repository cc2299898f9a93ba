"""What the distributions have in common whose ranks each compute the whole model on a part of the batch."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlctl.files import atomic
from mlctl.runtime.trainer import errors
from mlctl.runtime.trainer.engine import Held, Place
from mlctl.runtime.trainer.tabular.model import RawFeatures
from mlctl.runtime.trainer.torch_engine import memory, states
from mlctl.runtime.trainer.torch_engine.contracts import Sum, Task
from mlctl.runtime.trainer.torch_engine.optimizers import make_optimizer, state_bound, state_elements
from mlctl.runtime.trainer.torch_engine.precision import Precision
from mlctl.types.jobs.recipe import Recipe

_SCALE_FILE = "precision.json"


class Whole:
    """A rank with its optimizer; each batch is shared by rows. See `mlctl.runtime.trainer.torch_engine.contracts.Distribution`.

    `module` is the model, with its own names of weights; `network` is what the loss is computed through.
    """

    network: nn.Module

    def __init__(self, task: Task, recipe: Recipe, place: Place) -> None:
        memory.check_offload(recipe.memory, place.device)
        self.task, self.recipe, self.device = task, recipe, place.device
        self._process = os.getpid()
        self.rank = self.data_rank = place.rank
        self.data_world = place.world
        self.module = task.build()
        blocks = task.blocks(self.module)
        if recipe.memory.gradient_checkpointing:
            memory.recompute(blocks)
        if recipe.memory.compile:
            memory.compile_blocks(self.module, blocks)
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in self.module.parameters()]
        self.total = sum(size for size, _ in sizes)
        self.trainable = sum(size for size, trained in sizes if trained)
        self.precision = Precision(recipe.precision, place.device)
        self.spread(blocks)
        self.optimizer = make_optimizer(recipe.optimizer, self.module.parameters())

    def spread(self, blocks: Sequence[nn.Module]) -> None:
        """Put the module onto its device and make `network` of it, before there is an optimizer."""
        raise NotImplementedError

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Around the passes of one micro-batch, of which the last one brings the gradients of all ranks together."""
        return nullcontext()

    def accumulate(self, parts: Sequence[torch.Tensor], weight: float) -> Sum:
        """Gradients are averaged over ranks, so that each rank's sum counts `data_world` times."""
        self.network.train()
        scale, loss, amount = self.data_world / weight, 0.0, 0.0
        for index, rows in enumerate(parts):
            batch = self.task.batch(rows, self.device)
            with self.exchange(index == len(parts) - 1):
                with memory.activations(self.recipe.memory), self.precision.autocast():
                    value = self.task.loss(self.network, batch)
                errors.check_copy(self._process)  # before it meets other ranks, who would wait for it
                self.precision.scaled(value * scale).backward()
            loss += value.item()
            amount += self.task.weight(rows)
        return Sum(loss, amount)

    def step(self, lr: float) -> float | None:
        """Clip by the length of the whole gradient, and update."""
        norm = None
        longest = self.recipe.optimizer.max_grad_norm
        if longest is not None:
            self.precision.unscale(self.optimizer)
            norm = self._clip(longest)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.precision.update(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        if norm is not None and not self.precision.accepts(norm):
            raise FloatingPointError(f"the length of the gradient became {norm}")
        return norm

    def _clip(self, longest: float) -> float:
        from torch.distributed.tensor import DTensor

        found = nn.utils.clip_grad_norm_(self.module.parameters(), longest)
        return float(found.full_tensor() if isinstance(found, DTensor) else found)

    def evaluate(self, parts: Sequence[torch.Tensor]) -> Sum:
        """Without the wrapper: there is nothing to exchange."""
        self.network.eval()
        loss, amount = 0.0, 0.0
        with torch.no_grad(), self.precision.autocast():
            for rows in parts:
                loss += self.task.loss(self.module, self.task.batch(rows, self.device)).item()
                amount += self.task.weight(rows)
        return Sum(loss, amount)

    def held(self) -> Held:
        """The model whole, and the optimizer's state."""
        return Held(sum(parameter.numel() for parameter in self.module.parameters()), state_elements(self.optimizer))

    def promised(self) -> Held:
        """The same: nothing is shared."""
        shapes = [parameter.shape for parameter in self.module.parameters() if parameter.requires_grad]
        return Held(self.total, state_bound(self.recipe.optimizer, shapes))

    def save(self, folder: Path) -> None:
        """All ranks hold the same, and rank 0 writes it."""
        if self.rank == 0:
            self._write(folder, self.module.state_dict(), self.optimizer.state_dict())

    def snapshot(self) -> Callable[[Path], None]:
        """A copy of what rank 0 holds."""
        if self.rank != 0:
            return lambda _folder: None
        module, optimizer = copied(self.module.state_dict()), copied(self.optimizer.state_dict())
        scale = self.precision.state()
        return lambda folder: self._write(folder, module, optimizer, scale)

    def load(self, folder: Path) -> None:
        """From the state of a whole model, or from the parts that several ranks wrote of one."""
        path = folder / states.STATE_FILE
        if path.exists():
            stored = torch.load(path, map_location="cpu", weights_only=True)
            self.module.load_state_dict(stored["model"])
            self.optimizer.load_state_dict(stored["optimizer"])
        else:
            states.load(folder, self.module, self.optimizer)
        self.load_scale(folder)

    def weights(self) -> dict[str, torch.Tensor] | None:
        """Those of rank 0, which are those of all."""
        if self.rank != 0:
            return None
        return {name: value.detach().cpu() for name, value in self.module.state_dict().items()}

    def _write(self, folder: Path, module: Any, optimizer: Any, scale: dict[str, Any] | None = None) -> None:
        torch.save({"model": module, "optimizer": optimizer}, folder / states.STATE_FILE)
        self.save_scale(folder, self.precision.state() if scale is None else scale)

    def save_scale(self, folder: Path, scale: dict[str, Any]) -> None:
        """Keep the scale of float16's gradients, where there is one. For rank 0."""
        if scale:
            atomic.write_json(folder / _SCALE_FILE, scale)

    def load_scale(self, folder: Path) -> None:
        """Go on with the scale of a checkpoint."""
        if self.precision.scaler is not None:
            self.precision.load(json.loads((folder / _SCALE_FILE).read_bytes()))


def copied(value: Any) -> Any:
    """A state with all of its tensors copied into the host's memory, and what else changes with each step: GaLore's projectors."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    return copy.deepcopy(value)


def moving_buffers(module: nn.Module) -> list[torch.Tensor]:
    """The buffers that change as a model learns, such as a batch norm's. The means and scales of features never do."""
    return list((module.network if isinstance(module, RawFeatures) else module).buffers())
