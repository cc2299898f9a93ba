"""Data checks by the real program: every rule passing and failing, with exact counts and the keys of the rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Context
from mlctl.providers.great_expectations.data_check import DataCheck
from mlctl.testing.harness import make_context
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from tests.integration.data.helpers import check, dataset, write_sql

pytestmark = pytest.mark.tools

# Ids 1 to 100; user 7 is unknown (ids 10, 20, 30), price is NULL at 3, NaN at 5, infinite at 6, negative at 8; code 1 twice.
ORDERS = """
    SELECT i AS id, CASE WHEN i IN (10, 20, 30) THEN 7 ELSE i % 5 END AS user_id,
        CASE i WHEN 3 THEN NULL WHEN 5 THEN 'nan'::DOUBLE WHEN 6 THEN 'inf'::DOUBLE WHEN 8 THEN -1 ELSE i END AS price,
        TIMESTAMP '2017-01-01' + to_days(i::INTEGER) AS at, CASE WHEN i = 50 THEN 1 WHEN i % 4 = 0 THEN NULL ELSE i END AS code,
        NULL::DOUBLE AS nothing
    FROM range(1, 101) AS r(i) ORDER BY i
"""


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> Context:
    made = make_context(tmp_path_factory.mktemp("project"))
    users = "SELECT u AS user_id, 'u' || u AS name FROM range(0, 5) AS r(u)"
    write_sql(
        made.root / "data",
        {"orders.parquet": ORDERS, "users.parquet": users, "none.parquet": f"SELECT * FROM ({ORDERS}) LIMIT 0"},
    )
    return made


@pytest.fixture(scope="module")
def orders(ctx: Context) -> Record:
    return dataset(ctx, "orders", path="data/orders.parquet", timestamp="at", key=["id"])


@pytest.fixture(scope="module")
def users(ctx: Context) -> Record:
    return dataset(ctx, "users", path="data/users.parquet", key=["user_id"])


def facts(record: Record) -> list[tuple[Any, ...]]:
    return [
        (
            rule["passed"],
            rule.get("checked_rows"),
            rule.get("failing_rows"),
            [item.get("id", item) for item in rule["sample"]],
        )
        for rule in record.outputs["rules"]
    ]


def test_every_short_rule_that_holds(ctx: Context, orders: Record, users: Record) -> None:
    made = check(
        ctx,
        [
            {"not_null": {"columns": ["id", "at"]}},
            {"not_null": {"columns": ["price"], "max_ratio": 0.02}},
            {"range": {"column": "id", "min": 1, "max": 100}},
            {"range": {"column": "price", "min": 0, "max": 100, "max_ratio": "3%"}},
            {"range": {"column": "at", "min": "2017-01-02T01:00:00+01:00", "max": "2017-04-11T00:00:00+00:00"}},
            {"unique": {"columns": ["id"]}},
            {"unique": {"columns": ["id", "user_id"]}},
            {"schema": {"columns": {"id": "int64", "at": "timestamp", "price": "float8"}}},
            {"foreign_key": {"column": "user_id", "references": "orders2.user_id"}},
        ],
        orders,
        dataset(ctx, "orders2", path="data/orders.parquet"),
    )
    assert made.gate is not None
    assert (made.gate.passed, made.gate.summary, made.gate.details) == (True, "9 rules passed", ())
    assert made.outputs["passed"] is True
    assert [item[:3] for item in facts(made)] == [
        (True, 100, 0), (True, 100, 2), (True, 100, 0), (True, 98, 2), (True, 100, 0), (True, 100, 0), (True, 100, 0), (True, None, None), (True, 100, 0),
    ]  # fmt: skip


def test_every_short_rule_that_fails(ctx: Context, orders: Record, users: Record) -> None:
    made = check(
        ctx,
        [
            {"not_null": {"columns": ["id", "price", "code"], "max_ratio": 0.02}},
            {"range": {"column": "price", "min": 0, "max": 1000}},
            {"range": {"column": "at", "max": "2017-04-09"}},
            {"unique": {"columns": ["code"]}},
            {"foreign_key": {"column": "user_id", "references": "users.user_id"}},
            {"schema": {"columns": {"id": "varchar", "prize": "double"}, "exact": True}},
            {"range": {"column": "at", "min": 3}},
            {"unique": {"columns": ["idd"]}},
            {"foreign_key": {"column": "user_id", "references": "users.name"}},
            {"foreign_key": {"column": "user_id", "references": "users.user"}},
            {"range": {"column": "nothing", "min": 0}},
            {"unique": {"columns": ["id"]}},
        ],
        orders,
        users,
    )
    assert facts(made) == [
        (False, 100, 25, [4, 8, 12, 16, 20]),
        (False, 98, 2, [6, 8]),
        (False, 100, 2, [99, 100]),
        (False, 75, 2, [1, 50]),
        (False, 100, 3, [10, 20, 30]),
        *[(False, None, None, [])] * 5,
        (False, 0, 0, []),
        (True, 100, 0, []),
    ]
    assert made.gate is not None
    assert (made.gate.passed, made.gate.summary) == (False, "11 of 12 rules failed")
    assert made.gate.details == (
        "not_null code: 25 of 100 rows (25.00 %) are null, at most 2.00 % may be; for example id=4; id=8; id=12; id=16; id=20",
        "range price: 2 of 98 rows (2.04 %) lie outside 0 to 1000; for example id=6; id=8",
        "range at: 2 of 100 rows (2.00 %) lie outside at most 2017-04-09; for example id=99; id=100",
        "unique code: 2 of 75 rows (2.67 %) share their value with another; for example id=1; id=50",
        "foreign_key user_id: 3 of 100 rows (3.00 %) have no match in users.user_id; for example id=10; id=20; id=30",
        "schema id, prize: `id` is bigint, not varchar; the dataset has no column `prize`; did you mean `price`?; "
        "`user_id` is not expected; `price` is not expected; `at` is not expected; `code` is not expected; `nothing` is not expected",
        "range at: `at` is timestamp, and the bounds are numbers",
        "unique idd: the dataset has no column `idd`; did you mean `id`?",
        "foreign_key user_id: `user_id` is bigint and users.name is varchar, which have no value in common",
        "foreign_key user_id: datasets.users has no column `user`; did you mean `user_id`?",
        "range nothing: no values: every row is null there",
    )
    report = json.loads((ctx.root / str(made.outputs["report"])).read_text())
    assert report["rules"] == made.outputs["rules"]
    assert report["summary"] == made.gate.summary
    assert not (ctx.root / str(made.outputs["report"])).parent.joinpath("spill").exists()


def test_expectations(ctx: Context, orders: Record) -> None:
    """One run of the library for all: row and column expectations, names, conditions, nulls, exceptions, severity."""
    name = "expect_column_values_to_be_in_set"
    made = check(
        ctx,
        [
            {name: {"column": "user_id", "value_set": [0, 1, 2, 3, 4, 7]}},
            {name: {"column": "user_id", "value_set": [0, 1, 2, 3, 4], "severity": "warning"}},
            {name: {"column": "user_id", "value_set": [0, 1, 2, 3, 4], "mostly": 0.97}},
            {
                name: {
                    "column": "user_id",
                    "value_set": [0, 1, 2, 3, 4],
                    "row_condition": "id > 25",
                    "condition_parser": "pandas",
                }
            },
            {name: {"column": "user_id", "value_set": [0], "row_condition": "id > 1000"}},
            {name: {"column": "nothing", "value_set": [0]}},
            {name: {"column": "user", "value_set": [0]}},
            {"expect_column_values_to_be_null": {"column": "nothing"}},
            {"expect_column_values_to_be_null": {"column": "code", "mostly": 0.5}},
            {"expect_column_mean_to_be_between": {"column": "id", "max_value": 50}},
            {
                "expect_column_quantile_values_to_be_between": {
                    "column": "id",
                    "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[50, 51]]},
                }
            },
            {
                "expect_column_distinct_values_to_be_in_set": {
                    "column": "user_id",
                    "value_set": [0, 1],
                    "row_condition": "id > 1000",
                }
            },
            {
                "expect_table_columns_to_match_ordered_list": {
                    "column_list": ["id", "user_id", "price", "at", "code", "nothing"]
                }
            },
            {"expect_column_to_exist": {"column": "user"}},
            {"expect_column_mean_to_be_between": {"column": "at", "min_value": 1}},
            {"unique": {"columns": ["id"]}},
        ],
        orders,
    )
    assert facts(made)[:5] == [
        (True, 100, 0, []),
        (False, 100, 3, [10, 20, 30]),
        (True, 100, 3, []),
        (False, 75, 1, [30]),
        (False, None, None, []),
    ]
    [absent] = [rule for rule in made.outputs["rules"] if rule["rule"] == "expect_column_to_exist"]
    assert absent["reason"] == "the dataset has no column `user`; did you mean `user_id`?"
    assert [rule["passed"] for rule in made.outputs["rules"][5:]] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
        True,
        False,
        False,
        True,
    ]
    assert [rule["rule"] for rule in made.outputs["rules"]][-2:] == ["expect_column_mean_to_be_between", "unique"]
    assert facts(made)[8] == (False, 100, 75, [1, 2, 3, 5, 6])
    assert made.gate is not None
    assert made.gate.summary == "9 of 16 rules failed, 1 warning"
    lines = list(made.gate.details)
    assert lines[-1] == f"{name} user_id [warn]: 3 of 100 rows (3.00 %) do not meet it; for example id=10; id=20; id=30"
    assert lines[1].endswith("no values: no row meets its `row_condition`")
    assert lines[2].endswith("no values: every row is null there")
    assert lines[3].endswith("did you mean `user_id`?")
    assert lines[5] == "expect_column_mean_to_be_between id: observed 50.5, expected max_value 50"
    assert made.outputs["rules"][9]["observed"] == 50.5


def test_arguments_that_only_the_library_can_judge(ctx: Context, orders: Record) -> None:
    with pytest.raises(MlctlError) as caught:
        check(ctx, [{"expect_column_values_to_be_in_set": {"column": "id", "value_set": 3}}], orders)
    [problem] = caught.value.diagnostics
    assert problem.code == "data.bad-rule"
    assert "value_set" in problem.why


def test_no_data_never_passes(ctx: Context) -> None:
    none = dataset(ctx, "none", path="data/none.parquet")
    rules: list[dict[str, Any]] = [
        {"not_null": {"columns": ["id"]}},
        {"unique": {"columns": ["id"]}},
        {"schema": {"columns": {"id": "bigint"}}},
        {"expect_column_values_to_be_unique": {"column": "id"}},
    ]
    made = check(ctx, rules, none)
    assert made.outputs["rows"] == 0
    assert made.gate is not None
    assert (made.gate.passed, made.gate.summary) == (False, "4 of 4 rules failed")
    assert all("has no rows" in line for line in made.gate.details)


def test_text_files_are_checked_as_they_were_profiled(ctx: Context) -> None:
    """Columns go by position in a CSV file and their mapping by name, so their order must not matter; a row is named when there is no key."""
    folder = ctx.root / "text"
    folder.mkdir()
    (folder / "x.csv").write_text("z,a\nx,1\ny,\nx,3.5\n")
    (folder / "x.jsonl").write_text('{"z":"x","a":1}\n{"z":"y"}\n{"z":"x","a":3.5}\n')
    rules: list[dict[str, Any]] = [
        {"unique": {"columns": ["z"]}},
        {"not_null": {"columns": ["a"]}},
        {"range": {"column": "a", "max": 3}},
    ]
    for form in ("csv", "jsonl"):
        made = check(ctx, rules, dataset(ctx, form, path=f"text/x.{form}"))
        assert [(rule["failing_rows"], rule["sample"]) for rule in made.outputs["rules"]] == [
            (2, [{"row": 1}, {"row": 3}]),
            (1, [{"row": 2}]),
            (1, [{"row": 3}]),
        ]


def test_keys_of_several_columns_and_types(ctx: Context) -> None:
    (ctx.root / "k.csv").write_text("n,t,f,v\n1,2017-01-01T00:00:00,0.5,\n")
    made = check(ctx, [{"not_null": {"columns": ["v"]}}], dataset(ctx, "k", path="k.csv", key=["n", "t", "f"]))
    assert made.outputs["rules"][0]["sample"] == [{"n": 1, "t": "2017-01-01 00:00:00", "f": "0.5"}]


def test_a_verdict_on_other_bytes_is_no_verdict(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    (tmp_path / "x.csv").write_text("id\n1\n1\n")
    profiled = dataset(ctx, "d", path="x.csv")
    (tmp_path / "x.csv").write_text("id\n1\n2\n")
    with pytest.raises(MlctlError) as caught:
        check(ctx, [{"unique": {"columns": ["id"]}}], profiled)
    assert caught.value.diagnostics[0].code == "data.changed-while-reading"
    (tmp_path / "x.csv").write_text("id\n1\n1\n")
    made = check(ctx, [{"unique": {"columns": ["id"]}}], profiled)
    assert made.gate is not None
    assert not made.gate.passed


def test_the_digest_changes_with_data_and_verdict_only(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    (tmp_path / "x.csv").write_text("id\n1\n2\n")
    data = dataset(ctx, "d", path="x.csv")
    one = check(ctx, [{"unique": {"columns": ["id"]}}], data)
    other = check(ctx, [{"range": {"column": "id", "min": 0}}], data)
    bad = check(ctx, [{"range": {"column": "id", "min": 2}}], data)
    assert one.key != other.key
    assert one.outputs["digest"] == other.outputs["digest"] != bad.outputs["digest"]


def test_read_and_delete(tmp_path: Path) -> None:
    ctx, kind = make_context(tmp_path), DataCheck()
    (tmp_path / "x.csv").write_text("id\n1\n")
    made = check(ctx, [{"unique": {"columns": ["id"]}}], dataset(ctx, "d", path="x.csv"))
    assert kind.read(made, ctx) is not None
    assert kind.describe(made) == "1 rule passed"
    assert kind.log(made, ctx) is not None
    kind.delete(made, ctx)
    assert kind.read(made, ctx) is None
    kind.delete(made, ctx)
    assert (tmp_path / "x.csv").exists()


def test_job_parameters_are_judged_before_anything_runs(ctx: Context, orders: Record) -> None:
    with pytest.raises(MlctlError) as caught:
        check(ctx, [{"uniq": {"columns": ["id"]}}, {"range": {"column": "id"}}], orders)
    assert [item.code for item in caught.value.diagnostics] == ["data.unknown-rule", "data.bad-rule"]


def test_a_text_column_without_a_value_is_said_to_be_null_and_a_shared_key_is_named_once(ctx: Context) -> None:
    """In a CSV file a column without values is read as text, whatever it was to hold."""
    (ctx.root / "data" / "gaps.csv").write_text("id,nothing,word\n1,,a\n2,,b\n2,,c\n3,,d\n3,,e\n")
    gaps = dataset(ctx, "gaps", path="data/gaps.csv", key=["id"])
    assert gaps.outputs["columns"]["nothing"] == "varchar"  # type: ignore[call-overload, index]
    assert gaps.outputs["repeated_keys"] == 2
    rules = [{"range": {"column": "nothing", "min": 0}}, {"range": {"column": "word", "min": 0}}]
    made = check(ctx, [*rules, {"unique": {"columns": ["id"]}}], gaps)
    found: Any = made.outputs["rules"]
    assert [rule["reason"] for rule in found[:2]] == [
        "no values: every row is null there",
        "`word` is varchar, and the bounds are numbers",
    ]
    assert found[2]["sample"] == [{"id": 2}, {"id": 3}]
