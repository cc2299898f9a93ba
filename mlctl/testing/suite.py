"""Public API: the rules of kinds as a pytest class. Derive a class of your own from `KindConformance`, with a kind and a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from mlctl.provider import Context, Kind
from mlctl.testing.case import Case, Edit, Then
from mlctl.testing.conformance import REMOVED
from mlctl.testing.rules import Findings, Rule

__all__ = ["REMOVED", "Case", "Edit", "KindConformance", "Then"]


class KindConformance:
    """One case of one kind: lived through once, with the real tool, and reported rule by rule.

    class TestCatalogEntry(KindConformance):
        kind = CatalogEntry

        def case(self, ctx):
            return Case("catalog_entries.trips", {...}, [Edit(...), ...])
    """

    kind: ClassVar[Callable[[], Kind]]
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def case(self, ctx: Context) -> Case:
        """The block to apply, and an edit of each of its fields. `ctx` is the project folder of the trial."""
        raise NotImplementedError

    @pytest.mark.parametrize("rule", Rule, ids=lambda rule: rule.name.lower())
    def test_rule(self, rule: Rule, mlctl_findings: Findings) -> None:
        """One rule of docs/guides/providers.md."""
        findings = mlctl_findings
        problems = list(findings.of(rule))
        if problems:
            lines = [f"this rule of kinds is broken: {rule}", *(f"  - {problem}" for problem in problems)]
            raise AssertionError("\n".join(lines)) from findings.cause
        if rule not in findings.reached:
            if rule is Rule.ADOPTS and not findings.problems:
                importable = hasattr(type(self).kind, "adopt")
                pytest.skip("the case says no `found`" if importable else "the kind is not Importable")
            pytest.skip("not reached: another rule is broken")
