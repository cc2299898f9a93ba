"""Soda's checks: those that exist here are taken, and the others are listed with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.providers.great_expectations.soda import read
from mlctl.types.diagnostic import MlctlError

CLASSIC: dict[str, Any] = {
    "checks for orders": [
        "row_count > 0",
        "row_count between 10 and 100",
        "missing_count(id) = 0",
        "missing_percent(code) < 5%",
        {"missing_percent(price)": {"name": "prices", "warn": "when > 1%", "fail": "when >= 10"}},
        "missing_count(code) < 5",
        "duplicate_count(id) = 0",
        "duplicate_count(id, user_id) < 1",
        "duplicate_percent(code) < 1%",
        {"invalid_count(code) = 0": {"valid regex": "^c[0-9]$", "valid min length": 1, "valid max length": 3}},
        {"invalid_count(price) = 0": {"valid min": 0, "valid max": 10}},
        {"invalid_percent(price) < 5": {"valid min": 0}},
        {"invalid_count(mail) = 0": {"valid format": "email"}},
        {"invalid_count(kind) = 0": {"valid values": ["a", "b"]}},
        "freshness(at) < 1d6h",
        "min(price) >= 0",
        "max(price) < 10",
        "avg(price) between 1 and 5",
        "values in (user_id) must exist in users (id)",
        "values in (a, b) must exist in users (a, b)",
        {
            "schema": {
                "fail": {"when wrong column type": {"id": "bigint"}, "when required column missing": ["id"]},
                "warn": {"when forbidden column present": ["x"], "when schema changes": "any"},
            }
        },
        {"failed rows": {"fail query": "SELECT * FROM orders WHERE price < 0"}},
        {"failed rows": {"fail condition": "price < 0"}},
        "anomaly detection for row_count",
        "row_count same as users",
        {"missing_count(id) = 0": {"filter": "id > 1"}},
    ],
    "filter orders [daily]": {"where": "x"},
}  # fmt: skip


def test_the_classic_language() -> None:
    [found] = read(CLASSIC)
    assert found.dataset == "orders"
    assert found.rules == [
        {"row_count": {"min": 1}},
        {"row_count": {"min": 10, "max": 100}},
        {"not_null": {"columns": ["id"]}},
        {"not_null": {"columns": ["code"], "max_ratio": 0.05}},
        {"not_null": {"columns": ["price"], "max_ratio": 0.01, "severity": "warn"}},
        {"not_null": {"columns": ["price"], "max_ratio": 0.1}},
        {"unique": {"columns": ["id"]}},
        {"unique": {"columns": ["id", "user_id"]}},
        {"regex": {"column": "code", "pattern": "c[0-9]"}},
        {"length": {"column": "code", "min": 1, "max": 3}},
        {"range": {"column": "price", "min": 0, "max": 10}},
        {"set": {"column": "kind", "values": ["a", "b"]}},
        {"freshness": {"column": "at", "max_age": "1800m"}},
        {"range": {"column": "price", "min": 0}},
        {"expect_column_mean_to_be_between": {"column": "price", "min_value": 1, "max_value": 5}},
        {"foreign_key": {"column": "user_id", "references": "users.id"}},
        {"schema": {"columns": {"id": "bigint"}}},
        {"expect_column_to_exist": {"column": "id"}},
        {"schema_drift": {"severity": "warn"}},
        {"sql": {"query": "SELECT * FROM orders WHERE price < 0"}},
    ]
    assert [what for what, _ in found.left_out] == [
        "missing_count(code) < 5", "duplicate_percent(code) < 1%", "invalid_percent(price) < 5", "invalid_count(mail) = 0", "max(price) < 10",
        "values in (a, b) must exist in users (a, b)", "schema, warn when forbidden column present", "failed rows",
        "anomaly detection for row_count", "row_count same as users", "missing_count(id) = 0", "filter orders [daily]",
    ]  # fmt: skip
    assert all(why for _, why in found.left_out)
    assert "a share pass" in dict(found.left_out)["missing_count(code) < 5"]
    assert "`missing_percent` below 5 % is taken as at most 5 %" in found.notes


def test_a_contract() -> None:
    [found] = read(
        {
            "dataset": "warehouse/db/public/orders",
            "columns": [
                {"name": "id", "data_type": "BIGINT", "checks": [{"missing": None}, {"duplicate": None}]},
                {
                    "name": "code", "data_type": "varchar",
                    "checks": [
                        {"missing": {"threshold": {"metric": "percent", "must_be_less_than_or_equal": 5}}},
                        {"invalid": {"valid_format": {"name": "code", "regex": "^c[0-9]$"}}},
                        {"invalid": {"valid_values": ["a"], "threshold": {"metric": "percent", "must_be_less_than": 5}}},
                        {"invalid": {"valid_reference_data": {"dataset": "warehouse/db/public/users", "column": "id"}}},
                        {"aggregate": {"function": "avg", "threshold": {"must_be_between": {"greater_than": 1, "less_than_or_equal": 5}}}},
                        {"missing": {"threshold": {"must_be_less_than": 3, "must_be_odd": True}}},
                    ],
                },
            ],
            "checks": [
                {"schema": None}, {"row_count": None}, {"row_count": {"threshold": {"must_be_between": {"greater_than_or_equal": 1, "less_than": 9}}}},
                {"freshness": {"column": "at", "threshold": {"unit": "hour", "must_be_less_than": 24}}},
                {"duplicate": {"columns": ["id", "code"]}}, {"failed_rows": {"expression": "x < 0"}}, {"metric": {"expression": "1"}},
            ],
        }
    )  # fmt: skip
    assert found.dataset == "orders"
    assert found.rules == [
        {"not_null": {"columns": ["id"]}},
        {"unique": {"columns": ["id"]}},
        {"not_null": {"columns": ["code"], "max_ratio": 0.05}},
        {"regex": {"column": "code", "pattern": "c[0-9]"}},
        {"foreign_key": {"column": "code", "references": "users.id"}},
        {"expect_column_mean_to_be_between": {"column": "code", "min_value": 1, "max_value": 5, "strict_min": True}},
        {"schema": {"columns": {"id": "bigint", "code": "varchar"}, "exact": True}},
        {"row_count": {"min": 1}},
        {"row_count": {"min": 1, "max": 8}},
        {"freshness": {"column": "at", "max_age": "24h"}},
        {"unique": {"columns": ["id", "code"]}},
    ]
    assert [what for what, _ in found.left_out] == ["invalid of code", "missing of code", "failed_rows", "metric"]
    assert found.notes == ["the order of the columns is not looked at"]


def test_several_datasets_of_one_file() -> None:
    found = read({"checks for a": ["row_count > 0"], "checks for b": ["row_count = 3"]})
    assert [(item.dataset, item.rules) for item in found] == [
        ("a", [{"row_count": {"min": 1}}]),
        ("b", [{"row_count": {"min": 3, "max": 3}}]),
    ]


@pytest.mark.parametrize("document", [None, [], {}, {"checks": 3}, "x"])
def test_what_is_no_file_of_soda_is_an_error(document: Any) -> None:
    with pytest.raises(MlctlError) as caught:
        read(document)
    assert caught.value.diagnostics[0].code == "data.bad-soda"


@pytest.mark.parametrize(
    ("document", "left_out"),
    [
        ({"checks for a": 3}, []),
        ({"checks for a": [3, None, {}]}, ["3", "None", "{}"]),
        ({"dataset": "a", "columns": 3}, []),
        (
            {"dataset": "a", "columns": [3, {"name": "x", "checks": [3, {"missing": 3, "x": 1}]}], "checks": "x"},
            ["3", "3"],
        ),
    ],
)
def test_a_file_of_another_shape_is_no_bug(document: Any, left_out: list[str]) -> None:
    """What is no check is listed too."""
    [found] = read(document)
    assert [what for what, _ in found.left_out] == left_out
