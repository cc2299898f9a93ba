"""Cut rows into micro-batches, as many on every rank: all ranks meet in each."""

from __future__ import annotations

import torch


def cut(rows: torch.Tensor, most: int | None, size: int, ranks: int) -> list[torch.Tensor]:
    """A rank's share of `size` rows that `ranks` share, in parts of nearly one size, at most `most` rows each.

    Where the rows of some rank are too few for as many parts as the others need, all have one part less, with a row more.
    """
    smallest, largest = size // ranks, -(-size // ranks)
    count = 1 if most is None else min(-(-largest // most), smallest)
    return list(torch.tensor_split(rows, count))


def shared(first: int, last: int, rank: int, ranks: int) -> torch.Tensor:
    """The rows of a rank among those from `first` to `last`; all of them for every rank where there are fewer than ranks."""
    size = last - first
    if size < ranks:
        return torch.arange(first, last)
    return torch.arange(first + size * rank // ranks, first + size * (rank + 1) // ranks)
