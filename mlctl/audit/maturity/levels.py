"""The two scales of levels that the field speaks of, decided by checks. A level is reached when all of its checks, and of those below, pass.

Sources: Google Cloud, MLOps: Continuous delivery and automation pipelines in machine learning (levels 0 to 2); Microsoft Azure,
Machine Learning operations maturity model (levels 0 to 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from mlctl.audit.case import Case
from mlctl.audit.maturity import infrastructure, model, monitoring
from mlctl.audit.maturity.check import Check, Seen
from mlctl.audit.maturity.data import CHECKS as DATA
from mlctl.audit.maturity.loop import CLOSED

_KNOWN = {
    check.name: check for checks in (DATA, model.CHECKS, infrastructure.CHECKS, monitoring.CHECKS) for check in checks
}
_TRAINED = Check(
    "trained",
    "Models are trained by the project, and registered",
    "add `training` and `evaluations`",
    infrastructure.registered,
)
_DEPLOYED = Check("deployed", "Models are deployed by apply", "mlctl apply", infrastructure.deployed)
_WATCHED = Check("watched", "Each deployment has a monitor", "add `monitors`", monitoring.watched)


@dataclass(frozen=True, slots=True)
class Level:
    """One level: its number, its name, and what it takes."""

    number: int
    name: str
    checks: tuple[Check, ...] = ()


GOOGLE = (
    Level(0, "manual process"),
    Level(1, "ML pipeline automation", (_TRAINED, _KNOWN["schema"], _KNOWN["quality-gate"], _DEPLOYED, _KNOWN["age"])),
    Level(2, "CI/CD pipeline automation", (_KNOWN["integration-test"], _KNOWN["reviewed"], _WATCHED)),
)
MICROSOFT = (
    Level(0, "no MLOps"),
    Level(1, "DevOps but no MLOps", (_KNOWN["reviewed"], _KNOWN["integration-test"])),
    Level(2, "automated training", (_TRAINED, _KNOWN["schema"], _KNOWN["reproducible"])),
    Level(3, "automated model deployment", (_DEPLOYED, _KNOWN["quality-gate"], _KNOWN["rollback"])),
    Level(4, "full MLOps automated operations", (_WATCHED, _KNOWN["age"], CLOSED)),
)
SCALES = {"Google": GOOGLE, "Microsoft": MICROSOFT}


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a project stands on a scale, and the first thing that keeps it from the next level."""

    scale: str
    level: Level
    of: int
    next: Level | None
    failing: Check | None
    seen: Seen | None


def reached(case: Case, scale: str) -> Reached:
    """Go up until a check fails."""
    levels = SCALES[scale]
    for below, level in pairwise(levels):
        for check in level.checks:
            seen = check.look(case) if check.look is not None else Seen(False, "")
            if not seen.passed:
                return Reached(scale, below, levels[-1].number, level, check, seen)
    return Reached(scale, levels[-1], levels[-1].number, None, None, None)
