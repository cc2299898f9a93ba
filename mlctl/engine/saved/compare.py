"""What came in, fell out, or changed its mind between two plans; and which values of the configuration differ."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mlctl.engine.saved.file import SavedPlan
from mlctl.engine.saved.staleness import Difference, differences
from mlctl.types.change import Plan
from mlctl.types.value import Json


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences of two plans: `steps` by resource, `values` by name (old, new), `lines` of changed files as a diff."""

    steps: list[Difference]
    values: dict[str, tuple[Json, Json]]
    lines: list[str]

    @property
    def same(self) -> bool:
        """Whether there are none."""
        return not (self.steps or self.values or self.lines)


def compare(before: SavedPlan, plan: Plan, now: SavedPlan) -> Comparison:
    """Hold a plan that was just made against an earlier one."""
    values = {
        name: (before.values.get(name), now.values.get(name))
        for name in sorted(before.values.keys() | now.values.keys())
        if before.values.get(name) != now.values.get(name)
    }
    lines: list[str] = []
    for name in sorted(before.texts.keys() | now.texts.keys()):
        old, new = before.texts.get(name, ""), now.texts.get(name, "")
        if old != new:
            found = difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm="", n=1)
            lines += found
    return Comparison(differences(before.plan, plan), values, lines)
