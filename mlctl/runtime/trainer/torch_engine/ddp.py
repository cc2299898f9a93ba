"""Every rank holds the whole model; gradients are averaged while the backward pass goes on (Li et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from mlctl.runtime.trainer.torch_engine.contracts import Sum
from mlctl.runtime.trainer.torch_engine.whole import Whole, moving_buffers


class Ddp(Whole):
    """The model behind DistributedDataParallel, or as it is where an elastic executor has left one process."""

    def spread(self, blocks: Sequence[nn.Module]) -> None:
        """Onto the device and behind DDP.

        One forward and backward pass is thrown away first: DDP lays its gradient buckets out anew after the first pass, which
        changes the order of sums among three ranks or more, and a training that goes on from a checkpoint must sum in the same
        order as one that never stopped.
        """
        self.module.to(self.device)
        self._moving = moving_buffers(self.module)
        self.network = self.module
        if self.data_world == 1:
            return
        self._distributed = nn.parallel.DistributedDataParallel(
            self.module,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            forward_sync_buffers=bool(self._moving),  # a message at every step
        )
        self.network = self._distributed
        before = {name: value.clone() for name, value in self.module.state_dict().items()}
        rows = torch.arange(2) % self.task.train
        with self.precision.autocast():
            loss = self.task.loss(self.network, self.task.batch(rows, self.device))
        loss.backward()
        self.network.zero_grad(set_to_none=True)
        self.module.load_state_dict(before)

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients travel once a batch."""
        return nullcontext() if last or self.data_world == 1 else self._distributed.no_sync()

    def evaluate(self, parts: Sequence[torch.Tensor]) -> Sum:
        """With the buffers of rank 0, which are those that are kept."""
        if self.data_world > 1:
            for buffer in self._moving:
                dist.broadcast(buffer, src=0)
        return super().evaluate(parts)
