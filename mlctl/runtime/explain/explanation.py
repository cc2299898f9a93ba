"""One explanation: the parts of a score, and whether they add up to it. One that does not is told as such, without its parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IDENTITY, LOGIT = "identity", "logit"  # what turns the sum of the parts into the score
_SMALLEST = 1e-9


@dataclass(frozen=True)
class Explained:
    """What an explainer gives: where it starts from, and what each feature adds, on the scale of `link`."""

    base: float
    values: Mapping[str, float]
    link: str = IDENTITY

    @property
    def sum(self) -> float:
        """What the parts come to, as a score."""
        total = self.base + math.fsum(self.values.values())
        return total if self.link == IDENTITY else _probability(total)


def line(row: Mapping[str, Any], explained: Explained, score: float, tolerance: float) -> dict[str, Any]:
    """What is kept of an explanation of a row of the prediction log."""
    residual = explained.sum - score
    start = explained.base if explained.link == IDENTITY else _probability(explained.base)
    size = max(abs(score), abs(start), _SMALLEST)  # of a rare event the score is tiny, and the parts lead down to it
    off = not math.isfinite(residual) or abs(residual) > tolerance * size
    told: dict[str, Any] = {
        "request_id": row["request_id"], "trace_id": row.get("trace_id"), "deployment": row.get("deployment"),
        "model": row.get("model"), "version": row.get("version"), "key": row.get("key"), "score": score,
        "base": explained.base, "link": explained.link, "values": None if off else dict(explained.values),
        "residual": residual if math.isfinite(residual) else None, "tolerance": tolerance, "refused": None,
    }  # fmt: skip
    if off:
        told["refused"] = f"the parts add up to {explained.sum:.6g}, and the score is {score:.6g}"
    return told


def failed(row: Mapping[str, Any], why: str) -> dict[str, Any]:
    """What is kept of a prediction that could not be explained."""
    named = ("request_id", "trace_id", "deployment", "model", "version", "key", "score")
    return {**{name: row.get(name) for name in named}, "values": None, "refused": why}


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
