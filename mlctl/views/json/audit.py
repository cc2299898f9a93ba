"""Audits and maturity as lines of `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlctl.audit.finding import Finding
from mlctl.audit.maturity.levels import Reached
from mlctl.audit.maturity.score import Score
from mlctl.audit.report import Audit
from mlctl.types.diagnostic import Diagnostic
from mlctl.views.json.diagnostics import to_json


def finding_line(finding: Finding, diagnostic: Diagnostic) -> dict[str, Any]:
    """A line of one finding."""
    return {
        "type": "audit_finding",
        "id": finding.pattern.id,
        "name": finding.pattern.name,
        "severity": finding.severity.value,
        "says": finding.says,
        "evidence": list(finding.evidence),
        "fix": finding.fix,
        "waived": finding.waived,
        "address": None if finding.address is None else str(finding.address),
        "range": to_json(diagnostic)["range"],
    }


def summary_line(made: Audit) -> dict[str, Any]:
    """The last line of an audit."""
    return {
        "type": "audit",
        "errors": len(made.errors),
        "warnings": len(made.warnings),
        "waived": sum(bool(item.waived) for item in made.findings),
        "present": [pattern.id for pattern in made.patterns if not made.clean(pattern)],
        "absent": [pattern.id for pattern in made.patterns if made.clean(pattern)],
    }


def maturity_line(scales: Sequence[Reached], points: Score) -> dict[str, Any]:
    """The line of `maturity`."""
    return {
        "type": "maturity",
        "levels": [
            {
                "scale": item.scale,
                "level": item.level.number,
                "of": item.of,
                "name": item.level.name,
                "failing": None
                if item.failing is None or item.seen is None
                else {"check": item.failing.name, "evidence": item.seen.evidence, "command": item.failing.command},
            }
            for item in scales
        ],
        "score": points.final,
        "band": points.band,
        "sections": points.sections,
        "tests": [
            {"section": item.section, "check": item.check.name, "points": item.points, "evidence": item.evidence}
            for item in points.points
        ],
    }
