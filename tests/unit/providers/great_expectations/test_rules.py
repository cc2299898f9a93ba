from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Kind
from mlctl.providers.great_expectations.data_check import DataCheck, query_names
from mlctl.providers.great_expectations.expectations import EXPECTATIONS, SQL_ONLY
from mlctl.providers.great_expectations.rules import rule_problems
from mlctl.providers.great_expectations.spec import DataCheckSpec
from mlctl.testing.harness import make_context
from mlctl.types.address import Address
from mlctl.types.change import EdgeKind
from mlctl.types.jobs import duckdb_types
from mlctl.types.jobs.checks import DuckdbEngine
from mlctl.types.jobs.contract import CategoricalBins, ContractColumn, DataContract, NumericBins

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
    {"set": {"column": "a", "values": ["x", "y"], "severity": "warn"}},
    {"set": {"column": "a", "values": [1, 2.5]}},
    {"regex": {"column": "a", "pattern": r"[^@]+@[a-z.]+\.[a-z]{2,}"}},
    {"regex": {"column": "a", "pattern": "(?i)(?P<n>ab|[(?=])+"}},
    {"length": {"column": "a", "max": 0}},
    {"outliers": {"columns": ["a"]}},
    {"outliers": {"columns": ["a", "b"], "method": "isolation_forest", "threshold": 0.7, "max_ratio": "1%"}},
    {"schema_drift": {"allow": ["added", "widened"]}},
    {"distribution": {"column": "a", "method": "ks", "alpha": 0.01, "threshold": 0.05}},
    {"distribution": {"column": "a", "method": "psi", "threshold": 2}},
    {"freshness": {"max_age": "7d"}},
    {"row_count": {"max_change": "20%"}},
    {"row_count": {"min": 1}},
    {"sql": {"query": "-- odd ones\nSELECT * FROM d WHERE ';' = a;"}},
    {"sql": {"query": "WITH x AS (SELECT 1) SELECT * FROM d, x JOIN users USING (id)", "datasets": ["users"]}},
    {"sql": {"query": "SELECT * FROM d JOIN users USING (id)", "datasets": ["eu.users"]}},
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
    ({"not_null": {"columns": ["a"], "max_ratio": 1}}, "data.bad-rule", ("not_null", "max_ratio"), ""),
    ({"not_null": {"columns": ["a"], "severity": "warning"}}, "data.bad-rule", ("not_null", "severity"), ""),
    ({"set": {"column": "a", "values": []}}, "data.bad-rule", ("set", "values"), ""),
    ({"set": {"column": "a", "values": [1, "a"]}}, "data.bad-rule", ("set",), ""),
    ({"set": {"column": "a", "values": [1, True]}}, "data.bad-rule", ("set",), ""),
    ({"set": {"column": "a", "values": [1, 1.0]}}, "data.bad-rule", ("set",), ""),
    ({"set": {"column": "a", "values": [float("inf")]}}, "data.bad-rule", ("set",), ""),
    ({"set": {"column": "a", "values": [None]}}, "data.bad-rule", ("set", "values"), ""),
    ({"regex": {"column": "a", "pattern": "("}}, "data.bad-rule", ("regex", "pattern"), ""),
    ({"regex": {"column": "a", "pattern": "(?=a)b"}}, "data.bad-rule", ("regex", "pattern"), ""),
    ({"regex": {"column": "a", "pattern": r"(a)\1"}}, "data.bad-rule", ("regex", "pattern"), ""),
    ({"regex": {"column": "a", "pattern": "a++"}}, "data.bad-rule", ("regex", "pattern"), ""),
    ({"length": {"column": "a"}}, "data.bad-rule", ("length",), ""),
    ({"length": {"column": "a", "min": 0}}, "data.bad-rule", ("length", "min"), ""),
    ({"length": {"column": "a", "min": 3, "max": 2}}, "data.bad-rule", ("length",), ""),
    ({"outliers": {"columns": ["a"], "method": "mad"}}, "data.bad-rule", ("outliers", "method"), ""),
    ({"outliers": {"columns": ["a"], "threshold": 0}}, "data.bad-rule", ("outliers", "threshold"), ""),
    ({"outliers": {"columns": ["a"], "method": "isolation_forest", "threshold": 3}}, "data.bad-rule", ("outliers",), ""),
    ({"schema_drift": {"allow": ["changed", "widened"]}}, "data.bad-rule", ("schema_drift",), ""),
    ({"schema_drift": {"allow": ["added", "added"]}}, "data.bad-rule", ("schema_drift", "allow"), ""),
    ({"schema_drift": {"allow": ["added", "removed", "changed"]}}, "data.bad-rule", ("schema_drift",), ""),
    ({"distribution": {"column": "a", "alpha": 0.05}}, "data.bad-rule", ("distribution",), ""),
    ({"distribution": {"column": "a", "method": "histogram", "alpha": 0.05}}, "data.bad-rule", ("distribution",), ""),
    ({"distribution": {"column": "a", "method": "ks", "threshold": 1}}, "data.bad-rule", ("distribution",), ""),
    ({"freshness": {"max_age": 7}}, "data.bad-rule", ("freshness", "max_age"), ""),
    ({"row_count": {}}, "data.bad-rule", ("row_count",), ""),
    ({"row_count": {"min": 0}}, "data.bad-rule", ("row_count", "min"), ""),
    ({"row_count": {"min": 3, "max": 2}}, "data.bad-rule", ("row_count",), ""),
    ({"row_count": {"max_change": 0}}, "data.bad-rule", ("row_count", "max_change"), ""),
    ({"sql": {"query": "DELETE FROM d"}}, "data.bad-rule", ("sql", "query"), ""),
    ({"sql": {"query": "COPY d TO 'x'"}}, "data.bad-rule", ("sql", "query"), ""),
    ({"sql": {"query": "SELECT 1; DROP TABLE d"}}, "data.bad-rule", ("sql", "query"), ""),
    ({"sql": {"query": "SELECT * FROM d", "datasets": ["users"]}}, "data.bad-rule", ("sql",), ""),
    ({"expect_column_values_to_be_unique": {"column": "a", "severity": "warn"}}, "data.bad-rule", ("expect_column_values_to_be_unique", "severity"), "warning"),
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


def test_queries_link_to_the_datasets_they_read() -> None:
    rules: list[dict[str, Any]] = [{"sql": {"query": "SELECT * FROM d, u", "datasets": ["u", 3]}}, {"sql": {}}]
    [link] = DataCheckSpec(dataset="d", rules=rules).links()
    assert (link.path, link.address) == (("rules", 0, "sql", "datasets", 0), Address("datasets", "u"))


def test_an_engine_is_a_name_or_a_mapping_and_a_quarantine_true_or_a_mapping() -> None:
    rules: list[dict[str, Any]] = [{"unique": {"columns": ["a"]}}]
    plain = DataCheckSpec(dataset="d", rules=rules)
    assert (plain.engine.type, plain.quarantine) == ("duckdb", None)
    spec = DataCheckSpec.model_validate({"dataset": "d", "rules": rules, "engine": "spark", "quarantine": True})
    assert spec.engine.type == "spark"
    assert spec.quarantine is not None
    assert spec.quarantine.max_rows is None
    limited = DataCheckSpec.model_validate(
        {"dataset": "d", "rules": rules, "engine": {"memory_limit": "2GB"}, "quarantine": {"max_rows": 5}}
    )
    assert isinstance(limited.engine, DuckdbEngine)
    assert limited.engine.memory_limit == "2GB"
    assert limited.quarantine is not None
    assert limited.quarantine.max_rows == 5
    for bad in ({"engine": "polars"}, {"engine": {"memory_limit": "lots"}}, {"quarantine": {"max_rows": 0}}):
        with pytest.raises(ValidationError):
            DataCheckSpec.model_validate({"dataset": "d", "rules": rules, **bad})


@pytest.mark.parametrize(
    ("dataset", "others", "expected"),
    [
        ("orders", ["users"], ("orders", {"users": "users"})),
        ("eu.orders", ["eu.users"], ("orders", {"eu.users": "eu.users", "users": "eu.users"})),
        ('trips["eu"]', ['trips["us"]'], ("trips", {'trips["us"]': 'trips["us"]'})),
        ("eu.orders", ["orders"], ("eu.orders", {"orders": "orders"})),
        ("orders", ["eu.users", "us.users"], ("orders", {"eu.users": "eu.users", "us.users": "us.users"})),
        ("orders", ["orders"], ("orders", {"orders": "orders"})),
    ],
)
def test_no_name_in_a_query_means_two_datasets(
    dataset: str, others: list[str], expected: tuple[str, dict[str, str]]
) -> None:
    assert query_names(dataset, others) == expected


def problems(root: Path, **block: Any) -> list[tuple[str, tuple[str | int, ...], str]]:
    found = DataCheck().check(DataCheckSpec.model_validate({"dataset": "d", **block}), make_context(root))
    return [(item.code, item.path, item.severity) for item in found]


def test_what_has_no_effect_is_refused(tmp_path: Path) -> None:
    unique = {"unique": {"columns": ["a"]}}
    assert problems(tmp_path, rules=[unique], contract="c.json") == [("data.no-effect", ("contract",), "error")]
    assert problems(tmp_path, rules=[{"row_count": {"min": 1}}], quarantine=True) == [
        ("data.no-effect", ("quarantine",), "error")
    ]
    query = {"sql": {"query": "SELECT * FROM other"}}
    assert problems(tmp_path, rules=[query]) == [("data.bad-rule", ("rules", 0, "sql", "query"), "error")]


def test_a_contract_is_looked_into_before_anything_runs(tmp_path: Path) -> None:
    rules = [
        {"distribution": {"column": "a", "method": "ks"}},
        {"distribution": {"column": "b"}},
        {"distribution": {"column": "n", "method": "ks"}},
        {"schema_drift": {}},
    ]
    assert problems(tmp_path, rules=rules) == [("data.no-contract", (), "warning")]
    spec = DataCheckSpec.model_validate({"dataset": "d", "rules": rules})
    ctx = make_context(tmp_path)
    assert DataCheck().parts(spec, ctx) == {"file:contracts/d.json": "missing"}
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/d.json").write_text("{}")
    assert problems(tmp_path, rules=rules) == [("data.bad-contract", ("contract",), "error")]
    words = CategoricalBins(values=["x"], counts=[1], other=0, nulls=0)
    numbers = NumericBins(edges=[1.0], counts=[1, 1], nulls=0)
    columns = [
        ContractColumn(name="a", type="varchar", bins=words),
        ContractColumn(name="n", type="double", bins=numbers),
    ]
    made = DataContract(dataset="d", digest="x", recorded_at="2024-01-01T00:00:00Z", rows=2, columns=columns)
    (tmp_path / "contracts/d.json").write_text(made.model_dump_json())
    assert problems(tmp_path, rules=rules) == [
        ("data.bad-rule", ("rules", 0, "distribution", "method"), "error"),
        ("data.bad-rule", ("rules", 1, "distribution", "column"), "error"),
    ]
    before = DataCheck().parts(spec, ctx)
    (tmp_path / "contracts/d.json").write_text(made.model_copy(update={"rows": 3}).model_dump_json())
    assert before.keys() == DataCheck().parts(spec, ctx).keys()
    assert before != DataCheck().parts(spec, ctx)
    assert DataCheck().parts(DataCheckSpec(dataset="d", rules=[{"unique": {"columns": ["a"]}}]), ctx) == {}


def test_a_contract_of_rows_that_stayed_in_their_database_says_why_it_has_no_distributions(tmp_path: Path) -> None:
    made = DataContract(
        dataset="d",
        digest="x",
        recorded_at="2024-01-01T00:00:00Z",
        rows=2,
        columns=[ContractColumn(name="a", type="double")],
    )
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/d.json").write_text(made.model_dump_json())
    spec = DataCheckSpec.model_validate({"dataset": "d", "rules": [{"distribution": {"column": "a"}}]})
    [problem] = DataCheck().check(spec, make_context(tmp_path))
    assert "`copy: false`" in problem.why
    assert "record it from a copy" in problem.fix


@pytest.mark.parametrize(
    ("rule", "summary", "fix"),
    [
        ({"unique": {"columns": "a"}}, "`columns` of the rule `unique`: it takes a list", "write the item in brackets: `columns: [a]`"),
        ({"unique": {"columns": None}}, "`columns` of the rule `unique`: it takes a list", ""),
        ({"set": {"column": "a", "values": []}}, "`values` of the rule `set`: it takes at least one item", ""),
        ({"range": {"column": 3, "min": 0}}, "`column` of the rule `range`: it takes a text", ""),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_shape_is_told_in_plain_words(rule: dict[str, Any], summary: str, fix: str) -> None:
    [problem] = rule_problems(0, rule)
    assert (problem.summary, problem.fix) == (summary, fix)


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
