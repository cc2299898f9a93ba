"""One checker for all engines: it compiles the rules into one pass over the table, a second for what hangs on the first, and
a query each for uniqueness, foreign keys and queries of one's own. Verdicts are made here alone, whatever runs the SQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from mlctl.runtime.checks import sql
from mlctl.runtime.checks.checker_outliers import FenceCheck, IsolationCheck
from mlctl.runtime.checks.checker_rows import ForeignKeyCheck, NotNullCheck, UniqueCheck, ValueCheck
from mlctl.runtime.checks.checker_rule import RuleCheck, Scene
from mlctl.runtime.checks.checker_table import (
    DistributionCheck,
    FreshnessCheck,
    RowCountCheck,
    SchemaCheck,
    SchemaDriftCheck,
    SqlCheck,
)
from mlctl.runtime.checks.verdict import NO_VALUES, Verdict, failed
from mlctl.types.jobs import checks as rules_of
from mlctl.types.jobs.checks import Expectation, Outliers, Rule

_CHECKS: Mapping[type[Rule], type[RuleCheck]] = {
    rules_of.NotNull: NotNullCheck,
    rules_of.Range: ValueCheck,
    rules_of.Set: ValueCheck,
    rules_of.Regex: ValueCheck,
    rules_of.Length: ValueCheck,
    rules_of.Unique: UniqueCheck,
    rules_of.Schema: SchemaCheck,
    rules_of.SchemaDrift: SchemaDriftCheck,
    rules_of.ForeignKey: ForeignKeyCheck,
    rules_of.Distribution: DistributionCheck,
    rules_of.Freshness: FreshnessCheck,
    rules_of.RowCount: RowCountCheck,
    rules_of.Sql: SqlCheck,
}
PARTS_PER_PASS = 4000  # aggregates of one query; a table of ten thousand columns takes several


class Library(Protocol):
    """What judges some of the rules itself, all at once: Great Expectations."""

    def takes(self, check: RuleCheck) -> bool:
        """Whether it judges this rule; the checker then counts nothing for it."""
        ...

    def judge(self, checks: Mapping[int, RuleCheck], rows: int) -> Mapping[int, Verdict]:
        """The verdict of each of these rules, by number."""
        ...


class ExpectationCheck(RuleCheck):
    """A rule of Great Expectations: here only whether there is anything for it to look at."""

    rule: Expectation

    def impossible(self) -> str:
        """One about whether a column exists says so itself."""
        return "" if self.rule.name == "expect_column_to_exist" else super().impossible()

    def first(self) -> Mapping[str, str]:
        """Values of each column, unless it is about nulls."""
        if self.rule.null_aware:
            return {}
        return {self.alias("e", i): sql.counted(name, self.scene.columns) for i, name in enumerate(self.rule.columns)}

    def empty(self, found: Mapping[str, Any]) -> bool:
        """Whether a column that it looks at has no value at all."""
        return any(found.get(self.alias("e", i)) == 0 for i, _ in enumerate(self.rule.columns))

    def verdict(self, found: Mapping[str, Any], rows: int) -> Verdict:
        """Only the library knows; a `Library` takes every expectation, so that nobody asks here."""
        raise TypeError(f"`{self.name}` is judged by Great Expectations alone")


class Checker:
    """One dataset under examination. After `judge`, `timings` says how many seconds each pass and each rule's own queries took."""

    def __init__(self, scene: Scene, library: Library, progress: Callable[[str, int, int], None]) -> None:
        self.scene = scene
        self.library = library
        self.progress = progress
        self.timings: dict[str, float] = {}

    def judge(self, names: Sequence[str], rules: Sequence[Rule]) -> tuple[int, list[Verdict]]:
        """How many rows there are, and the verdict on each rule, in order."""
        both = zip(names, rules, strict=True)
        checks = [make_check(number, name, rule, self.scene) for number, (name, rule) in enumerate(both)]
        verdicts = {
            check.number: failed(check.name, check.named, reason) for check in checks if (reason := check.impossible())
        }
        possible = [check for check in checks if check.number not in verdicts]
        taken = {check.number: check for check in possible if self.library.takes(check)}
        counted = [check for check in possible if check.number not in taken or isinstance(check, ExpectationCheck)]
        total = len(checks)
        unfit = {check.number: name for check in checks if check.number in verdicts and (name := self._column(check))}
        extra = {f"u{number}": sql.counted(name, self.scene.columns) for number, name in unfit.items()}
        first = {"rows": "count(*)"} | _merged(check.first() for check in counted) | extra
        found = self._pass("first pass", first, total)
        rows = int(found["rows"])
        for number in unfit:
            if found[f"u{number}"] == 0:  # whatever its type is: in a text file a column without values is text
                verdicts[number].reason = NO_VALUES
        if not rows:
            reason = "the dataset has no rows, and no data never passes"
            verdicts = {check.number: failed(check.name, check.named, reason) for check in checks}
        else:
            found |= self._pass("second pass", _merged(check.second(found) for check in counted), total)
            own = [check for check in possible if check.number not in taken]
            verdicts |= self._own(own, found, rows, len(verdicts), total)
            verdicts |= self._of_library(taken, found, rows, len(verdicts), total)
        for check in checks:
            verdicts[check.number].severity = check.rule.severity
        return rows, [verdicts[check.number] for check in checks]

    def _column(self, check: RuleCheck) -> str | None:
        """The column of a rule about the values of one, where there is such a column."""
        name = check.rule.column if isinstance(check, ValueCheck) else None
        return name if name in self.scene.columns else None

    def _pass(self, title: str, parts: Mapping[str, str], total: int) -> dict[str, Any]:
        """One pass over the table for all aggregates."""
        found: dict[str, Any] = {}
        began = time.monotonic()
        for portion in _portions(parts):
            self.progress(title, 0, total)
            found |= self.scene.executor.one(sql.table_query(self.scene.table, portion))
        self.timings[title.replace(" ", "_")] = time.monotonic() - began
        return found

    def _own(
        self, checks: Sequence[RuleCheck], found: Mapping[str, Any], rows: int, done: int, total: int
    ) -> dict[int, Verdict]:
        """The verdicts that are made here, with the queries that rules make on their own."""
        verdicts: dict[int, Verdict] = {}
        for check in checks:
            self.progress(check.name, done + len(verdicts), total)
            began = time.monotonic()
            verdicts[check.number] = self._sampled(check.verdict(found, rows), once=isinstance(check, UniqueCheck))
            self.timings[f"rule {check.number + 1}"] = time.monotonic() - began
        return verdicts

    def _of_library(
        self, checks: Mapping[int, RuleCheck], found: Mapping[str, Any], rows: int, done: int, total: int
    ) -> dict[int, Verdict]:
        """The verdicts of Great Expectations, which is asked once. An expectation that has nothing to look at never passes."""
        verdicts = {
            number: failed(check.name, check.named, NO_VALUES)
            for number, check in checks.items()
            if isinstance(check, ExpectationCheck) and check.empty(found)
        }
        left = {number: check for number, check in checks.items() if number not in verdicts}
        if left:
            self.progress("Great Expectations", done + len(verdicts), total)
            began = time.monotonic()
            verdicts |= self.library.judge(left, rows)
            self.timings["great_expectations"] = time.monotonic() - began
        return verdicts

    def _sampled(self, verdict: Verdict, *, once: bool) -> Verdict:
        """With the keys of some offending rows; each key `once` where the rows are offending because they share it."""
        if not verdict.passed and verdict.failing_rows and verdict.where and not verdict.sample:
            scene = self.scene
            query = sql.sample_query(scene.table, verdict.where, scene.key, scene.columns, once=once)
            verdict.sample = scene.executor.many(query)
        return verdict


def make_check(number: int, name: str, rule: Rule, scene: Scene) -> RuleCheck:
    """What examines a rule."""
    if isinstance(rule, Expectation):
        return ExpectationCheck(number, name, rule, scene)
    if isinstance(rule, Outliers):
        return (IsolationCheck if rule.method == "isolation_forest" else FenceCheck)(number, name, rule, scene)
    return _CHECKS[type(rule)](number, name, rule, scene)


def _merged(each: Iterator[Mapping[str, str]]) -> dict[str, str]:
    return {alias: part for parts in each for alias, part in parts.items()}


def _portions(parts: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    items = list(parts.items())
    return (dict(items[start : start + PARTS_PER_PASS]) for start in range(0, len(items), PARTS_PER_PASS))
