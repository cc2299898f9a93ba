"""What an evaluation finds out before it judges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of a candidate, of the champion and of a language model's base, on the same rows; `obstacles` each fail the gate."""

    rows: int
    metrics: dict[str, float]
    champion: dict[str, float] | None = None  # None: there is none to compare with
    base: dict[str, float] | None = None
    obstacles: list[str] = field(default_factory=list)
    leaked: int = 0
    curves: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)  # more to keep with the results
