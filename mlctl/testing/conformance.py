"""Public API: the rules that every kind keeps, checked with its real tool. Call `check_kind` from a test of your kind.

A rule stands here because the engine relies on it: break one, and a plan is wrong, a crash leaves an orphan, or a
removed block leaves its object behind. What this kit cannot know is whether the object does its work; that is for your
own tests. With pytest, `mlctl.testing.suite.KindConformance` reports each rule as a test of its own.
"""

from __future__ import annotations

from mlctl.provider import Context, Kind
from mlctl.testing.case import Case, Edit, Then
from mlctl.testing.declarations import REMOVED, declaration_problems
from mlctl.testing.rules import Findings, Rule
from mlctl.testing.trial import Trial

__all__ = ["REMOVED", "Case", "Edit", "Findings", "Rule", "Then", "check_kind", "examine"]


def check_kind(kind: Kind, case: Case, ctx: Context) -> None:
    """Raise AssertionError with every rule that the kind breaks. What was made is removed again, whatever happens.

    The first apply of the case, one more after a removal, and one for each edit in place run the real tool.
    """
    found = examine(kind, case, ctx)
    if found.problems:
        lines = [
            f"{type(kind).__name__} breaks {len(found.problems)} of the rules of kinds (docs/guides/providers.md):"
        ]
        raise AssertionError("\n".join([*lines, *(f"  - {problem}" for _, problem in found.problems)])) from found.cause


def examine(kind: Kind, case: Case, ctx: Context) -> Findings:
    """The same as `check_kind`, as a report by rule. A kind that declares itself wrongly is not tried at all."""
    found = Findings()
    found.reached |= {Rule.DECLARED, Rule.STRICT, Rule.COVERED, Rule.LIGHT}
    for rule, problem in declaration_problems(kind, case.address, case.values, [edit.path for edit in case.edits]):
        found.say(rule, problem)
    if not found.problems:
        Trial(kind, case, ctx, found).live()
    return found
