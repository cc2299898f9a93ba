"""What all ranks agree on after each step: whether to stop or save, and the loss of the whole batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from mlctl.runtime.trainer.engine import Place
from mlctl.runtime.trainer.torch_engine.contracts import Sum


class Verdict(NamedTuple):
    """Of one step, the same on all ranks."""

    stop: bool
    save: bool
    loss: float  # the mean over the whole batch


class Votes:
    """One exchange a step, which travels while the next step is computed: to wait for it takes as long as a third of a small step."""

    def __init__(self, place: Place) -> None:
        self._world, self._device = place.world, place.device
        self._under_way: tuple[torch.Tensor, Any] | None = None

    def cast(self, own: Sum, *, stop: bool, save: bool) -> None:
        """Give this rank's vote on a step. Those of the step before must have been counted."""
        vote = torch.tensor([own.loss, own.weight, float(stop), float(save)], dtype=torch.float64, device=self._device)
        work = dist.all_reduce(vote, async_op=True) if self._world > 1 else None
        self._under_way = vote, work

    def count(self) -> Verdict | None:
        """The verdict on the step that was voted on last; None when it has been given."""
        if self._under_way is None:
            return None
        vote, work = self._under_way
        self._under_way = None
        if work is not None:
            work.wait()
        loss, weight, stop, save = vote.tolist()
        return Verdict(stop > 0, save > 0, loss / weight)

    def sum(self, *values: float) -> list[float]:
        """Each value summed over all ranks, at once."""
        if self._world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self._device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]
