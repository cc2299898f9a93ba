"""A language model cut by layers, by matrices and by parameters at once: pipeline x tensor x data parallel ranks.

Each rank builds only its own part: first the layers of its stage, of those its part of each matrix, and with several data ranks
its share of each parameter (fully_shard). With sizes of 1 it is tensor or pipeline parallel alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import nn

from mlctl.runtime.trainer.engine import Held, Place
from mlctl.runtime.trainer.torch_engine import llama, memory, states
from mlctl.runtime.trainer.torch_engine.contracts import Sum, Task
from mlctl.runtime.trainer.torch_engine.mesh import DATA, TENSOR, Grid
from mlctl.runtime.trainer.torch_engine.optimizers import local, make_optimizer, state_bound, state_elements
from mlctl.runtime.trainer.torch_engine.pipeline import Pipe, cut_layers
from mlctl.runtime.trainer.torch_engine.tensor import cut_by, cut_matrices
from mlctl.runtime.trainer.torch_engine.text_task import TextTask
from mlctl.types.jobs.recipe import Recipe

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule

_OPTIMIZERS = ("adamw", "sgd")  # those that treat each element by itself, and so any part of a parameter


class ThreeD:
    """One rank of a grid. See `mlctl.runtime.trainer.torch_engine.contracts.Distribution`."""

    def __init__(self, task: TextTask, recipe: Recipe, place: Place) -> None:
        layout = recipe.layout
        _check(task, recipe)
        self.task, self.recipe, self.device = task, recipe, place.device
        self.grid = Grid(layout, place.device)
        self.data_rank, self.data_world = self.grid.data_rank, self.grid.data_world
        module = llama.empty(task.base)
        self.total = self.trainable = sum(parameter.numel() for parameter in module.parameters())
        self._names = [name for name, _ in module.named_parameters()]
        cut_layers(module, layout.pipeline, self.grid.stage)
        self._shares = _shares(module, layout.tensor, layout.data)
        if layout.tensor > 1:
            cut_matrices(module, self.grid.mesh[TENSOR])
        llama.fill(module, task.base, place.device)
        if recipe.memory.gradient_checkpointing:
            memory.recompute(task.blocks(module))
        module.autocast = torch.bfloat16 if recipe.precision == "bf16" else None
        self.module: nn.Module = module
        self._sharded = self._shard(module) if layout.data > 1 else None
        self.optimizer = make_optimizer(recipe.optimizer, module.parameters())
        for group in self.optimizer.param_groups:
            group["foreach"] = False  # parameters are cut in several ways, and one operation cannot take them all
        self._writers: dist.ProcessGroup | None = None
        self._pipe = Pipe(module, task, self.grid, layout.microbatches, place.device) if layout.pipeline > 1 else None

    def accumulate(self, parts: Sequence[torch.Tensor], weight: float) -> Sum:
        """Forward and backward over this rank's part of a batch. The gradient is the batch's mean over all data ranks."""
        self.module.train()
        scale = self.data_world / weight  # fully_shard takes the mean over data ranks
        if self._pipe is not None:
            return self._sum(self._pipe.learn(torch.cat(list(parts)), len(parts), scale), parts)
        loss = 0.0
        for number, rows in enumerate(parts):
            if self._sharded is not None:
                self._sharded.set_requires_gradient_sync(number == len(parts) - 1)
            own = self.task.loss(self.module, self.task.batch(rows, self.device))
            (own * scale).backward()
            loss += own.item()
        return self._sum(loss, parts)

    def step(self, lr: float) -> float | None:
        """Clip by the length of the whole gradient, over all ranks; update; clear."""
        length = None
        if self.recipe.optimizer.max_grad_norm is not None:
            length = self._clip(self.recipe.optimizer.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if length is not None and not math.isfinite(length):
            raise FloatingPointError(f"the length of the gradient became {length}")
        return length

    def evaluate(self, parts: Sequence[torch.Tensor]) -> Sum:
        """The sum over rows, without gradients."""
        self.module.eval()
        if self._pipe is not None:
            return self._sum(self._pipe.judge(torch.cat(list(parts)), len(parts)), parts)
        with torch.no_grad():
            losses = [self.task.loss(self.module, self.task.batch(rows, self.device)).item() for rows in parts]
        return self._sum(sum(losses), parts)

    def held(self) -> Held:
        """The elements of this rank's own memory."""
        own = sum(local(parameter).numel() for parameter in self.module.parameters())
        return Held(own, state_elements(self.optimizer))

    def promised(self) -> Held:
        """What is left of the stage's parameters when matrices are cut over tensor ranks, and all over data ranks."""
        return Held(sum(shape.numel() for shape in self._shares), state_bound(self.recipe.optimizer, self._shares))

    def save(self, folder: Path) -> None:
        """Write this rank's part of a checkpoint."""
        states.write(folder, states.of(self.module, self.optimizer), None)

    def snapshot(self) -> Callable[[Path], None]:
        """Copy this rank's part, to be written while training goes on, through a process group of its own."""
        if self._writers is None:
            self._writers = dist.new_group(backend="gloo")
        copy, group = states.copied(states.of(self.module, self.optimizer)), self._writers
        return lambda folder: states.write(folder, copy, group)

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint of any layout of this engine."""
        states.load(folder, self.module, self.optimizer, self._names)

    def weights(self) -> dict[str, torch.Tensor] | None:
        """All weights by name, on rank 0: each stage makes its own whole and sends them one by one."""
        first = dist.get_rank() == 0
        known = {name: value for name, value in self.module.named_parameters()}
        whole: dict[str, torch.Tensor] = {}
        for stage in range(self.grid.stages):
            speaker = self.grid.speaker_of(stage)
            told: list[list[tuple[str, torch.Size]]] = [[(name, value.shape) for name, value in known.items()]]
            dist.broadcast_object_list(told, src=speaker)
            for name, shape in told[0]:
                value = _whole(known[name]) if stage == self.grid.stage else None
                if first and value is None:
                    value = torch.empty(shape, device=self.device)
                    dist.recv(value, src=speaker)
                elif value is not None and dist.get_rank() == speaker and not first:
                    dist.send(value, dst=0)
                if first and value is not None:
                    whole[name] = value.detach().cpu()
        return whole if first else None

    def _shard(self, module: llama.LanguageModel) -> FSDPModule:
        """Share the parameters of each layer over the data ranks. A pipeline keeps them whole while micro-batches go through."""
        from torch.distributed.fsdp import fully_shard

        again = self.grid.stages == 1
        for block in self.task.blocks(module):
            fully_shard(block, mesh=self.grid.mesh[DATA], reshard_after_forward=again)
        return fully_shard(module, mesh=self.grid.mesh[DATA], reshard_after_forward=again)

    def _sum(self, loss: float, parts: Sequence[torch.Tensor]) -> Sum:
        """This rank's own sum, told by one rank of those that work on the same rows."""
        if not self.grid.speaks:
            return Sum(0.0, 0.0)
        return Sum(loss, sum(self.task.weight(rows) for rows in parts))

    def _clip(self, most: float) -> float:
        """Scale the gradient down to a length, and give the length it had. Parts that several ranks hold count once."""
        gradients = [parameter.grad for parameter in self.module.parameters() if parameter.grad is not None]
        square = torch.zeros((), device=self.device)
        for gradient in gradients:
            square += local(gradient).float().square().sum() / self._copies(gradient)
        dist.all_reduce(square)
        length = square.sqrt()
        scale = (most / (length + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            local(gradient).mul_(scale)
        return float(length)

    def _copies(self, value: torch.Tensor) -> int:
        """How many ranks of a stage hold the same elements."""
        from torch.distributed.tensor import DTensor

        parts = 1
        if isinstance(value, DTensor):
            for size, placement in zip(value.device_mesh.shape, value.placements, strict=True):
                parts *= 1 if placement.is_replicate() else size
        return self.data_world * self.grid.tensor_world // parts


def _check(task: Task, recipe: Recipe) -> None:
    """Raise ValueError for what a model in pieces cannot do."""
    if not isinstance(task, TextTask):
        raise ValueError(f"the strategy `{recipe.layout.strategy}` is for language models; use `ddp` or `fsdp`")
    refused = {
        f"`optimizer: {recipe.optimizer.type}`": recipe.optimizer.type not in _OPTIMIZERS,
        "`optimizer.fused`": recipe.optimizer.fused,
        "`precision: fp16`": recipe.precision == "fp16",
        "`memory.offload`": bool(recipe.memory.offload),
        "`memory.compile`": recipe.memory.compile,
    }
    named = [name for name, is_refused in refused.items() if is_refused]
    if named:
        raise ValueError(f"the strategy `{recipe.layout.strategy}` cannot be combined with {', '.join(named)}")


def _shares(module: llama.LanguageModel, tensor: int, data: int) -> list[torch.Size]:
    """The most that one rank of a stage gets of each parameter. fully_shard cuts by whole rows: the first ranks may get one more."""
    found = []
    for name, parameter in module.named_parameters():
        shape, cut = list(parameter.shape), cut_by(name)
        if cut is not None:
            shape[cut] //= tensor
        shape[0] = -(-shape[0] // data)
        found.append(torch.Size(shape))
    return found


def _whole(value: torch.Tensor) -> torch.Tensor:
    """A tensor with the parts of all ranks."""
    from torch.distributed.tensor import DTensor

    return value.detach().full_tensor() if isinstance(value, DTensor) else value.detach()
