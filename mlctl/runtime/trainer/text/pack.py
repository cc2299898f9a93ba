"""Which documents share a row of tokens. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np


def pack(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Rows of document numbers, none longer than `size` together: best fit, longest document first. The same lengths give the same
    rows. Raises ValueError for a document that is longer than a row."""
    rows: list[list[int]] = []
    with_space: list[deque[int]] = [deque() for _ in range(size + 1)]  # rows by how much still fits
    spaces = 0  # bit n is set where a row has space for n
    for index in np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable").tolist():
        length = int(lengths[index])
        if length > size:
            raise ValueError(f"document {index} has {length} tokens; a row holds {size}")
        fitting = spaces >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1  # the least that is enough
            row = with_space[space].popleft()
            if not with_space[space]:
                spaces &= ~(1 << space)
        else:
            space, row = size, len(rows)
            rows.append([])
        rows[row].append(index)
        left = space - length
        with_space[left].append(row)
        if left:
            spaces |= 1 << left
    return rows
