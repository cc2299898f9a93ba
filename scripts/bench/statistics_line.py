"""What the benchmarks of statistics print: a figure beside its bar and its peers."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """One figure with its 95 % interval, the bar that it has to keep, as `<= 0.05`, and what others come to on the same streams."""

    name: str
    value: float
    low: float
    high: float
    bar: str
    peers: dict[str, float]
