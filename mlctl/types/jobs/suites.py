"""Short rules in the words of Great Expectations: which expectations say the same, and with what arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.types.jobs.checks import Length, NotNull, Range, Regex, RowCount, Rule, Set, Unique
from mlctl.types.jobs.patterns import flavoured

Expected = tuple[str, dict[str, Any]]  # the name of an expectation and its arguments


def expectations_of(rule: Rule) -> list[Expected]:
    """The expectations that mean a rule, one for each column of a rule about nulls; none where there is no such expectation.

    Bounds and members are as the rule has them: what a column of some type is compared with is the reader's to say.
    """
    if isinstance(rule, NotNull):
        name = "expect_column_values_to_not_be_null"
        return [(name, {"column": column} | mostly(rule.max_ratio)) for column in rule.columns]
    if isinstance(rule, Unique):
        if len(rule.columns) == 1:
            return [("expect_column_values_to_be_unique", {"column": rule.columns[0]})]
        arguments = {"column_list": list(rule.columns), "ignore_row_if": "any_value_is_missing"}
        return [("expect_compound_columns_to_be_unique", arguments)]
    if isinstance(rule, RowCount):
        bounds = given({"min_value": rule.min, "max_value": rule.max})
        return [("expect_table_row_count_to_be_between", bounds)] if bounds and rule.max_change is None else []
    if isinstance(rule, Range | Set | Regex | Length):
        return [_of_values(rule)]
    return []


def _of_values(rule: Range | Set | Regex | Length) -> Expected:
    base = {"column": rule.column} | mostly(rule.max_ratio)
    if isinstance(rule, Range):
        return "expect_column_values_to_be_between", base | given({"min_value": rule.min, "max_value": rule.max})
    if isinstance(rule, Length):
        bounds = given({"min_value": rule.min, "max_value": rule.max})
        return "expect_column_value_lengths_to_be_between", base | bounds
    if isinstance(rule, Regex):
        return "expect_column_values_to_match_regex", base | {"regex": whole(rule.pattern)}
    return "expect_column_values_to_be_in_set", base | {"value_set": list(rule.values)}


def whole(pattern: str) -> str:
    """A pattern for the library, which looks for it anywhere in a text, that it finds only as the whole of one."""
    return r"\A" + flavoured(pattern, "python")


def mostly(allowed: float) -> dict[str, float]:
    """The share of the values that must keep a rule, where not all of them must."""
    return {"mostly": round(1 - allowed, 12)} if allowed else {}


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that have a value."""
    return {name: item for name, item in arguments.items() if item is not None}
