"""What every rule has to say for itself while a dataset is checked: what to count in each pass, and what the counts mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlctl.runtime.checks import sql
from mlctl.runtime.checks.executor import Executor
from mlctl.runtime.checks.verdict import Verdict, missing_column
from mlctl.types.jobs.contract import DataContract

Counts = Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """The dataset under examination, and what it is held against."""

    executor: Executor
    dataset: str
    table: str  # the view of the dataset, quoted
    key: Sequence[str]
    timestamp: str | None
    contract: DataContract | None
    now: datetime  # of the whole check, with its zone
    step: Callable[[str], None] = lambda text: None  # told of what takes long within one rule

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns of the dataset in order, and their types."""
        return self.executor.columns


class RuleCheck(ABC):
    """One rule under examination. The checker asks in this order: `impossible`, `first`, `second`, `verdict`.

    Aliases of aggregates hold the rule's number, so that those of all rules stand side by side in one query.
    """

    def __init__(self, number: int, name: str, rule: Any, scene: Scene) -> None:
        self.number = number
        self.name = name
        self.rule = rule
        self.scene = scene

    @property
    def named(self) -> list[str]:
        """The columns of the dataset that the rule names."""
        column = getattr(self.rule, "column", None)
        return [column] if isinstance(column, str) else list(getattr(self.rule, "columns", ()))

    def impossible(self) -> str:
        """Why it fails whatever the values are, or nothing: columns that are missing, or of a type that it says nothing of."""
        absent = [name for name in self.named if name not in self.scene.columns]
        return "; ".join(missing_column(name, self.scene.columns) for name in absent) or self.unfit()

    def unfit(self) -> str:
        """The same, of columns that are all there."""
        return ""

    def first(self) -> Mapping[str, str]:
        """What the first pass over the table counts for it: aggregates by alias."""
        return {}

    def second(self, found: Counts) -> Mapping[str, str]:
        """What the second pass counts, for a rule whose condition hangs on what the first has found."""
        return {}

    @abstractmethod
    def verdict(self, found: Counts, rows: int) -> Verdict:
        """What came of it, from the counts of both passes and from queries of its own. There is at least one row."""

    def alias(self, letter: str, part: int | None = None) -> str:
        """The alias of an aggregate of this rule."""
        return f"{letter}{self.number}" if part is None else f"{letter}{self.number}_{part}"

    def failing(self, where: str) -> int:
        """How many rows meet a condition, by a query of its own."""
        return int(self.scene.executor.one(sql.failing_query(self.scene.table, where))["failing"] or 0)
