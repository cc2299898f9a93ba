"""Rules about a table as a whole: its columns, how many rows, how they are distributed, how old they are, and queries of one's own."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from mlctl.runtime.checks import sql
from mlctl.runtime.checks.checker_rule import Counts, RuleCheck
from mlctl.runtime.checks.executor import Refused
from mlctl.runtime.checks.verdict import Verdict, failed, missing_column, plural, share
from mlctl.runtime.profile import bins
from mlctl.runtime.profile.database import quote
from mlctl.runtime.profile.types import family
from mlctl.stats import distribution
from mlctl.types.jobs.checks import Distribution, Freshness, RowCount, Schema, SchemaDrift, Sql, short_name
from mlctl.types.jobs.contract import CategoricalBins, NumericBins
from mlctl.types.jobs.duckdb_types import normal, widens
from mlctl.types.units import format_duration

_METHODS = {
    "psi": distribution.psi,
    "ks": distribution.ks,
    "chi_square": distribution.chi_square,
    "histogram": distribution.jensen_shannon,
}
_NO_CONTRACT = "no contract is recorded"


class SchemaCheck(RuleCheck):
    """Columns and types as the rule lists them."""

    rule: Schema

    def impossible(self) -> str:
        """All that it says is known before any row is read."""
        problems = []
        columns = self.scene.columns
        for name, wanted in self.rule.columns.items():
            if name not in columns:
                problems.append(missing_column(name, columns))
            elif normal(wanted) != normal(columns[name]):
                problems.append(f"`{name}` is {columns[name]}, not {wanted}")
        if self.rule.exact:
            problems += [f"`{name}` is not expected" for name in columns if name not in self.rule.columns]
        return "; ".join(problems)

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """It holds."""
        return Verdict(self.name, list(self.rule.columns), passed=True)


class SchemaDriftCheck(RuleCheck):
    """Columns and types as the contract has them."""

    rule: SchemaDrift

    def impossible(self) -> str:
        """All that it says is known before any row is read."""
        if self.scene.contract is None:
            return _NO_CONTRACT
        then = {column.name: column.type for column in self.scene.contract.columns}
        now, allowed = self.scene.columns, set(self.rule.allow)
        problems = []
        if "removed" not in allowed:
            problems += [f"`{name}` was removed" for name in then if name not in now]
        if "added" not in allowed:
            problems += [f"`{name}` was added" for name in now if name not in then]
        for name, was in then.items():
            if name not in now or normal(was) == normal(now[name]) or "changed" in allowed:
                continue
            if not ("widened" in allowed and widens(was, now[name])):
                problems.append(f"`{name}` was {was} and is {now[name]}")
        return "; ".join(problems)

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """It holds."""
        return Verdict(self.name, [], passed=True)


class DistributionCheck(RuleCheck):
    """A column against its frozen bins in the contract."""

    rule: Distribution

    def unfit(self) -> str:
        """Without bins, or with bins that the column or the method has no use for, there is nothing to compare."""
        if self.scene.contract is None:
            return _NO_CONTRACT
        column, found = self.rule.column, self.scene.columns[self.rule.column]
        recorded = self.scene.contract.column(column)
        if recorded is None or recorded.bins is None:
            return f"the contract has no distribution of `{column}`"
        if not bins.comparable(found, recorded.bins):
            return f"`{column}` was {recorded.type} when the contract was recorded and is {found}"
        if self.rule.method == "ks" and not isinstance(recorded.bins, NumericBins):
            return f"the values of `{column}` have no order, which `ks` needs"
        return ""

    def first(self) -> Mapping[str, str]:
        """The column, counted into the bins."""
        return bins.count_parts(self.alias("b"), self.rule.column, self.scene.columns[self.rule.column], self._bins)

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """By the distance, and with `alpha` by its significance too."""
        now = bins.read_counts(found, self.alias("b"), self._bins)
        try:
            result = _METHODS[self.rule.method](self._bins, now)
        except ValueError as error:
            return failed(self.name, self.named, str(error))
        far = result.distance > self.rule.limit
        sure = self.rule.alpha is None or (result.p_value is not None and result.p_value < self.rule.alpha)
        observed = float(f"{result.distance:.6g}")
        verdict = Verdict(self.name, self.named, not (far and sure), observed=observed)
        if not verdict.passed:
            certain = "" if self.rule.alpha is None else f" (p = {result.p_value:.2g})"
            verdict.reason = f"{self.rule.method} is {observed:g}{certain}, at most {self.rule.limit:g} may be"
        return verdict

    @property
    def _bins(self) -> NumericBins | CategoricalBins:
        recorded = None if self.scene.contract is None else self.scene.contract.column(self.rule.column)
        if recorded is None or recorded.bins is None:
            raise TypeError(f"{self.rule.column} has no bins")
        return recorded.bins


class FreshnessCheck(RuleCheck):
    """The age of the newest row. Rows that are dated later than the check do not count: one would hide any staleness."""

    rule: Freshness

    @property
    def named(self) -> list[str]:
        """The column of its own, or the dataset's."""
        column = self.rule.column or self.scene.timestamp
        return [] if column is None else [column]

    def unfit(self) -> str:
        """Only a column of times has a newest one."""
        if not self.named:
            return "the dataset has no `timestamp`, and the rule no `column`"
        [column] = self.named
        found = self.scene.columns[column]
        return "" if family(found) == "time" else f"`{column}` is {found}, and no time"

    def first(self) -> Mapping[str, str]:
        """The newest time that has passed, as epoch seconds, how many are still to come, and how many there are."""
        [column] = self.named
        found = self.scene.columns[column]
        now = sql.moment(self.scene.now, found)
        past = f"CASE WHEN {quote(column)} <= {now} THEN {quote(column)} END"
        newest = f"CAST(max({past}) AS TIMESTAMP)" if found == "date" else f"max({past})"
        return {
            self.alias("w"): f"epoch({newest})",
            self.alias("a"): sql.count_if(f"{quote(column)} > {now}"),
            self.alias("c"): f"count({quote(column)})",
        }

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """By the age of the newest row at the moment of the check; one that holds says until when."""
        newest, later = found[self.alias("w")], int(found[self.alias("a")] or 0)
        dated = int(found[self.alias("c")])
        if not dated:
            return failed(self.name, self.named, "no values: every row is null there")
        tail = f"; {plural(later, 'row')} dated later than now not counted" if later else ""
        if newest is None:
            when = "later than now" if later == dated else "later than now or infinitely long ago"
            return failed(self.name, self.named, f"every row is dated {when}, {_written(self.scene.now)}")
        moment = _moment(float(newest))
        age = (self.scene.now - moment).total_seconds()
        verdict = Verdict(self.name, self.named, age <= self.rule.max_age, observed=_written(moment))
        if verdict.passed:
            verdict.fresh_until = _written(_later(moment, self.rule.max_age))
        else:
            limit = format_duration(self.rule.max_age)
            verdict.reason = (
                f"the newest row is of {_written(moment)}, {roughly(age)} old, at most {limit} may be{tail}"
            )
        return verdict


class RowCountCheck(RuleCheck):
    """How many rows there are."""

    rule: RowCount

    def impossible(self) -> str:
        """A change needs something to have changed from."""
        if self.rule.max_change is None:
            return ""
        if self.scene.contract is None:
            return _NO_CONTRACT
        return "" if self.scene.contract.rows else "the contract was recorded of no rows"

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """By the bounds, and by how much the number has changed since the contract."""
        reasons = []
        if self.rule.min is not None and rows < self.rule.min:
            reasons.append(f"at least {self.rule.min:,} must be")
        if self.rule.max is not None and rows > self.rule.max:
            reasons.append(f"at most {self.rule.max:,} may be")
        if self.rule.max_change is not None and self.scene.contract is not None:
            was = self.scene.contract.rows
            change = abs(rows - was) / was
            if change > self.rule.max_change:
                more = "more" if rows > was else "fewer"
                limit = share(self.rule.max_change)
                reasons.append(f"{share(change)} {more} than the {was:,} of the contract, at most {limit} may be")
        reason = f"there are {plural(rows, 'row')}: {'; '.join(reasons)}" if reasons else ""
        return Verdict(self.name, [], not reasons, observed=rows, reason=reason)


class SqlCheck(RuleCheck):
    """A query that must return no rows."""

    rule: Sql

    def verdict(self, found: Counts, rows: int) -> Verdict:
        """By how many rows it returns; their keys are the sample where the query returns the key."""
        scene = self.scene
        try:
            others = (name for full in self.rule.datasets for name in dict.fromkeys((full, short_name(full))))
            known = [name for name in others if name in scene.executor.references]
            query = scene.executor.own_query(self.rule.query, [scene.dataset, *known])
            failing = int(scene.executor.one(f"SELECT count(*) AS failing FROM ({query}) AS own")["failing"])
            verdict = Verdict(self.name, [], not failing, failing_rows=failing)
            if failing:
                verdict.reason = f"the query returns {plural(failing, 'row')}: {_start(self.rule.query)}"
                self._pointed(verdict, query)
        except Refused as error:
            return failed(self.name, [], f"the query cannot be run: {error}")
        return verdict

    def _pointed(self, verdict: Verdict, query: str) -> None:
        """Which rows of the dataset the query's rows are, by their key."""
        scene = self.scene
        names = scene.executor.many(f"SELECT * FROM ({query}) AS own LIMIT 1")[0]
        if scene.key and all(name in names for name in scene.key):
            verdict.sample = scene.executor.many(
                sql.sample_query(f"({query}) AS own", "TRUE", scene.key, scene.columns)
            )
            key = ", ".join(quote(name) for name in scene.key)
            one = key if len(scene.key) == 1 else f"({key})"
            verdict.where = f"{one} IN (SELECT {one} FROM ({query}) AS own)"


def roughly(seconds: float) -> str:
    """A duration as a person says it: `3 days`, `5 hours`."""
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return plural(int(seconds // size), unit)
    return plural(int(seconds), "second")


def _moment(seconds: float) -> datetime:
    """Epoch seconds as a time; one before the first year as the first that there is."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.min.replace(tzinfo=UTC)


def _later(moment: datetime, seconds: float) -> datetime:
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _start(query: str) -> str:
    text = " ".join(query.split())
    return text if len(text) <= 100 else text[:97] + "..."
