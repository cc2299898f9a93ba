"""One process that does all the work."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mlctl.runtime.trainer.torch_engine.whole import Whole


class Single(Whole):
    """The model as it is."""

    def spread(self, blocks: Sequence[nn.Module]) -> None:
        """Onto the device."""
        self.module.to(self.device)
        self.network = self.module
