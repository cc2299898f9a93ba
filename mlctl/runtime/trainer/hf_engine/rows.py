"""Rows of tokens as a language model takes them, and which of them each micro-batch of a rank holds."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mlctl.runtime.trainer.order import epoch_order
from mlctl.runtime.trainer.plan import OFFSETS_FILE, PreparedText, Steps

IGNORED = -100  # a label that is not foretold
_ARRAYS = ("input_ids", "labels", "position_ids")


class TokenRows:
    """The rows of a prepared text, read from disk as they are needed; all ranks share the pages of one file."""

    def __init__(self, data: PreparedText) -> None:
        self.data = data
        folder = Path(data.folder)
        self._offsets = np.load(folder / OFFSETS_FILE)
        self._arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        self._weights = np.load(folder / "weights.npy")

    def weight(self, rows: torch.Tensor) -> int:
        """How many tokens of these rows are foretold."""
        return int(self._weights[rows.numpy()].sum())

    def tokens(self, rows: torch.Tensor) -> int:
        """How many tokens these rows have, foretold or not."""
        chosen = rows.numpy()
        return int((self._offsets[chosen + 1] - self._offsets[chosen]).sum())

    def highest(self) -> int:
        """The highest token there is."""
        tokens = self._arrays["input_ids"]
        return max(int(tokens.max()) if len(tokens) else 0, self.data.pad_token)

    def batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """What the model takes for these rows, padded to the longest: no attention mask, since each document starts at position 0.

        Rows of one document need no positions: they count from 0 anyway, and the model then takes its fastest kernel. No rows at
        all give one of padding, whose loss is 0, for a rank that has nothing in a step but must go along with the others.
        """
        spans = [(int(self._offsets[row]), int(self._offsets[row + 1])) for row in rows]
        width = max((end - start for start, end in spans), default=2)
        shape = (max(len(rows), 1), width)
        ids = np.full(shape, self.data.pad_token, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        positions = np.zeros(shape, dtype=np.int64)
        packed = False
        for row, (start, end) in enumerate(spans):
            length = end - start
            ids[row, :length] = self._arrays["input_ids"][start:end]
            labels[row, :length] = self._arrays["labels"][start:end]
            positions[row, :length] = self._arrays["position_ids"][start:end]
            positions[row, length:] = np.arange(width - length)
            packed |= bool((positions[row, 1:length] == 0).any())
        made = {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}
        return {**made, "position_ids": torch.from_numpy(positions)} if packed else made


class _Numbers(Dataset[int]):  # type: ignore[misc]
    """Row numbers in place of rows: `TokenRows.batch` reads all rows of a micro-batch at once."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, index: int) -> int:
        return index


class MicroBatches(Sampler[list[int]]):  # type: ignore[misc]
    """The micro-batches of a rank in an epoch: the rows of each step, cut into equally many parts on all ranks."""

    def __init__(self, steps: Steps, rank: int, micro_batch_size: int | None, seed: int) -> None:
        self._steps, self._rank, self._seed, self._epoch = steps, rank, seed, 0
        self._size = micro_batch_size

    @property
    def accumulation(self) -> int:
        """Micro-batches in a step; a last step with fewer rows may have fewer."""
        return self._parts(0)

    @property
    def most(self) -> int:
        """Rows that a micro-batch has at most."""
        return min(self._size or self._steps.rows, self._largest(0))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is taken."""
        self._epoch = epoch

    def rows(self, step: int) -> torch.Tensor:
        """The rows of a step, over all ranks."""
        order = self._order(step // self._steps.per_epoch)
        first, _, size = self._steps.bounds(step, 0)
        return order[first : first + size]

    def __len__(self) -> int:
        last = self._steps.per_epoch - 1
        return last * self.accumulation + self._parts(last)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order(self._epoch)
        for step in range(self._steps.per_epoch):
            first, last, _ = self._steps.bounds(step, self._rank)
            yield from (part.tolist() for part in _cut(order[first:last], self._parts(step)))

    def _parts(self, step: int) -> int:
        most = self._largest(step)
        return -(-most // (self._size or most))

    def _largest(self, step: int) -> int:
        """The rows of the rank that has the most of a step."""
        return -(-self._steps.bounds(step, 0)[2] // self._steps.world)

    def _order(self, epoch: int) -> torch.Tensor:
        return _order(self._seed, epoch, self._steps.rows)


def loader(rows: TokenRows, batches: MicroBatches, *, pinned: bool) -> DataLoader[Any]:
    """What the Trainer draws micro-batches from."""
    return DataLoader(_Numbers(rows.data.train), batch_sampler=batches, collate_fn=rows.batch, pin_memory=pinned)


def validation_parts(data: PreparedText, rank: int, world: int, size: int) -> list[list[int]]:
    """The validation rows of a rank in parts of at most `size`, as many on each rank: some may be empty."""
    every = torch.arange(data.train, data.train + data.validation)
    own = every[data.validation * rank // world : data.validation * (rank + 1) // world]
    most = -(-data.validation // world)
    return [part.tolist() for part in _cut(own, -(-most // size))]


def _cut(rows: torch.Tensor, parts: int) -> list[torch.Tensor]:
    """As many parts of nearly the same length."""
    count = len(rows)
    return [rows[count * index // parts : count * (index + 1) // parts] for index in range(parts)]


@functools.lru_cache(maxsize=2)  # of the running epoch, and of the next
def _order(seed: int, epoch: int, rows: int) -> torch.Tensor:
    return epoch_order(seed, epoch, rows)
