"""Every rank holds its share of each parameter, gradient and optimizer state, and borrows the rest block by block (PyTorch's
fully_shard; Zhao et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from mlctl.runtime.trainer.engine import Held
from mlctl.runtime.trainer.torch_engine import states
from mlctl.runtime.trainer.torch_engine.contracts import Sum
from mlctl.runtime.trainer.torch_engine.optimizers import local, state_bound, state_elements
from mlctl.runtime.trainer.torch_engine.whole import Whole, moving_buffers

_CANNOT_SHARE = ("adamw_8bit", "adafactor")


class Fsdp(Whole):
    """The model with each block shared by all ranks, and what is in no block as one more."""

    def spread(self, blocks: Sequence[nn.Module]) -> None:
        """Cut each parameter by its first dimension. With several micro-batches gradients are shared after each of them: to
        wait for the last would keep the gradients of the whole model on every rank."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy, fully_shard

        self._check()
        mesh = init_device_mesh(self.device.type, (self.data_world,), mesh_dim_names=("dp",))
        offload = CPUOffloadPolicy() if "parameters" in self.recipe.memory.offload else OffloadPolicy()
        # a rank holds whole rows of a parameter, so that of a small one some ranks hold more than their share, or nothing
        self._shapes = [_share(parameter, self.data_world) for parameter in self.module.parameters()]
        for buffer in self.module.buffers():
            buffer.data = buffer.data.to(self.device)
        for block in blocks:
            fully_shard(block, mesh=mesh, offload_policy=offload)
        fully_shard(self.module, mesh=mesh, offload_policy=offload)
        self.network = self.module
        self._moving = moving_buffers(self.module)
        self._group = dist.new_group(backend="gloo")  # of those who write checkpoints, beside the training or not

    def _check(self) -> None:
        optimizer, offload = self.recipe.optimizer.type, set(self.recipe.memory.offload)
        if optimizer in _CANNOT_SHARE:
            raise ValueError(
                f"the optimizer `{optimizer}` cannot work on a share of a parameter; use `adamw` or `sgd` with `fsdp`"
            )
        if len(offload & {"parameters", "optimizer"}) == 1:
            raise ValueError("`fsdp` offloads parameters and optimizer together: name both in `memory.offload`")

    def accumulate(self, parts: Sequence[torch.Tensor], weight: float) -> Sum:
        """With the buffers of rank 0, as DDP has it."""
        self._share_buffers()
        return super().accumulate(parts, weight)

    def evaluate(self, parts: Sequence[torch.Tensor]) -> Sum:
        """With the buffers of rank 0, which are those that are kept."""
        self._share_buffers()
        return super().evaluate(parts)

    def _share_buffers(self) -> None:
        if self.data_world > 1:
            for buffer in self._moving:
                dist.broadcast(buffer, src=0)

    def held(self) -> Held:
        """This rank's shares."""
        own = sum(local(parameter).numel() for parameter in self.module.parameters())
        return Held(own, state_elements(self.optimizer))

    def promised(self) -> Held:
        """The largest share that any rank has of each parameter."""
        parameters = sum(shape.numel() for shape, _ in self._shapes)
        return Held(
            parameters, state_bound(self.recipe.optimizer, [shape for shape, trained in self._shapes if trained])
        )

    def save(self, folder: Path) -> None:
        """Each rank writes its shares."""
        self._share_buffers()
        states.write(folder, states.of(self.module, self.optimizer), self._group)
        if self.rank == 0:
            self.save_scale(folder, self.precision.state())

    def snapshot(self) -> Callable[[Path], None]:
        """Each rank copies its shares, and writes them in a process group of its own."""
        self._share_buffers()
        copy, scale = states.copied(states.of(self.module, self.optimizer)), self.precision.state()
        group = self._group

        def save(folder: Path) -> None:
            states.write(folder, copy, group)
            if self.rank == 0:
                self.save_scale(folder, scale)

        return save

    def load(self, folder: Path) -> None:
        """Each rank reads its shares, whoever wrote them."""
        states.load(folder, self.module, self.optimizer)
        self.load_scale(folder)

    def weights(self) -> dict[str, torch.Tensor] | None:
        """Brought together on rank 0."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state: dict[str, Any] = get_model_state_dict(self.module, options=options)
        return state if self.rank == 0 else None


def _share(parameter: nn.Parameter, world: int) -> tuple[torch.Size, bool]:
    shape = parameter.shape
    rows = -(-shape[0] // world) if shape else 1
    return torch.Size([rows, *shape[1:]]), parameter.requires_grad
