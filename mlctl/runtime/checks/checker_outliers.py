"""Outliers: values beyond the fences of their own column, and rows that stand alone in the space of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

from mlctl.runtime.checks import outliers, sql
from mlctl.runtime.checks.checker_rows import ColumnShares
from mlctl.runtime.checks.checker_rule import Counts, RuleCheck
from mlctl.runtime.checks.executor import Rowwise
from mlctl.runtime.checks.outliers import Fences
from mlctl.runtime.checks.verdict import Verdict, of_rows
from mlctl.runtime.profile.types import NUMBERS, family, value
from mlctl.types.jobs.checks import Outliers


class FenceCheck(ColumnShares):
    """Standard deviations from the mean (`z_score`), or interquartile ranges from the quartiles (`iqr`)."""

    what: ClassVar[str] = "are outliers"
    rule: Outliers
    fences: Mapping[str, Fences] = {}

    def unfit(self) -> str:
        """Only numbers can lie far out."""
        return _no_numbers(self)

    def first(self) -> Mapping[str, str]:
        """Values of each column, those that are finite, and their mean and deviation."""
        parts = {}
        for i, name in enumerate(self.rule.columns):
            found = self.scene.columns[name]
            item = outliers.ordinary(name, found)
            parts[self.alias("c", i)] = sql.counted(name, self.scene.columns)
            if self.rule.method == "iqr":
                parts[self.alias("k", i)] = f"count({item})"
            else:
                parts |= {self.alias("m", i): f"avg({item})", self.alias("s", i): f"stddev_samp({item})"}
        if len(self.rule.columns) > 1:
            present = (f"{value(name, self.scene.columns[name])} IS NOT NULL" for name in self.rule.columns)
            parts[self.alias("u")] = sql.count_if(sql.any_of(present))
        return parts

    def second(self, found: Counts) -> Mapping[str, str]:
        """Values beyond the fences, which are known only now."""
        self.fences = {name: self._fences(i, name, found) for i, name in enumerate(self.rule.columns)}
        return self.counting()

    def offends(self, column: str) -> str:
        """A value beyond the fences of its column."""
        return self.fences[column].outside(column, self.scene.columns[column])

    def values(self, part: int, found: Counts, rows: int) -> int:
        """Those that are not null."""
        return int(found[self.alias("c", part)])

    def looked_at(self, found: Counts, rows: int) -> int:
        """Rows with a value in any of the columns."""
        return int(found[self.alias("u")]) if len(self.rule.columns) > 1 else self.values(0, found, rows)

    def _fences(self, i: int, name: str, found: Counts) -> Fences:
        if self.rule.method == "z_score":
            return outliers.around_mean(found[self.alias("m", i)], found[self.alias("s", i)], self.rule.limit)
        item, count = outliers.ordinary(name, self.scene.columns[name]), int(found[self.alias("k", i)])
        first, third = outliers.quartiles(self.scene.executor, self.scene.table, item, count)
        return outliers.around_quartiles(first, third, self.rule.limit)


class IsolationCheck(RuleCheck):
    """Rows that few random cuts set apart from all others."""

    rule: Outliers

    def unfit(self) -> str:
        """Only numbers can lie far out."""
        return _no_numbers(self)

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """By the scores of all rows that have a value in every column."""
        columns = {name: self.scene.columns[name] for name in self.rule.columns}
        executor = cast("Rowwise", self.scene.executor)  # others are refused when the project is validated
        checked, failing, where = outliers.lonely(
            executor, self.scene.table, columns, rows, self.rule.limit, str(self.number), self._scored
        )
        what = f"stand alone (score above {self.rule.limit:g})"
        verdict = of_rows(self.name, self.rule.columns, checked, failing, self.rule.max_ratio, what)
        if not checked:
            verdict.reason = "no values: no row has one in every column"
        verdict.where = where
        return verdict

    def _scored(self, rows: int) -> None:
        self.scene.step(f"{self.name}: scored {rows:,} rows")


def _no_numbers(check: RuleCheck) -> str:
    columns = check.scene.columns
    others = [
        f"`{name}` is {columns[name]}, and no number" for name in check.named if family(columns[name]) not in NUMBERS
    ]
    return "; ".join(others)
