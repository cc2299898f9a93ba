"""What a gate says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Says(StrEnum):
    """Inconclusive is not a pass: the rollout stays where it is."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric of a gate: what it is for both sides, the bound, and what follows."""

    metric: str
    says: Says
    why: str  # "error_rate 3.1 % against 1.0 % of the baseline: more than the margin of 0.2 points (p = 0.0004)"
    candidate: float | None = None
    baseline: float | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of a whole gate: the worst of its findings."""

    says: Says
    why: str
    findings: tuple[Finding, ...] = ()
    requests: int = 0
    baseline_requests: int = 0
