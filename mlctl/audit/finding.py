"""What an audit finds: which anti-pattern, where, how bad, the evidence for it, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass

from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, Severity


@dataclass(frozen=True, slots=True)
class Pattern:
    """One anti-pattern."""

    id: str
    name: str
    harm: str  # what comes of it


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a project has an anti-pattern. `evidence` is `what: value`, as it stands in spec, state or ledger."""

    pattern: Pattern
    severity: Severity
    says: str
    evidence: tuple[str, ...]
    fix: str
    address: Address | None = None
    path: tuple[str | int, ...] = ()
    waived: str = ""  # by whom, until when, why

    def diagnostic(self) -> Diagnostic:
        """As a diagnostic without its place, which the project knows."""
        name = self.pattern.name.replace(" ", "-").replace("/", "-").lower()
        return Diagnostic(
            f"audit.{self.pattern.id.lower()}-{name}",
            self.says,
            "; ".join([*self.evidence, self.waived] if self.waived else self.evidence),
            self.fix,
            Severity.WARNING if self.waived else self.severity,
            address="" if self.address is None else str(self.address),
            path=self.path,
        )
