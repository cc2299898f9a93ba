"""ADWIN: a window over a stream that drops its older part when the means of two parts differ too much to be chance.

Source: Bifet and Gavalda 2007, Learning from Time-Changing Data with Adaptive Windowing, with the exponential histogram and
the bound of its section 3 (variance term; delta' = delta / ln n). It is the usual detector of concept drift and the peer of
`mlctl.stats.e_detector`, which says how long it runs between false alarms; this one does not. It is written here because what
it remembers has to be JSON; river's, which decides the same at the same row, is the test's oracle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_BUCKETS = 5  # of each size, beyond which the two oldest become one of twice the size
_CLOCK = 32  # rows from one look to the next
_LEAST_WINDOW, _LEAST_PART = 10, 5  # rows in the window, and in each of its parts


@dataclass(slots=True)
class Adwin:
    """One stream of values between 0 and 1. `levels[i]` holds buckets of 2**i rows, oldest first, each as (sum, variance)."""

    delta: float = 0.002
    levels: list[list[tuple[float, float]]] = field(default_factory=lambda: [[]])
    rows: int = 0  # all that were seen
    width: int = 0
    total: float = 0.0
    variance: float = 0.0  # the sum of squared deviations in the window
    risen: int | None = None  # the row at which a drop of the window first left a higher mean
    start: int | None = None  # and how many rows came before what was left

    def feed(self, values: Sequence[float]) -> None:
        """More values, in order. Once a rise was found it stays so, and rows are only counted."""
        for value in values:
            self.rows += 1
            if self.risen is None:
                self._insert(value)
                if self.rows % _CLOCK == 0 and self.width > _LEAST_WINDOW:
                    self._shrink()

    @property
    def mean(self) -> float:
        """Of what is in the window."""
        return self.total / self.width if self.width else 0.0

    def _insert(self, value: float) -> None:
        if self.width:
            self.variance += (value - self.mean) ** 2 * self.width / (self.width + 1)
        self.width += 1
        self.total += value
        self.levels[0].append((value, 0.0))
        for level in range(len(self.levels)):
            if len(self.levels[level]) <= _BUCKETS:
                break
            if level + 1 == len(self.levels):
                self.levels.append([])
            self.levels[level + 1].append(_merged(self.levels[level].pop(0), self.levels[level].pop(0), 2**level))

    def _shrink(self) -> None:
        """Drop the oldest bucket as long as some cut tells the older part from the newer."""
        before = self.mean
        dropped = False
        while self.width > _LEAST_WINDOW and self._differs():
            self._drop()
            dropped = True
        if dropped and self.mean > before:
            self.risen, self.start = self.rows, self.rows - self.width

    def _differs(self) -> bool:
        old, old_sum = 0, 0.0
        for level in range(len(self.levels) - 1, -1, -1):
            for total, _ in self.levels[level]:
                old += 2**level
                old_sum += total
                new = self.width - old
                if new < _LEAST_PART:
                    return False
                if old >= _LEAST_PART and self._cut(old, new, abs(old_sum / old - (self.total - old_sum) / new)):
                    return True
        return False

    def _cut(self, old: int, new: int, gap: float) -> bool:
        log = math.log(2 * math.log(self.width) / self.delta)
        inverse = 1 / (old - _LEAST_PART + 1) + 1 / (new - _LEAST_PART + 1)
        return gap > math.sqrt(2 * inverse * self.variance / self.width * log) + 2 / 3 * inverse * log

    def _drop(self) -> None:
        """Take the oldest bucket out."""
        size = 2 ** (len(self.levels) - 1)
        total, variance = self.levels[-1].pop(0)
        self.width -= size
        self.total -= total
        gap = total / size - self.mean
        self.variance = max(self.variance - variance - size * self.width * gap**2 / (size + self.width), 0.0)
        while len(self.levels) > 1 and not self.levels[-1]:
            self.levels.pop()

    def memory(self) -> dict[str, Any]:
        """What a later process has to know to go on."""
        return {
            "levels": [[list(bucket) for bucket in level] for level in self.levels], "rows": self.rows, "width": self.width,
            "total": self.total, "variance": self.variance, "risen": self.risen, "start": self.start,
        }  # fmt: skip

    @classmethod
    def remembered(cls, delta: float, memory: Mapping[str, Any]) -> Adwin:
        """The detector as it was. Raises KeyError, TypeError, ValueError when the memory is not one."""
        levels = [[(float(total), float(variance)) for total, variance in level] for level in memory["levels"]]
        rows, width = int(memory["rows"]), int(memory["width"])
        total, variance = float(memory["total"]), float(memory["variance"])
        return cls(delta, levels or [[]], rows, width, total, variance, memory["risen"], memory["start"])


def _merged(one: tuple[float, float], other: tuple[float, float], size: int) -> tuple[float, float]:
    """Two buckets of so many rows as one."""
    gap = (one[0] - other[0]) / size
    return one[0] + other[0], one[1] + other[1] + gap**2 * size / 2
