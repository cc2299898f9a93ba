"""The entry point: mlctl calls `build` with the names of the features and the `params` of the project file."""

from __future__ import annotations

from src.blocks import Residual
from torch import Tensor, nn


class Tower(nn.Module):
    """A few residual blocks; gives one logit a row."""

    def __init__(self, features: int, width: int, blocks: int) -> None:
        super().__init__()
        self.inlet = nn.Linear(features, width)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.outlet = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.outlet(self.blocks(self.inlet(x)))


def build(features: list[str], width: int, blocks: int = 1) -> nn.Module:
    """The module to train. Its input is standardised already, and holds no missing values."""
    return Tower(len(features), width, blocks)
