"""A line of figures in one line of text."""

from __future__ import annotations

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_GAP = "·"  # nothing was measured


def sparkline(values: Sequence[float | None], *, width: int = 30, top: float | None = None) -> str:
    """The last `width` values as bars from 0 to `top`, or to the largest of them; a point for each that is not known."""
    shown = list(values)[-width:]
    known = [value for value in shown if value is not None]
    highest = max(known, default=0.0) if top is None else top
    return "".join(_bar(value, highest) for value in shown)


def _bar(value: float | None, highest: float) -> str:
    if value is None:
        return _GAP
    if highest <= 0:
        return _BARS[0]
    return _BARS[min(len(_BARS) - 1, max(0, round(value / highest * (len(_BARS) - 1))))]
