from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import EdgeKind, Kind
from mlctl.providers.great_expectations.data_check import DataCheck
from mlctl.providers.great_expectations.expectations import EXPECTATIONS, SQL_ONLY
from mlctl.providers.great_expectations.rules import rule_problems
from mlctl.providers.great_expectations.spec import DataCheckSpec
from mlctl.testing.harness import make_context
from mlctl.types.address import Address
from mlctl.types.jobs import duckdb_types

GOOD: list[dict[str, Any]] = [
    {"not_null": {"columns": ["a", "b"]}},
    {"not_null": {"columns": ["a"], "max_ratio": "1%"}},
    {"range": {"column": "a", "min": 0}},
    {"range": {"column": "a", "min": -1.5, "max": 10**30, "max_ratio": 0.01}},
    {"range": {"column": "t", "min": "2017-01-01", "max": "2017-12-31T23:59:59"}},
    {"unique": {"columns": ["a", "b"]}},
    {
        "schema": {
            "columns": {
                "a": "bigint",
                "b": "NUMERIC(18, 2)",
                "c": "text",
                "d": "timestamptz",
                "e": "int[]",
                "f": "struct(x bigint)",
            }
        }
    },
    {"schema": {"columns": {"a": "double"}, "exact": True}},
    {"foreign_key": {"column": "a", "references": "users.user_id"}},
    {"foreign_key": {"column": "a", "references": "users.user.id"}},
    {"expect_column_values_to_be_in_set": {"column": "a", "value_set": [0, 1], "mostly": 0.9, "severity": "warning"}},
    {
        "expect_column_mean_to_be_between": {
            "column": "a",
            "min_value": 0.2,
            "row_condition": "b > 1",
            "condition_parser": "pandas",
        }
    },
    {"expect_compound_columns_to_be_unique": {"column_list": ["a", "b"]}},
    {"expect_column_kl_divergence_to_be_less_than": {"column": "a", "partition_object": {}, "threshold": 0.1}},
]

BAD: list[tuple[dict[str, Any], str, tuple[str, ...], str]] = [
    ({"not_nul": {"columns": ["a"]}}, "data.unknown-rule", ("not_nul",), "did you mean `not_null`?"),
    ({"expect_column_values_to_be_unqiue": {}}, "data.unknown-rule", ("expect_column_values_to_be_unqiue",), "did you mean `expect_column_values_to_be_unique`?"),
    ({"zzz": {}}, "data.unknown-rule", ("zzz",), "short rules"),
    ({"expect_column_values_to_match_like_pattern": {"column": "a", "like_pattern": "x"}}, "data.unknown-rule", ("expect_column_values_to_match_like_pattern",), "regex"),
    ({}, "data.bad-rule", (), ""),
    ({"unique": {"columns": ["a"]}, "not_null": {"columns": ["a"]}}, "data.bad-rule", (), "entry of its own"),
    ({"not_null": {}}, "spec.missing-field", ("not_null",), "columns"),
    ({"not_null": {"columns": []}}, "data.bad-rule", ("not_null", "columns"), ""),
    ({"not_null": {"columns": "a"}}, "data.bad-rule", ("not_null", "columns"), ""),
    ({"not_null": {"columns": ["a"], "max_ration": 0.1}}, "spec.unknown-field", ("not_null", "max_ration"), "did you mean `max_ratio`?"),
    ({"not_null": {"columns": ["a"], "max_ratio": 2}}, "data.bad-rule", ("not_null", "max_ratio"), ""),
    ({"unique": {"columns": ["a", "a"]}}, "data.bad-rule", ("unique", "columns"), ""),
    ({"range": {"column": "a"}}, "data.bad-rule", ("range",), ""),
    ({"range": {"column": "a", "min": 5, "max": 1}}, "data.bad-rule", ("range",), ""),
    ({"range": {"column": "a", "min": "2018-01-01", "max": "2017-01-01"}}, "data.bad-rule", ("range",), ""),
    ({"range": {"column": "a", "min": "2018-01-01", "max": 3}}, "data.bad-rule", ("range",), ""),
    ({"range": {"column": "a", "min": "2018-01-01", "max": "2018-01-02T00:00:00+01:00"}}, "data.bad-rule", ("range",), ""),
    ({"range": {"column": "a", "min": "soon"}}, "data.bad-rule", ("range", "min"), ""),
    ({"range": {"column": "a", "min": True}}, "data.bad-rule", ("range", "min"), ""),
    ({"range": {"column": "a", "min": float("nan")}}, "data.bad-rule", ("range", "min"), ""),
    ({"range": {"column": "a", "max": float("inf")}}, "data.bad-rule", ("range", "max"), ""),
    ({"schema": {"columns": {"a": "bigin"}}}, "data.bad-rule", ("schema", "columns", "a"), "did you mean `bigint`?"),
    ({"schema": {"columns": {}}}, "data.bad-rule", ("schema", "columns"), ""),
    ({"schema": {"columns": {"a": "bigint"}, "exact": "yes"}}, "data.bad-rule", ("schema", "exact"), ""),
    ({"foreign_key": {"column": "a", "references": "users"}}, "data.bad-rule", ("foreign_key", "references"), ""),
    ({"expect_column_values_to_be_in_set": {"column": "a"}}, "spec.missing-field", ("expect_column_values_to_be_in_set",), "value_set"),
    ({"expect_column_values_to_be_unique": {"column": "a", "mosty": 1}}, "spec.unknown-field", ("expect_column_values_to_be_unique", "mosty"), "did you mean `mostly`?"),
    ({"expect_column_values_to_be_unique": {"column": 3}}, "data.bad-rule", ("expect_column_values_to_be_unique", "column"), ""),
    ({"expect_column_values_to_be_unique": {"column": "a", "mostly": 1.5}}, "data.bad-rule", ("expect_column_values_to_be_unique", "mostly"), ""),
    ({"expect_column_values_to_be_unique": {"column": "a", "condition_parser": "pandas"}}, "data.bad-rule", ("expect_column_values_to_be_unique", "condition_parser"), ""),
    ({"expect_column_max_to_be_between": {"column": "a", "strict_min": True}}, "data.bad-rule", ("expect_column_max_to_be_between",), "min_value"),
    ({"expect_compound_columns_to_be_unique": {"column_list": "a"}}, "data.bad-rule", ("expect_compound_columns_to_be_unique", "column_list"), ""),
]  # fmt: skip


@pytest.mark.parametrize("rule", GOOD, ids=str)
def test_good_rules(rule: dict[str, Any]) -> None:
    assert list(rule_problems(0, rule)) == []


@pytest.mark.parametrize(("rule", "code", "path", "fix"), BAD, ids=[str(item[0]) for item in BAD])
def test_bad_rules(rule: dict[str, Any], code: str, path: tuple[str, ...], fix: str) -> None:
    problems = list(rule_problems(4, rule))
    assert [(item.code, item.path) for item in problems] == [(code, ("rules", 4, *path))]
    assert fix in problems[0].fix
    assert problems[0].summary


def test_all_problems_at_once(tmp_path: Path) -> None:
    spec = DataCheckSpec(
        dataset="d", rules=[{"uniqe": {}}, {"unique": {"columns": ["a"]}}, {"range": {"colum": "a", "min": 1}}]
    )
    found = DataCheck().check(spec, make_context(tmp_path))
    assert [(item.code, item.path) for item in found] == [
        ("data.unknown-rule", ("rules", 0, "uniqe")),
        ("spec.missing-field", ("rules", 2, "range")),
        ("spec.unknown-field", ("rules", 2, "range", "colum")),
    ]


def test_foreign_keys_are_links_with_their_place() -> None:
    rules: list[dict[str, Any]] = [
        {"unique": {"columns": ["a"]}},
        {"foreign_key": {"column": "a", "references": "users.user_id"}},
        {"foreign_key": {"column": "b", "references": 7}},
        {"foreign_key": {}},
    ]
    [link] = DataCheckSpec(dataset="d", rules=rules).links()
    assert link.path == ("rules", 1, "foreign_key", "references")
    assert (link.address, link.edge, link.guards) == (Address("datasets", "users"), EdgeKind.INPUT, False)


def test_the_json_schema_knows_every_rule() -> None:
    [entry] = [item["items"] for item in [DataCheckSpec.model_json_schema()["properties"]["rules"]]]
    assert {"not_null", "range", "unique", "schema", "foreign_key"} <= entry["properties"].keys()
    assert entry["properties"].keys() >= EXPECTATIONS.keys() - SQL_ONLY
    assert not entry["properties"].keys() & SQL_ONLY
    assert entry["properties"]["expect_column_values_to_be_in_set"]["required"] == ["column", "value_set"]
    assert entry["additionalProperties"] is False


def test_the_table_of_expectations() -> None:
    known = EXPECTATIONS["expect_column_values_to_be_in_set"]
    assert known.required == {"column", "value_set"}
    assert known.optional == {"mostly", "row_condition", "condition_parser", "severity"}
    assert len(EXPECTATIONS) == 59
    assert EXPECTATIONS.keys() > SQL_ONLY


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("BIGINT", "bigint"), ("int64", "bigint"), ("Text", "varchar"), ("numeric(18, 2)", "decimal(18,2)"), ("timestamptz", "timestamp with time zone"),
        ("int[]", "integer[]"), ("time with time zone", "time with time zone"), ("nonsense(3)", "nonsense(3)"),
    ],
)  # fmt: skip
def test_type_names_that_mean_the_same(written: str, normal: str) -> None:
    assert duckdb_types.normal(written) == normal
    assert duckdb_types.base("nonsense(3)") is None


def test_it_is_a_kind() -> None:
    assert isinstance(DataCheck(), Kind)
