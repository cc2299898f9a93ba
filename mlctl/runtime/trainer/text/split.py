"""Which documents are learnt from and which are validated on. The same text never stands on both sides. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Split:
    """Document numbers of both sides, and how many of the later side were left out because they had been seen."""

    train: Any
    validation: Any
    repeated: int


def split_random(digests: Any, share: float, seed: int) -> Split:
    """Hold back a share of the different texts, drawn by the seed; copies go where the first goes. `digests` are (documents,)."""
    _, which = np.unique(digests, return_inverse=True)
    kinds = int(which.max()) + 1 if len(which) else 0
    held = np.zeros(kinds, dtype=bool)
    # by first appearance, since the order of digests says nothing about that of the data and a draw must not hang on it
    first = np.full(kinds, len(which), dtype=np.int64)
    np.minimum.at(first, which, np.arange(len(which)))
    drawn = np.argsort(first, kind="stable")[np.random.default_rng(seed).permutation(kinds)]
    held[drawn[: max(1, round(kinds * share))]] = True
    later = held[which]
    return Split(np.nonzero(~later)[0], np.nonzero(later)[0], 0)


def split_by_time(digests: Any, times: Any, share: float) -> Split:
    """Hold back the latest share. Documents of one time stay on one side; a later copy of an earlier text is left out."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    wanted = min(math.floor(len(ordered) * (1 - share)), len(ordered) - 1)
    cut = int(np.searchsorted(ordered, ordered[wanted], side="left"))
    if cut == 0:  # the cut falls into the very first time: take the next
        cut = int(np.searchsorted(ordered, ordered[wanted], side="right"))
    train, later = np.sort(order[:cut]), np.sort(order[cut:])
    seen = np.isin(digests[later], digests[train])
    return Split(train, later[~seen], int(seen.sum()))
