"""In which numbers a model computes: weights stay float32; products in 16 bits where that is asked for."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from mlctl.types.jobs import recipe

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast for the forward pass, and for float16 a scale that keeps small gradients from becoming 0."""

    def __init__(self, asked: recipe.Precision, device: torch.device) -> None:
        self._device, self._type = device, _TYPES.get(asked)
        self.scaler = torch.amp.GradScaler(device.type) if asked == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """Around forward passes and losses."""
        return nullcontext() if self._type is None else torch.autocast(self._device.type, dtype=self._type)

    def scaled(self, loss: torch.Tensor) -> torch.Tensor:
        """What `backward` is called on."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Give gradients their true size, for those who look at them before `update`."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the step; with float16 not where a gradient overflowed, after which the scale is lowered."""
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()

    def accepts(self, norm: float) -> bool:
        """Whether a gradient of this length may occur. With float16 an overflow is part of the search for the scale."""
        return math.isfinite(norm) or self.scaler is not None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: plain numbers."""
        return {} if self.scaler is None else dict(self.scaler.state_dict())

    def load(self, state: dict[str, Any]) -> None:
        """Go on with the scale of a checkpoint."""
        if self.scaler is not None:
            self.scaler.load_state_dict(state)
