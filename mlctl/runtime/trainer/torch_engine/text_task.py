"""Learn to foretell the next token: rows of tokens from disk into the batches of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import nn

from mlctl.runtime.trainer.engine import Place
from mlctl.runtime.trainer.plan import OFFSETS_FILE, PreparedText, RankPlan
from mlctl.runtime.trainer.torch_engine import llama


class TextBatch(NamedTuple):
    """Rows of tokens, padded to one length. All are (rows, length)."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor


class TextTask:
    """A language model and the token rows it learns from. See `mlctl.runtime.trainer.torch_engine.contracts.Task`."""

    unit = "tokens"

    def __init__(self, plan: RankPlan, _place: Place) -> None:
        if not isinstance(plan.data, PreparedText):
            raise TypeError(f"a language model does not learn from a {plan.data.type}")
        self.data = data = plan.data
        self.train, self.validation = data.train, data.validation
        self.base = Path(data.base)
        llama.check(self.base, plan.recipe.layout)
        if plan.recipe.method.type != "full" or plan.recipe.distillation is not None:
            raise ValueError(
                "the engine `torch` trains every weight of a language model, and without a teacher; use `engine: hf`"
            )
        folder = Path(data.folder)
        self._arrays = [
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("input_ids", "position_ids", "labels")
        ]
        self._offsets = np.load(folder / OFFSETS_FILE, mmap_mode="r")
        self._weights = np.load(folder / "weights.npy", mmap_mode="r")

    def build(self) -> nn.Module:
        """The base model with its weights."""
        return llama.load(self.base)

    def blocks(self, module: nn.Module) -> Sequence[nn.Module]:
        """The decoder layers."""
        return [
            layer
            for layer in cast("llama.LanguageModel", module).model.layers
            if not isinstance(layer, llama.Elsewhere)
        ]

    def longest(self, rows: torch.Tensor) -> int:
        """The tokens of the longest of these rows."""
        numbers = rows.numpy()
        return int((self._offsets[numbers + 1] - self._offsets[numbers]).max()) if len(numbers) else 0

    def batch(self, rows: torch.Tensor, device: torch.device, count: int = 0, length: int = 0) -> TextBatch:
        """The tokens of these rows, padded to the longest; to `count` rows and `length` tokens, where that is more.

        Positions go on into the padding: a new document there would cost a mask, and no token that counts looks there.
        """
        count, length = max(count, len(rows)), max(length, self.longest(rows))
        tokens = np.full((count, length), self.data.pad_token, dtype=np.int64)
        positions = np.tile(np.arange(length), (count, 1))
        labels = np.full((count, length), llama.IGNORED, dtype=np.int64)
        for place, row in enumerate(rows.tolist()):
            first, last = int(self._offsets[row]), int(self._offsets[row + 1])
            own = slice(last - first)
            for target, source in zip((tokens, positions, labels), self._arrays, strict=True):
                target[place, own] = source[first:last]
            positions[place, last - first :] += 1 + positions[place, last - first - 1] - (last - first)
        arrays = (torch.from_numpy(array).to(device, non_blocking=True) for array in (tokens, positions, labels))
        return TextBatch(*arrays)

    def weight(self, rows: torch.Tensor) -> float:
        """How many tokens are foretold in these rows."""
        return float(self._weights[rows.numpy()].sum())

    def loss(self, module: nn.Module, batch: TextBatch) -> torch.Tensor:
        """The sum of cross-entropies over the tokens that count."""
        total: torch.Tensor = module(batch.input_ids, batch.position_ids, batch.labels)
        return total.squeeze(0)
