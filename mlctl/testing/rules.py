"""The rules that every kind keeps, in the order in which a trial comes to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Rule(StrEnum):
    """One rule. Its value is the sentence that a report shows."""

    DECLARED = "it declares itself as a kind should"
    STRICT = "its spec refuses typos and reads back from the state as it was"
    COVERED = "every field of its spec is edited by the case"
    LIGHT = "importing it imports no tool"
    CHECKED = "check accepts the block of the case"
    KEYED = "its parts are texts, and the same when asked twice"
    MADE = "apply makes one object"
    STORABLE = "ids, outputs and specs can be stored, and the project moved"
    SETTLED = "after an apply nothing is left to do"
    LOOKS = "read writes nothing"
    REPEATABLE = "an apply that was cut off ends in the same object"
    TOLERANT = "incomplete records are answered, and only MlctlError leaves it"
    DRIFT = "what read reports shows as drift when it is changed"
    EDITS = "every edit does what the case says, and can be undone"
    DELETES = "delete removes what apply made, whole or cut off, once or twice"
    SAME_ANEW = "removed and made again, it is the same"
    ADOPTS = "it takes over what exists, changes nothing of it, and refuses what does not"


@dataclass
class Findings:
    """What came of a trial: what is wrong by rule, and which rules it got as far as."""

    problems: list[tuple[Rule, str]] = field(default_factory=list)
    reached: set[Rule] = field(default_factory=set)
    cause: BaseException | None = None

    def say(self, rule: Rule, problem: str) -> None:
        """Note a problem, once."""
        self.reached.add(rule)
        if (rule, problem) not in self.problems:
            self.problems.append((rule, problem))

    def of(self, rule: Rule) -> Iterator[str]:
        """What is wrong by one rule."""
        return (problem for found, problem in self.problems if found is rule)
