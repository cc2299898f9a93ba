"""What an engine cannot do is said before anything runs, and the guide's table says the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field

from mlctl.provider import Block, Spec
from mlctl.providers.great_expectations.engines import UNSUPPORTED, engine_problems, place_problems, table, why_not
from mlctl.types.jobs.checks import (
    SHORT_RULES,
    DuckdbEngine,
    GreatExpectationsEngine,
    PushdownEngine,
    SparkEngine,
    parse_rule,
)

FOREST = {"outliers": {"columns": ["x"], "method": "isolation_forest"}}
IQR = {"outliers": {"columns": ["x"], "method": "iqr"}}
NAMED = {"expect_column_values_to_be_null": {"column": "x"}}
GUIDE = Path(__file__).parents[4] / "docs" / "guides" / "check-engines.md"


class Database(Block):
    type: str
    url: str = "postgresql://one"
    table: str = "t"


class Data(Spec):
    database: Database | None = None
    copy_rows: bool = Field(default=True, alias="copy")
    key: list[str] = Field(default=["id"])


FILES = Data()
REMOTE = Data(database=Database(type="postgres"), copy=False)
COPIED = Data(database=Database(type="postgres"))


def test_the_default_engines_do_every_rule() -> None:
    for engine in (DuckdbEngine(), GreatExpectationsEngine(type="great_expectations")):
        assert not list(engine_problems(engine, [FOREST, IQR, NAMED]))


def test_a_rule_that_an_engine_cannot_do_is_refused_where_it_stands() -> None:
    found = list(engine_problems(SparkEngine(type="spark"), [IQR, FOREST, NAMED]))
    assert [(item.code, item.path) for item in found] == [
        ("data.engine-cannot", ("rules", 1, "outliers")),
        ("data.engine-cannot", ("rules", 2, "expect_column_values_to_be_null")),
    ]
    assert "rows do not leave this engine" in found[0].why


def test_what_only_some_databases_cannot_do_is_refused_once_the_database_is_known() -> None:
    engine = PushdownEngine(type="pushdown")
    assert not list(engine_problems(engine, [IQR]))
    assert not list(engine_problems(engine, [IQR], "postgres"))
    [problem] = engine_problems(engine, [IQR], "bigquery")
    assert "quantile" in problem.why
    [problem] = engine_problems(engine, [{"regex": {"column": "x", "pattern": "(?i)a"}}], "snowflake")
    assert "flags" in problem.why


def test_rules_that_cannot_be_read_are_left_to_others() -> None:
    assert not list(engine_problems(SparkEngine(type="spark"), [{"range": {}}, {"a": {}, "b": {}}, {"outliers": 3}]))


def test_settings_that_decide_verdicts_cannot_be_set() -> None:
    engine = SparkEngine(
        type="spark", config={"spark.executor.memory": "2g", "spark.sql.session.timeZone": "Asia/Tokyo"}
    )
    [problem] = engine_problems(engine, [])
    assert problem.path == ("engine", "config", "spark.sql.session.timeZone")


@pytest.mark.parametrize(
    ("engine", "dataset", "others", "said"),
    [
        (DuckdbEngine(), FILES, {}, None),
        (DuckdbEngine(), COPIED, {"users": FILES}, None),
        (DuckdbEngine(), REMOTE, {}, "the engine `duckdb` cannot read datasets.orders"),
        (SparkEngine(type="spark"), FILES, {"users": REMOTE}, "the engine `spark` cannot read datasets.users"),
        (SparkEngine(type="spark"), Data(key=[]), {}, "needs a key"),
        (PushdownEngine(type="pushdown"), REMOTE, {"users": REMOTE}, None),
        (PushdownEngine(type="pushdown"), COPIED, {}, "cannot check against datasets.orders"),
        (PushdownEngine(type="pushdown"), REMOTE, {"users": FILES}, "cannot check against datasets.users"),
        (PushdownEngine(type="pushdown"), REMOTE, {"users": Data(database=Database(type="postgres", url="x"), copy=False)}, "cannot compare"),
    ],
)  # fmt: skip
def test_rows_must_be_where_the_engine_looks(
    engine: Any, dataset: Any, others: dict[str, Any], said: str | None
) -> None:
    found = [item.summary for item in place_problems(engine, "orders", dataset, others)]
    assert found == [] if said is None else said in found[0]


def test_the_table_of_unsupported_rules_names_rules_that_there_are() -> None:
    for whys in UNSUPPORTED.values():
        for name in whys:
            rule, _, method = name.partition(": ")
            assert rule == "expectation" or rule in SHORT_RULES
            if method:
                assert parse_rule({rule: {"columns": ["x"], "method": method}})


def test_why_not_knows_the_flavour_of_patterns() -> None:
    rule = parse_rule({"regex": {"column": "x", "pattern": r"\bok"}})
    assert not why_not("regex", rule, "great_expectations")
    assert why_not("regex", rule, "pushdown: postgres")
    assert not why_not("regex", SimpleNamespace(pattern=r"\d"), "spark")


def test_the_guide_has_the_table() -> None:
    assert table() in GUIDE.read_text(encoding="utf-8")
