"""The order of rows and the seeds of a training: pure functions of its seed, the same for every engine and every layout."""

from __future__ import annotations

import struct
from hashlib import blake2b

import numpy as np
import torch


def epoch_order(seed: int, epoch: int, rows: int) -> torch.Tensor:
    """The order in which the training rows are taken in an epoch (from 0): row numbers (rows,)."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(mix(seed, epoch)))


def step_seed(seed: int, step: int, rank: int) -> int:
    """What a data rank draws from in a step (from 0), dropout for one. Made at every step, so it must be quick."""
    drawn = blake2b(struct.pack("<QQQ", seed, step, rank), digest_size=8).digest()
    return int.from_bytes(drawn, "little") >> 1


def mix(*parts: int) -> int:
    """One seed from several numbers; near numbers give seeds that have nothing in common."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
