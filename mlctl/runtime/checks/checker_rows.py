"""Rules about rows: each row, or each value in it, keeps the rule or breaks it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from mlctl.runtime.checks import sql
from mlctl.runtime.checks.checker_rule import Counts, RuleCheck
from mlctl.runtime.checks.executor import Refused
from mlctl.runtime.checks.verdict import Verdict, missing_column, of_rows, share
from mlctl.runtime.profile.database import literal
from mlctl.runtime.profile.types import NUMBERS, family
from mlctl.types.jobs.checks import ForeignKey, Length, NotNull, Range, Regex, Set, Unique


class ColumnShares(RuleCheck):
    """A rule that several columns are held to one by one; its failing rows break it in any column that is over the limit."""

    what: ClassVar[str]  # what the offending rows do, in the sentence about one column

    @abstractmethod
    def offends(self, column: str) -> str:
        """The condition of a row that breaks it in this column."""

    @abstractmethod
    def values(self, part: int, found: Counts, rows: int) -> int:
        """How many rows are looked at in a column."""

    def looked_at(self, found: Counts, rows: int) -> int:
        """How many rows are looked at in any of the columns."""
        return rows

    def counting(self) -> Mapping[str, str]:
        """How many rows break it, in each column (`n`) and in any (`f`)."""
        each = [self.offends(name) for name in self.named]
        parts = {self.alias("n", i): sql.count_if(condition) for i, condition in enumerate(each)}
        return parts | ({self.alias("f"): sql.count_if(sql.any_of(each))} if len(each) > 1 else {})

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """Each column is held to the limit on its own, of the values that are looked at in it."""
        allowed, names = self.rule.max_ratio, self.named
        checked = {name: self.values(i, found, rows) for i, name in enumerate(names)}
        empty = [name for name in names if not checked[name]]
        if empty:
            inside = f" in {', '.join(empty)}" if len(names) > 1 else ""
            reason = f"no values: every row is null there{inside}"
            return Verdict(self.name, empty, False, 0, 0, None, reason=reason)
        broken = {name: int(found[self.alias("n", i)] or 0) for i, name in enumerate(names)}
        over = [name for name in names if broken[name] / checked[name] > allowed]
        most = self.looked_at(found, rows)
        failing = int(found[self.alias("f")] or 0) if len(names) > 1 else broken[names[0]]
        where = sql.any_of(self.offends(name) for name in over or names)
        if over and len(over) < len(names):
            failing = self.failing(where)
        verdict = Verdict(self.name, over or names, not over, most, failing, failing / most, where=where)
        if over:
            verdict.reason = self._sentence(over, broken, checked)
        return verdict

    def _sentence(self, over: list[str], broken: Mapping[str, int], checked: Mapping[str, int]) -> str:
        each = [
            f"{broken[name]:,} of {checked[name]:,} rows ({share(broken[name] / checked[name])}) {self.what}"
            + (f" in {name}" if len(over) > 1 else "")
            for name in over
        ]
        limit = f", at most {share(self.rule.max_ratio)} may be" if self.rule.max_ratio else ""
        return ", ".join(each) + limit


class NotNullCheck(ColumnShares):
    """Nulls, and NaN in a float column."""

    what = "are null"

    def offends(self, column: str) -> str:
        """A null in it."""
        return sql.offending(NotNull(columns=[column]), self.scene.columns)

    def values(self, part: int, found: Counts, rows: int) -> int:
        """Every row."""
        return rows

    def first(self) -> Mapping[str, str]:
        """Nulls of each column and of any."""
        return self.counting()


class ValueCheck(RuleCheck):
    """A rule about the values of one column, all of whose types it can be put to in SQL."""

    rule: Range | Set | Regex | Length

    def unfit(self) -> str:
        """A type that its bounds, members or pattern cannot be compared with."""
        rule, found = self.rule, self.scene.columns[self.rule.column]
        if isinstance(rule, Regex | Length) and family(found) != "text":
            return f"`{rule.column}` is {found}, and not text"
        if isinstance(rule, Length):
            return ""
        if isinstance(rule, Regex):
            return self._unreadable(rule)
        kind = _kind(rule)
        fits = family(found) in NUMBERS if kind == "number" else family(found) == kind
        if kind == "text" and isinstance(rule, Set) and family(found) == "time":
            return self._no_time(rule)
        noun = "bounds" if isinstance(rule, Range) else "values"
        said = {"number": "numbers", "time": "times", "text": "texts", "boolean": "true or false"}[kind]
        return "" if fits else f"`{rule.column}` is {found}, and the {noun} are {said}"

    def _unreadable(self, rule: Regex) -> str:
        """What the engine finds wrong with a pattern that looked right."""
        try:
            self.scene.executor.one(f"SELECT regexp_full_match('', {literal(rule.pattern)}) AS matches")
        except Refused as error:
            return f"the pattern cannot be read: {error}"
        return ""

    def _no_time(self, rule: Set) -> str:
        """Times in a set are written as texts."""
        for item in rule.values:
            try:
                datetime.fromisoformat(str(item))
            except ValueError:
                return f"`{rule.column}` holds times, and {item!r} is none in ISO 8601"
        return ""

    def first(self) -> Mapping[str, str]:
        """How many values there are, and how many break it."""
        column, columns = self.rule.column, self.scene.columns
        return {
            self.alias("c"): sql.counted(column, columns),
            self.alias("f"): sql.count_if(sql.offending(self.rule, columns)),
        }

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """By the share of the values that break it."""
        checked, failing = int(found[self.alias("c")]), int(found[self.alias("f")] or 0)
        verdict = of_rows(self.name, [self.rule.column], checked, failing, self.rule.max_ratio, _does(self.rule))
        verdict.where = sql.offending(self.rule, self.scene.columns)
        return verdict


class UniqueCheck(RuleCheck):
    """Uniqueness, exactly: an estimate of distinct values is no verdict."""

    rule: Unique

    def unfit(self) -> str:
        """Every type can be compared for being the same."""
        return ""

    def first(self) -> Mapping[str, str]:
        """Rows without a null in its columns."""
        return {self.alias("c"): sql.count_if(sql.whole(self.rule, self.scene.columns))}

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """By groups of rows that agree."""
        table, columns = self.scene.table, self.scene.columns
        checked = int(found[self.alias("c")] or 0)
        failing = 0 if self._all_distinct(checked) else self._shared()
        verdict = of_rows(self.name, self.rule.columns, checked, failing, 0, "share their value with another")
        verdict.where = sql.duplicated(table, self.rule, columns)
        return verdict

    def _all_distinct(self, checked: int) -> bool:
        """Whether there are as many values as rows, which of a single column is cheaper to count than groups."""
        if len(self.rule.columns) > 1:
            return False
        distinct = sql.distinct_query(self.scene.table, self.rule.columns[0], self.scene.columns)
        return int(self.scene.executor.one(distinct)["n"]) == checked

    def _shared(self) -> int:
        """How many rows agree with another."""
        query = sql.duplicates_query(self.scene.table, self.rule, self.scene.columns)
        return int(self.scene.executor.one(query)["failing"])


class ForeignKeyCheck(RuleCheck):
    """Values that occur in a column of another dataset."""

    rule: ForeignKey

    def unfit(self) -> str:
        """A column that is not there, or of types that have no value in common."""
        others = self.scene.executor.references[self.rule.dataset]
        if self.rule.referenced not in others:
            return missing_column(self.rule.referenced, others, f"datasets.{self.rule.dataset}")
        mine, theirs = self.scene.columns[self.rule.column], others[self.rule.referenced]
        kinds = {family(item) for item in (mine, theirs)}
        if len(kinds) > 1 and not kinds <= set(NUMBERS):
            return (
                f"`{self.rule.column}` is {mine} and {self.rule.references} is {theirs}, which have no value in common"
            )
        return ""

    def first(self) -> Mapping[str, str]:
        """How many values there are."""
        return {self.alias("c"): sql.counted(self.rule.column, self.scene.columns)}

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """By the values that occur only here."""
        others = self.scene.executor.references[self.rule.dataset]
        where = sql.orphaned(self.rule, self.scene.columns, others)
        what = f"have no match in {self.rule.references}"
        checked = int(found[self.alias("c")])
        verdict = of_rows(self.name, [self.rule.column], checked, self.failing(where) if checked else 0, 0, what)
        verdict.where = where
        return verdict


def _kind(rule: Range | Set) -> str:
    """What kind of values a rule names: number, time, text or boolean. A time in a set is written as a text."""
    one = (rule.min if rule.min is not None else rule.max) if isinstance(rule, Range) else rule.values[0]
    if isinstance(one, bool):
        return "boolean"
    if isinstance(one, str):
        return "time" if isinstance(rule, Range) else "text"
    return "number"


def _does(rule: Range | Set | Regex | Length) -> str:
    """What the rows that break it do."""
    if isinstance(rule, Set):
        return f"are none of the {len(rule.values)} values" if len(rule.values) > 1 else f"are not {rule.values[0]}"
    if isinstance(rule, Regex):
        return f"do not match {rule.pattern}"
    interval = (
        f"{rule.min} to {rule.max}" if rule.min is not None and rule.max is not None
        else f"at most {rule.max}" if rule.min is None else f"at least {rule.min}"
    )  # fmt: skip
    return f"lie outside {interval}" if isinstance(rule, Range) else f"have another length than {interval}"
