"""Check a dataset against its rules. A rule that fails is a verdict, not an error: the job is done either way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.checks import sql
from mlctl.runtime.checks.verdict import Verdict, failed, missing_column, of_rows, share
from mlctl.runtime.profile.database import all_rows, database, one_row
from mlctl.runtime.profile.source import describe, relation
from mlctl.runtime.profile.statistics import family
from mlctl.runtime.report import Report
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.checks import (
    ChecksParams,
    Expectation,
    ForeignKey,
    NotNull,
    Range,
    Rule,
    Schema,
    Unique,
    parse_rule,
)
from mlctl.types.jobs.duckdb_types import normal
from mlctl.types.jobs.profile import Source
from mlctl.types.state import Gate
from mlctl.types.value import digest

_NUMBERS = frozenset({"integer", "float", "decimal"})


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Judge every rule, write the report, and give the gate's verdict."""
    asked = ChecksParams.model_validate(params)
    rules = [parse_rule(rule) for rule in asked.rules]
    names = [next(iter(rule)) for rule in asked.rules]
    with database(report.folder) as connection:
        rows, verdicts = Checker(connection, asked.source, asked.references, report).judge(names, rules)
    bad = [verdict for verdict in verdicts if not verdict.passed]
    count = f"{len(rules)} rule{'s' if len(rules) > 1 else ''}"
    gate = Gate(
        not bad, f"{len(bad)} of {count} failed" if bad else f"{count} passed", tuple(item.line() for item in bad)
    )
    found = {"passed": gate.passed, "rows": rows, "rules": [verdict.to_json() for verdict in verdicts]}
    atomic.write_json(Path(asked.report), {"summary": gate.summary, "files": asked.source.files, **found})
    # What the rules say in detail is no part of the digest: a reworded rule that gives the same verdict changes nothing.
    outputs = {**found, "report": asked.report, "digest": digest([asked.source_digest, gate.passed])}
    return JobResult(JobStatus.DONE, outputs, gate)


class Checker:
    """One dataset under examination, and those that its foreign keys refer to."""

    def __init__(self, connection: Any, source: Source, references: Mapping[str, Source], report: Report) -> None:
        self.connection = connection
        self.table = relation(source)
        self.columns = describe(connection, self.table)  # in file order, which JSON does not keep
        self.key = source.key
        self.references = references
        self.report = report

    def judge(self, names: Sequence[str], rules: Sequence[Rule]) -> tuple[int, list[Verdict]]:
        """How many rows there are, and the verdict on each rule, in order."""
        verdicts = {
            index: failed(names[index], named(rule), reason)
            for index, rule in enumerate(rules)
            if (reason := self._cannot(rule))
        }
        possible = {index: rule for index, rule in enumerate(rules) if index not in verdicts}
        self.report.progress("counting", 0, len(rules), "rules")
        counts = one_row(self.connection, sql.table_query(self.table, self._parts(possible)))
        rows = int(counts["rows"])
        if not rows:
            return 0, [
                failed(names[index], named(rule), "the dataset has no rows, and no data never passes")
                for index, rule in enumerate(rules)
            ]
        expectations = {}
        for index, rule in possible.items():
            self.report.progress(names[index], len(verdicts), len(rules), "rules")
            if isinstance(rule, Expectation):
                if any(counts.get(f"e{index}_{i}") == 0 for i, _ in enumerate(rule.columns)):
                    verdicts[index] = failed(rule.name, rule.columns, "no values: every row is null there")
                else:
                    expectations[index] = rule
            else:
                verdicts[index] = self._short(index, rule, counts, rows)
        if expectations:
            from mlctl.runtime.checks import gx

            self.report.progress("Great Expectations", len(verdicts), len(rules), "rules")
            verdicts |= gx.run(self.connection, self.table, expectations, self.columns, self.key, rows)
        return rows, [verdicts[index] for index in range(len(rules))]

    def _parts(self, rules: Mapping[int, Rule]) -> dict[str, str]:
        """What the pass over the table counts."""
        parts: dict[str, str] = {}
        for index, rule in rules.items():
            parts |= sql.aggregates(index, rule, self.columns)
        return parts

    def _short(self, index: int, rule: Rule, counts: Mapping[str, Any], rows: int) -> Verdict:
        """The verdict on a short rule, whose columns exist, from what was counted and one query more where it takes that."""
        if isinstance(rule, Schema):
            return Verdict("schema", list(rule.columns), passed=True)
        if isinstance(rule, NotNull):
            return self._not_null(index, rule, counts, rows)
        if isinstance(rule, Range):
            where, failing, allowed = sql.offending(rule, self.columns), counts[f"f{index}"], rule.max_ratio
            verdict = of_rows(
                "range", [rule.column], counts[f"c{index}"], failing, allowed, f"lie outside {_interval(rule)}"
            )
        elif isinstance(rule, Unique):
            failing = one_row(self.connection, sql.duplicates_query(self.table, rule, self.columns))["failing"]
            where = sql.duplicated(self.table, rule, self.columns)
            verdict = of_rows(
                "unique", rule.columns, counts[f"c{index}"], int(failing), 0, "share their value with another"
            )
        elif isinstance(rule, ForeignKey):
            other = self.references[rule.dataset]
            where = sql.orphaned(relation(other), rule, self.columns, other.columns)
            failing = one_row(self.connection, sql.failing_query(self.table, where))["failing"]
            verdict = of_rows(
                "foreign_key",
                [rule.column],
                counts[f"c{index}"],
                int(failing),
                0,
                f"have no match in {rule.references}",
            )
        else:
            raise TypeError(f"{type(rule).__name__} is no short rule")
        return self._sampled(verdict, where)

    def _not_null(self, index: int, rule: NotNull, counts: Mapping[str, Any], rows: int) -> Verdict:
        """Each column is held to the limit on its own; the failing rows have a null in any that breaks it."""
        nulls = {name: int(counts[f"n{index}_{i}"]) for i, name in enumerate(rule.columns)}
        over = [name for name, count in nulls.items() if count / rows > rule.max_ratio]
        if not over:
            failing = int(counts[f"f{index}"])
            return Verdict("not_null", rule.columns, True, rows, failing, failing / rows)
        where = sql.offending(NotNull(columns=over), self.columns)
        failing = int(one_row(self.connection, sql.failing_query(self.table, where))["failing"])
        inside = [f" in {name}" if len(over) > 1 else "" for name in over]
        each = [
            f"{nulls[name]:,} of {rows:,} rows ({share(nulls[name] / rows)}) are null{place}"
            for name, place in zip(over, inside, strict=True)
        ]
        limit = f", at most {share(rule.max_ratio)} may be" if rule.max_ratio else ""
        return self._sampled(
            Verdict("not_null", over, False, rows, failing, failing / rows, reason=", ".join(each) + limit), where
        )

    def _sampled(self, verdict: Verdict, where: str) -> Verdict:
        if not verdict.passed and verdict.failing_rows:
            verdict.sample = all_rows(self.connection, sql.sample_query(self.table, where, self.key, self.columns))
        return verdict

    def _cannot(self, rule: Rule) -> str:
        """Why a rule fails whatever the values are, or nothing: columns that are missing or of another type."""
        if isinstance(rule, Schema):
            return "; ".join(_schema_problems(rule, self.columns))
        if isinstance(rule, Expectation) and rule.name == "expect_column_to_exist":
            return ""
        absent = [name for name in named(rule) if name not in self.columns]
        if absent:
            return "; ".join(missing_column(name, self.columns) for name in absent)
        if isinstance(rule, Range):
            return _range_problem(rule, self.columns[rule.column])
        if isinstance(rule, ForeignKey):
            return self._foreign_problem(rule)
        return ""

    def _foreign_problem(self, rule: ForeignKey) -> str:
        others = self.references[rule.dataset].columns
        if rule.referenced not in others:
            return missing_column(rule.referenced, others, f"datasets.{rule.dataset}")
        mine, theirs = self.columns[rule.column], others[rule.referenced]
        kinds = {family(item) for item in (mine, theirs)}
        if len(kinds) > 1 and not kinds <= _NUMBERS:
            return f"`{rule.column}` is {mine} and {rule.references} is {theirs}, which have no value in common"
        return ""


def named(rule: Rule) -> list[str]:
    """The columns of the checked dataset that a rule names."""
    if isinstance(rule, Range | ForeignKey):
        return [rule.column]
    return list(getattr(rule, "columns", ()))


def _schema_problems(rule: Schema, columns: Mapping[str, str]) -> list[str]:
    problems = []
    for name, wanted in rule.columns.items():
        if name not in columns:
            problems.append(missing_column(name, columns))
        elif normal(wanted) != normal(columns[name]):
            problems.append(f"`{name}` is {columns[name]}, not {wanted}")
    if rule.exact:
        problems += [f"`{name}` is not expected" for name in columns if name not in rule.columns]
    return problems


def _range_problem(rule: Range, found: str) -> str:
    wants_time = isinstance(rule.min if rule.min is not None else rule.max, str)
    kind = family(found)
    if wants_time and kind != "time":
        return f"`{rule.column}` is {found}, and the bounds are times"
    if not wants_time and kind not in _NUMBERS:
        return f"`{rule.column}` is {found}, and the bounds are numbers"
    return ""


def _interval(rule: Range) -> str:
    if rule.min is None:
        return f"at most {rule.max}"
    return f"at least {rule.min}" if rule.max is None else f"{rule.min} to {rule.max}"
