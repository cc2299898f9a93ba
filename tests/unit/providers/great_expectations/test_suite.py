"""A data check goes out as a suite and comes back the same; a suite of somebody else's is read by what it says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlctl.providers.great_expectations.suite import export, read
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.checks import parse_rule

RULES: list[dict[str, dict[str, Any]]] = [
    {"not_null": {"columns": ["id", "code"], "max_ratio": "5%"}},
    {"range": {"column": "price", "min": 0, "max": 200}},
    {"range": {"column": "at", "min": "2024-01-01", "severity": "warn"}},
    {"unique": {"columns": ["id"]}},
    {"unique": {"columns": ["id", "user_id"]}},
    {"regex": {"column": "code", "pattern": r"c\d", "severity": "warn"}},
    {"set": {"column": "user_id", "values": [0, 1], "max_ratio": 0.1}},
    {"length": {"column": "code", "min": 1, "max": 3}},
    {"outliers": {"columns": ["price", "id"]}},
    {"outliers": {"columns": ["price"], "method": "iqr", "threshold": 3}},
    {"outliers": {"columns": ["price"], "method": "isolation_forest"}},
    {"schema": {"columns": {"id": "bigint"}, "exact": True}},
    {"schema_drift": {}},
    {"row_count": {"min": 1}},
    {"row_count": {"max_change": 0.5}},
    {"foreign_key": {"column": "user_id", "references": "users.user_id"}},
    {"distribution": {"column": "price"}},
    {"freshness": {"max_age": "1d"}},
    {"sql": {"query": "SELECT * FROM orders WHERE price < 0"}},
    {"expect_column_mean_to_be_between": {"column": "price", "min_value": 1, "max_value": 100, "severity": "warning"}},
]


def exported(*rules: dict[str, dict[str, Any]]) -> Any:
    return json.loads(json.dumps(export("checks", "orders", rules)[0]))


def test_a_data_check_that_went_out_comes_back_as_it_was() -> None:
    suite, beside = export("checks", "orders", RULES)
    back = read(json.loads(json.dumps(suite)))
    assert back.rules == RULES
    assert (back.dataset, back.left_out, back.notes) == ("orders", [], [])
    assert beside == ["outliers", "schema_drift", "row_count", "foreign_key", "distribution", "freshness", "sql"]
    assert {item["severity"] for item in suite["expectations"]} == {"critical", "warning"}


def test_it_comes_back_as_the_library_writes_it() -> None:
    """With an id and nulls for what was not given."""
    suite = exported(*RULES)
    for number, item in enumerate(suite["expectations"]):
        item |= {"id": f"id-{number}", "description": None, "notes": None}
        if item["type"] == "expect_column_values_to_be_between":
            item["kwargs"] |= {"strict_min": False, "strict_max": False, "row_condition": None}
    assert read(suite).rules == RULES


def test_what_was_edited_there_is_read_by_what_it_says() -> None:
    suite = exported(RULES[1], RULES[0], RULES[3])
    suite["expectations"][0]["kwargs"]["max_value"] = 300
    suite["expectations"] = suite["expectations"][:2]  # `code` may be null, and ids need not be unique
    suite["expectations"].append({"type": "expect_column_values_to_be_null", "kwargs": {"column": "x"}, "meta": None})
    assert read(suite).rules == [
        {"range": {"column": "price", "min": 0, "max": 300}},
        {"not_null": {"columns": ["id"], "max_ratio": 0.05}},
        {"expect_column_values_to_be_null": {"column": "x"}},
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("expect_column_values_to_not_be_null", {"column": "a", "mostly": 0.9}, {"not_null": {"columns": ["a"], "max_ratio": 0.1}}),
        ("expect_column_values_to_be_unique", {"column": "a"}, {"unique": {"columns": ["a"]}}),
        ("expect_compound_columns_to_be_unique", {"column_list": ["a", "b"], "ignore_row_if": "any_value_is_missing"}, {"unique": {"columns": ["a", "b"]}}),
        ("expect_table_row_count_to_be_between", {"min_value": 1}, {"row_count": {"min": 1}}),
        # what says something else than the short rule stays what it is
        ("expect_column_values_to_be_between", {"column": "a", "min_value": 1, "strict_min": True}, None),
        ("expect_column_values_to_be_between", {"column": "a", "min_value": 1, "row_condition": "b > 1", "condition_parser": "pandas"}, None),
        ("expect_column_values_to_be_unique", {"column": "a", "mostly": 0.9}, None),
        ("expect_compound_columns_to_be_unique", {"column_list": ["a", "b"]}, None),
        ("expect_column_values_to_match_regex", {"column": "a", "regex": "x"}, None),
        ("expect_column_values_to_not_be_outliers", {"column": "a", "method": "iqr", "multiplier": 1.5}, None),
        ("expect_column_values_to_be_in_set", {"column": "a", "value_set": [1, "x"]}, None),
    ],
)  # fmt: skip
def test_an_expectation_becomes_a_short_rule_only_where_it_says_the_same(
    name: str, arguments: Any, expected: Any
) -> None:
    found = read({"name": "s", "expectations": [{"type": name, "kwargs": arguments}]})
    assert found.rules == [expected or {name: arguments}]
    assert not found.left_out


def test_what_has_no_rule_here_is_listed_with_the_reason() -> None:
    suite = {
        "expectations": [
            {"expectation_type": "expect_column_kurtosis", "kwargs": {"column": "x"}},
            {"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": "SELECT 1"}},
            {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "x"}},
            {"type": "expect_column_mean_to_be_between"},
            "nonsense",
        ]
    }
    found = read(suite)
    assert found.rules == []
    assert [what for what, _ in found.left_out] == [
        "expect_column_kurtosis x", "unexpected_rows_expectation", "expect_column_mean_to_be_between x", "expect_column_mean_to_be_between",
        "an expectation",
    ]  # fmt: skip
    assert [why.split(";")[0] for _, why in found.left_out][:3] == [
        "it is none of the library's own expectations", "it needs a SQL engine", "`expect_column_mean_to_be_between` has no bound",
    ]  # fmt: skip


@pytest.mark.parametrize("suite", [None, [], {}, {"expectations": 3}, "x"])
def test_what_is_no_suite_is_an_error(suite: Any) -> None:
    with pytest.raises(MlctlError) as caught:
        read(suite)
    assert caught.value.diagnostics[0].code == "data.bad-suite"


def test_a_meta_that_somebody_broke_is_not_believed() -> None:
    suite = exported(RULES[0])
    suite["meta"]["mlctl"]["rules"] = [{"no_such": {}}, 3, {"not_null": {}}]
    assert [parse_rule(rule).columns for rule in read(suite).rules] == [["id"], ["code"]]  # type: ignore[attr-defined]
