"""Make an audit: every anti-pattern asked, waivers laid over what they find."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mlctl.audit.antipatterns import CHECKS
from mlctl.audit.case import Case
from mlctl.audit.finding import Finding, Pattern
from mlctl.audit.settings import Waiver
from mlctl.types.diagnostic import Diagnostic, Severity

Check = Callable[[Case], Iterable[Finding]]
OVERDUE = Pattern("A0", "waiver over", "what was let pass for a while has become how things are")
AIMLESS = Pattern("A0", "waiver of nothing", "whoever wrote it believes that something is let pass")


@dataclass(frozen=True)
class Audit:
    """All findings, those of one anti-pattern beside each other, and which were asked for."""

    patterns: tuple[Pattern, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """What fails the audit."""
        return [item for item in self.findings if item.severity is Severity.ERROR and not item.waived]

    @property
    def warnings(self) -> list[Finding]:
        """What does not fail it, and should be looked at."""
        return [item for item in self.findings if item.severity is Severity.WARNING and not item.waived]

    def of(self, pattern: Pattern) -> list[Finding]:
        """The findings of one anti-pattern."""
        return [item for item in self.findings if item.pattern.id == pattern.id]

    def clean(self, pattern: Pattern) -> bool:
        """Whether nothing was found that is not let pass."""
        return all(item.waived for item in self.of(pattern))


def audit(case: Case) -> Audit:
    """Ask everything. Quick: it reads the state, the ledger, and a few small files beside."""
    found = [item for _, check in CHECKS for item in check(case)]
    laid = [_waive(item, case) for item in found]
    return Audit(tuple(pattern for pattern, _ in CHECKS), (*laid, *_overdue(case), *_aimless(case)))


def diagnostics(made: Audit, case: Case) -> list[Diagnostic]:
    """The findings as diagnostics with their places in the project's files."""
    told = []
    for item in made.findings:
        diagnostic = item.diagnostic()
        told.append(diagnostic if item.address is None else case.project.located(item.address, diagnostic))
    return told


def _waive(finding: Finding, case: Case) -> Finding:
    today = case.now.date()
    for waiver in case.settings.waive:
        if waiver.id == finding.pattern.id and waiver.until >= today and _covers(waiver, finding):
            return replace(finding, waived=f"waived by {waiver.by} until {waiver.until}: {waiver.why}")
    return finding


def _covers(waiver: Waiver, finding: Finding) -> bool:
    return _matches(waiver, str(finding.address or ""))


def _matches(waiver: Waiver, address: str) -> bool:
    parts = (".*" if letter == "*" else "." if letter == "?" else re.escape(letter) for letter in waiver.address)
    return re.fullmatch("".join(parts), address, re.DOTALL) is not None


def _overdue(case: Case) -> Sequence[Finding]:
    """Waivers whose day is over: each has to be renewed or removed by somebody."""
    today = case.now.date()
    return [
        Finding(
            OVERDUE,
            Severity.ERROR,
            f"the waiver of {waiver.id} for `{waiver.address}` ended on {waiver.until}",
            (f"audit.waive[{index}]: by {waiver.by}: {waiver.why}",),
            "mend what it let pass and remove it, or give it a new `until`",
        )
        for index, waiver in enumerate(case.settings.waive)
        if waiver.until < today
    ]


def _aimless(case: Case) -> Sequence[Finding]:
    """Waivers for resources that the project does not have: mistyped, or of what was removed."""
    names = ["", *map(str, case.subjects)]
    return [
        Finding(
            AIMLESS,
            Severity.WARNING,
            f"the waiver of {waiver.id} is for `{waiver.address}`, which is the address of no resource",
            (f"audit.waive[{index}]: by {waiver.by}: {waiver.why}",),
            "correct its `address`, for example `deployments.*`, or remove it",
        )
        for index, waiver in enumerate(case.settings.waive)
        if not any(_matches(waiver, name) for name in names)
    ]
