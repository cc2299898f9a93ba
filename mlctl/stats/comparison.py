"""What a two-sample test found, before anything is decided on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """One test. `effect` is what is held against the margin; `rows` are those of the current data it rests on."""

    statistic: float
    effect: float
    p_value: float
    reference_rows: int
    rows: int
