"""`engine: great_expectations`: the rules of a data check as one suite of the library, in one validation.

What the library has no expectation for (schemas, drift, distributions, freshness, foreign keys, queries, isolation forests),
and what a pandas frame cannot hold exactly, the checker does as ever, and reports beside it.
"""

# ruff: noqa: S608 (names go through quote())

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.runtime.checks import gx, gx_rules, sql
from mlctl.runtime.checks.checker_rows import UniqueCheck
from mlctl.runtime.checks.checker_rule import RuleCheck, Scene
from mlctl.runtime.checks.executor import DuckdbExecutor
from mlctl.runtime.checks.verdict import Verdict, failed, of_rows
from mlctl.runtime.profile.database import quote
from mlctl.types.jobs.checks import Expectation

_EXACT = 2**53  # pandas has an integer column with nulls as doubles, which hold whole numbers up to here
_LONG = ("bigint", "ubigint")


class Suite:
    """The rules that Great Expectations judges itself. `docs` is the folder for its own pages, if they are wanted."""

    def __init__(self, scene: Scene, docs: Path | None = None) -> None:
        if not isinstance(scene.executor, DuckdbExecutor):
            raise TypeError("frames are made by DuckDB")
        self.scene = scene
        self.docs = docs
        self.connection = scene.executor.connection
        self._rounded: dict[str, bool] = {}

    def takes(self, check: RuleCheck) -> bool:
        """Whether the library judges this rule."""
        if isinstance(check.rule, Expectation):
            return True
        return gx_rules.native(check) and not any(self._rounds(name) for name in check.named)

    def judge(self, checks: Mapping[int, RuleCheck], rows: int) -> dict[int, Verdict]:
        """The verdict of each rule, from one validation of one suite. Raises MlctlError as `gx.run` does."""
        scene = self.scene
        named = [check.rule for check in checks.values() if isinstance(check.rule, Expectation)]
        needed = {name for check in checks.values() for name in check.named} | set(
            gx.load_columns(named, scene.columns)
        )
        table = gx.Table(self.connection, scene.table, scene.columns, scene.key, rows)
        frame = table.frame(needed, all_names=gx.whole_table(named))
        expectations: dict[int, Any] = {}
        parts: dict[int, list[int]] = {}  # the expectations of each rule
        for number, check in checks.items():
            rule = check.rule
            by_name = isinstance(rule, Expectation)
            asked = [(rule.name, rule.arguments)] if by_name else gx_rules.expected(check, frame)
            parts[number] = list(range(len(expectations), len(expectations) + len(asked)))
            for index, (name, arguments) in zip(parts[number], asked, strict=True):
                expectations[index] = gx.build(index, Expectation(name=name, arguments=arguments), number)
        found = gx.validate(frame, expectations, self.docs)
        return {
            number: self._verdict(check, [found[index] for index in parts[number]], frame, table)
            for number, check in checks.items()
        }

    def _verdict(self, check: RuleCheck, items: list[Mapping[str, Any]], frame: Any, table: gx.Table) -> Verdict:
        if isinstance(check.rule, Expectation):
            return gx.named_verdict(check.rule, items[0], frame, table)
        broken = [error for item in items if (error := gx.exception(item["exception_info"])) is not None]
        if broken:
            return failed(check.name, check.named, broken[0])
        if isinstance(check, UniqueCheck):
            checked, failing = gx_rules.unique_counts(items, check, frame)
            verdict = of_rows(check.name, check.named, checked, failing, 0, "share their value with another")
            verdict.where = sql.duplicated(self.scene.table, check.rule, self.scene.columns)
        elif not check.named:  # the number of rows
            return check.verdict({}, int(items[0]["result"]["observed_value"]))
        else:
            verdict = check.verdict(gx_rules.counts(check, items, frame), len(frame))
        if not verdict.passed and verdict.failing_rows:
            one_each = len(items) == len(check.named)  # a rule of uniqueness has one for all of its columns
            over = [
                item
                for item, name in zip(items, check.named, strict=one_each)
                if not one_each or name in verdict.columns
            ]
            found = sorted({position for item in over for position in gx.found_positions(item)})[: sql.SAMPLE]
            verdict.sample = table.sample(found)
        return verdict

    def _rounds(self, name: str) -> bool:
        """Whether a frame would round the integers of a column."""
        if self.scene.columns[name] not in _LONG:
            return False
        if name not in self._rounded:
            item = quote(name)
            query = f"SELECT count({item}) < count(*) AND (max({item}) > {_EXACT} OR min({item}) < -{_EXACT}) FROM {self.scene.table}"
            self._rounded[name] = bool(self.connection.execute(query).fetchone()[0])
        return self._rounded[name]
