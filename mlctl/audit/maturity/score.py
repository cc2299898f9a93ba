"""The ML Test Score: 28 tests in four sections; each counts 1 when it is automatic and ½ when a person vouches for it.

The score is the smallest of the sections' sums. Source: Breck, Cai, Nielsen, Salib, Sculley 2017, The ML Test Score: A Rubric
for ML Production Readiness and Technical Debt Reduction.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlctl.audit.case import Case
from mlctl.audit.maturity import data, infrastructure, model, monitoring
from mlctl.audit.maturity.check import Check

SECTIONS = {
    "data": data.CHECKS,
    "model": model.CHECKS,
    "infrastructure": infrastructure.CHECKS,
    "monitoring": monitoring.CHECKS,
}
_AUTOMATIC, _BY_HAND = 1.0, 0.5
_BANDS = (  # the greatest score of each, and the authors' word for it, shortened
    (0.0, "research"),
    (1.0, "not totally untested"),
    (2.0, "a first pass at production"),
    (3.0, "reasonably tested"),
    (5.0, "strongly tested and monitored"),
)
_ABOVE = "exceptionally tested and monitored"


@dataclass(frozen=True, slots=True)
class Point:
    """One test: what it counts, and why."""

    section: str
    check: Check
    points: float
    evidence: str


@dataclass(frozen=True)
class Score:
    """All 28, and what follows."""

    points: tuple[Point, ...]

    @property
    def sections(self) -> dict[str, float]:
        """The sum of each section."""
        return {name: sum(item.points for item in self.points if item.section == name) for name in SECTIONS}

    @property
    def final(self) -> float:
        """The smallest of the sums."""
        return min(self.sections.values())

    @property
    def band(self) -> str:
        """What the authors say of such a score."""
        return next((text for most, text in _BANDS if self.final <= most), _ABOVE)


def score(case: Case) -> Score:
    """Look at each test."""
    return Score(tuple(_point(case, section, check) for section, checks in SECTIONS.items() for check in checks))


def _point(case: Case, section: str, check: Check) -> Point:
    seen = None if check.look is None else check.look(case)
    if seen is not None and seen.passed:
        return Point(section, check, _AUTOMATIC, seen.evidence)
    told = "only a person can vouch for it" if seen is None else seen.evidence
    for item in case.settings.attest:
        if item.check == check.name:
            if item.on <= case.now.date() <= item.until:
                return Point(section, check, _BY_HAND, f"{item.by} on {item.on}: {item.evidence}")
            told = f"attested by {item.by} until {item.until}, which is over"
    return Point(section, check, 0.0, told)
