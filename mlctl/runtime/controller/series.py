"""The last minutes of each variant, for the small plots of those who watch."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlctl.rollout.evidence import Counts

POINTS = 60
_POINT_SECONDS = 2.0


@dataclass
class _Line:
    last: Counts
    points: deque[dict[str, float | None]] = field(default_factory=lambda: deque(maxlen=POINTS))


class Series:
    """One point every two seconds: requests a second, the share of errors among them, and their P99."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._at = 0.0

    def add(self, now: float, totals: Mapping[str, Counts]) -> None:
        """Take a point of each variant, when it is time for one."""
        passed = now - self._at
        if 0 <= passed < _POINT_SECONDS:
            return
        known, self._at = self._at > 0 and passed > 0, now
        self._lines = {name: line for name, line in self._lines.items() if name in totals}
        for name, total in totals.items():
            line = self._lines.get(name)
            if line is None:
                self._lines[name] = _Line(total)
                continue
            new, line.last = total.minus(line.last), total
            if known:
                line.points.append(
                    {
                        "rate": new.requests / passed,
                        "error_rate": new.errors / new.requests if new.requests else None,
                        "p99": new.seconds.quantile(0.99),
                    }
                )

    def to_json(self, variant: str) -> dict[str, list[float | None]]:
        """The points of a variant, oldest first, a list for each figure."""
        points = self._lines[variant].points if variant in self._lines else ()
        return {name: [_finite(point[name]) for point in points] for name in ("rate", "error_rate", "p99")}


def _finite(value: Any) -> float | None:
    return None if value is None or value == float("inf") else float(value)
