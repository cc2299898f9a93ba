"""The rules that Great Expectations has an expectation for, and what its counts mean for them.

A rule becomes an expectation for each of its columns, and the verdict is put into words by the same classes as the counts
of DuckDB. Fences of outliers come from the frame: the library's own z-score and outlier expectations know nothing of
infinite values and constant columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlctl.runtime.checks import outliers
from mlctl.runtime.checks.checker_outliers import FenceCheck
from mlctl.runtime.checks.checker_rows import NotNullCheck, UniqueCheck, ValueCheck
from mlctl.runtime.checks.checker_rule import RuleCheck
from mlctl.runtime.checks.checker_table import RowCountCheck
from mlctl.runtime.profile.types import family
from mlctl.types.jobs.checks import Range, Set
from mlctl.types.jobs.suites import Expected, expectations_of, mostly

_DIGITS = 15  # a double holds so many digits of a decimal, which is how pandas gets one
_WIDE = frozenset({"hugeint", "uhugeint"})


def native(check: RuleCheck) -> bool:
    """Whether the library can judge the rule: it has the expectation, and a pandas frame holds the columns exactly."""
    kinds = (NotNullCheck, ValueCheck, UniqueCheck, FenceCheck, RowCountCheck)
    if not isinstance(check, kinds) or (isinstance(check, RowCountCheck) and check.rule.max_change is not None):
        return False
    return all(_exact(check.scene.columns[name]) for name in check.named)


def _exact(found: str) -> bool:
    if family(found) == "decimal":
        digits = found.removeprefix("decimal(").partition(",")[0]
        return digits.isdigit() and int(digits) <= _DIGITS
    return found not in _WIDE and family(found) != "other"


def expected(check: RuleCheck, frame: Any) -> list[Expected]:
    """The expectations of a rule, one for each of its columns where it is about several."""
    if isinstance(check, FenceCheck):
        check.fences = {name: _fences(check, frame[name]) for name in check.rule.columns}
        return [_between_fences(name, check.fences[name], check.rule.max_ratio) for name in check.rule.columns]
    asked = expectations_of(check.rule)
    if not isinstance(check, ValueCheck):
        return asked
    [(name, arguments)] = asked
    found = check.scene.columns[check.rule.column]
    if isinstance(check.rule, Range):
        arguments |= {key: _value(arguments[key], found) for key in ("min_value", "max_value") if key in arguments}
    if isinstance(check.rule, Set):
        arguments |= {"value_set": [_value(item, found) for item in arguments["value_set"]]}
    return [(name, arguments)]


def counts(check: RuleCheck, items: list[Mapping[str, Any]], frame: Any) -> Mapping[str, int]:
    """What the library has counted, by the names that the verdict of a rule asks for."""
    results = [item["result"] for item in items]
    if isinstance(check, ValueCheck):
        return {check.alias("c"): _checked(results[0]), check.alias("f"): int(results[0].get("unexpected_count") or 0)}
    found = {check.alias("n", i): int(result.get("unexpected_count") or 0) for i, result in enumerate(results)}
    found |= {check.alias("c", i): _checked(result) for i, result in enumerate(results)}
    if len(results) > 1:  # the library counts by column; rows that are bad in any are counted here
        nulls = frame[check.named].isna()
        found[check.alias("u")] = int((~nulls).any(axis=1).sum())
        bad = _outside(check, frame) if isinstance(check, FenceCheck) else nulls
        found[check.alias("f")] = int(bad.any(axis=1).sum())
    return found


def unique_counts(items: list[Mapping[str, Any]], check: UniqueCheck, frame: Any) -> tuple[int, int]:
    """Rows without a null in the columns of a rule, and those of them that share their values with another."""
    checked = int((~frame[check.rule.columns].isna()).all(axis=1).sum())
    return checked, int(items[0]["result"].get("unexpected_count") or 0)


def _checked(result: Mapping[str, Any]) -> int:
    return int(result.get("element_count") or 0) - int(result.get("missing_count") or 0)


def _value(item: Any, found: str) -> Any:
    """A bound or a member of a set as pandas has the column's values."""
    if isinstance(item, bool):
        return item
    if isinstance(item, str):
        return _moment(item, found) if family(found) == "time" else item
    if found == "float":
        import numpy as np

        return float(np.float32(item))
    return item


def _moment(text: str, found: str) -> datetime:
    when = datetime.fromisoformat(text)
    if "zone" in found:
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return when if when.tzinfo is None else when.astimezone(UTC).replace(tzinfo=None)


def _fences(check: FenceCheck, column: Any) -> outliers.Fences:
    """Of the finite values, as the checker defines them."""
    values = column.astype("float64")
    values = values[values.abs() <= outliers.LARGEST]
    if not len(values):
        return outliers.Fences(None, None)
    if check.rule.method == "iqr":
        first, third = float(values.quantile(0.25)), float(values.quantile(0.75))
        return outliers.around_quartiles(first, third, check.rule.limit)
    deviation = float(values.std()) if len(values) > 1 else None
    return outliers.around_mean(float(values.mean()), deviation, check.rule.limit)


def _between_fences(name: str, fences: outliers.Fences, allowed: float) -> Expected:
    """Values without spread have no fences: then only those that are not finite lie outside."""
    low = fences.low if fences.low is not None else -outliers.LARGEST
    high = fences.high if fences.high is not None else outliers.LARGEST
    return "expect_column_values_to_be_between", {"column": name, "min_value": low, "max_value": high} | mostly(allowed)


def _outside(check: FenceCheck, frame: Any) -> Any:
    """Which values lie beyond the fences of their column."""
    limits = {name: _between_fences(name, check.fences[name], 0)[1] for name in check.named}
    bad = frame[check.named].copy()
    for name, limit in limits.items():
        bad[name] = (frame[name] < limit["min_value"]) | (frame[name] > limit["max_value"])
    return bad
