"""The whole SQL of every rule in every dialect, against files that a person has read; and what is refused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from mlctl.providers.great_expectations.engines import why_not
from mlctl.runtime.checks.dialect import readable, translate, translate_over
from mlctl.runtime.checks.dialect_fixes import Dialect, Untranslatable
from mlctl.types.jobs.checks import parse_rule
from mlctl.types.jobs.contract import DataContract

GOLDENS = Path(__file__).with_name("goldens")
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
ENGINES = {dialect: "spark" if dialect == "spark" else f"pushdown: {dialect}" for dialect in DIALECTS}

COLUMNS = {
    "id": "bigint", "x": "double", "small": "float", "amount": "decimal(18,2)", "name": "varchar", "flag": "boolean", "day": "date",
    "at": "timestamp", "zoned": "timestamp with time zone", 'Straße "1': "bigint",
}  # fmt: skip
TABLES = {"orders": list(COLUMNS), "users": ["user_id"]}
NUMERIC = {"kind": "numeric", "edges": [0.5, 10.0], "counts": [1, 2, 3], "nulls": 0}
TIMES = {"kind": "numeric", "edges": [1704067200.0, 1704153600.5], "counts": [1, 2, 3], "nulls": 0}
TEXTS = {"kind": "categorical", "values": ["it's", "b"], "counts": [1, 2], "other": 3, "nulls": 0}
CONTRACT = DataContract.model_validate(
    {
        "dataset": "orders", "digest": "d", "recorded_at": "2026-01-01T00:00:00Z", "rows": 10,
        "columns": [
            {"name": "x", "type": "double", "bins": NUMERIC}, {"name": "amount", "type": "decimal(18,2)", "bins": NUMERIC},
            {"name": "name", "type": "varchar", "bins": TEXTS}, {"name": "flag", "type": "boolean", "bins": TEXTS},
            {"name": "at", "type": "timestamp", "bins": TIMES}, {"name": "zoned", "type": "timestamp with time zone", "bins": TIMES},
        ],
    }
)  # fmt: skip
RULES: list[dict[str, dict[str, Any]]] = [
    {"not_null": {"columns": ["x", 'Straße "1']}},
    {"range": {"column": "id", "min": 1, "max": 10}},
    {"range": {"column": "x", "min": -0.5}},
    {"range": {"column": "small", "max": 0.1}},
    {"range": {"column": "amount", "max": 39.1}},
    {"range": {"column": "day", "min": "2024-01-03"}},
    {"range": {"column": "at", "min": "2024-01-01T02:00:00", "max": "2025-01-01"}},
    {"range": {"column": "zoned", "max": "2024-01-02T16:00:00+01:00"}},
    {"set": {"column": "name", "values": ["Zoë", "it's", "a\\b"]}},
    {"set": {"column": "x", "values": [1, 2.5]}},
    {"set": {"column": "amount", "values": [1.1]}},
    {"set": {"column": "flag", "values": [True]}},
    {"set": {"column": "at", "values": ["2024-01-01"]}},
    {"regex": {"column": "name", "pattern": r"(?i)[A-Z\d]-(\d{3}|.)'\.?$"}},
    {"length": {"column": "name", "min": 1, "max": 5}},
    {"unique": {"columns": ["x"]}},
    {"unique": {"columns": ["id", "name"]}},
    {"foreign_key": {"column": "id", "references": "users.user_id"}},
    {"outliers": {"columns": ["x", "amount"]}},
    {"outliers": {"columns": ["x"], "method": "iqr"}},
    {"distribution": {"column": "x"}},
    {"distribution": {"column": "amount", "method": "ks"}},
    {"distribution": {"column": "name"}},
    {"distribution": {"column": "flag"}},
    {"distribution": {"column": "at"}},
    {"distribution": {"column": "zoned"}},
    {"freshness": {"column": "at", "max_age": "1d"}},
    {"freshness": {"column": "zoned", "max_age": "1d"}},
    {"freshness": {"column": "day", "max_age": "1d"}},
    {"sql": {"query": "WITH few AS (SELECT * FROM Orders WHERE X < 0 -- odd\n) SELECT ID FROM few;"}},
    {"sql": {"query": "SELECT o.id FROM orders o LEFT JOIN users u ON o.id = u.user_id WHERE u.user_id IS NULL", "datasets": ["users"]}},
]  # fmt: skip


class Recorder:
    """An executor that keeps what it is asked. It counts two of whatever it is, so that every rule asks all it has to ask."""

    columns = COLUMNS
    references: Mapping[str, Mapping[str, str]] = {"users": {"user_id": "bigint"}}

    def __init__(self) -> None:
        self.asked: list[str] = []

    def one(self, sql: str) -> dict[str, Any]:
        self.asked.append(sql)
        return {name: 1 if name == "n" else 2 for name in re.findall(r"\bAS (\w+)", sql)}

    def many(self, sql: str) -> list[dict[str, Any]]:
        self.asked.append(sql)
        return [{"id": 1}]

    def write(self, sql: str, path: Path) -> int:
        self.asked.append(sql)
        return 0

    def own_query(self, query: str, datasets: Collection[str]) -> str:
        return readable(query, TABLES)


def asked_by(rule: dict[str, dict[str, Any]]) -> list[str]:
    """All SQL of a data check of one rule, its quarantine included."""
    from mlctl.runtime.checks import quarantine
    from mlctl.runtime.checks.checker import Checker
    from mlctl.runtime.checks.checker_rule import Scene
    from mlctl.types.jobs.checks import Quarantine

    class Nothing:
        def takes(self, check: Any) -> bool:
            return False

        def judge(self, checks: Any, rows: int) -> Mapping[int, Any]:
            raise AssertionError("nothing is taken")

    executor = Recorder()
    scene = Scene(
        executor, "orders", '"orders"', ["id"], "at", CONTRACT, datetime(2026, 1, 1, tzinfo=UTC), lambda *_: None
    )
    _, verdicts = Checker(scene, Nothing(), lambda *_: None).judge(list(rule), [parse_rule(rule)])
    if any(item.where and item.failing_rows for item in verdicts):
        quarantine.write(scene, verdicts, Quarantine(path="q.parquet", max_rows=10))
    return executor.asked


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_sql_of_every_rule_is_what_was_read_and_found_right(dialect: Dialect) -> None:
    import sqlglot

    blocks = []
    for rule in RULES:
        [(name, arguments)] = rule.items()
        if why_not(name, parse_rule(rule), ENGINES[dialect]):
            continue
        lines = [translate(text, dialect, TABLES) for text in asked_by(rule)]
        for line in lines:
            sqlglot.parse_one(line, read=dialect)
        blocks.append(
            "\n".join([f"-- {name} {json.dumps(arguments, ensure_ascii=False)}", *(f"{line};" for line in lines)])
        )
    text = "\n\n".join(blocks) + "\n"
    golden = GOLDENS / f"{dialect}.sql"
    if os.environ.get("MLCTL_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_what_cannot_be_translated_is_what_the_engine_refuses() -> None:
    refused = {}
    for dialect in DIALECTS:
        for rule in RULES:
            try:
                for text in asked_by(rule):
                    translate(text, dialect, TABLES)
            except Untranslatable:
                refused[dialect] = rule
            else:
                continue
            [(name, _)] = rule.items()
            assert why_not(name, parse_rule(rule), ENGINES[dialect]), (dialect, rule)
    assert refused["bigquery"] == {"outliers": {"columns": ["x"], "method": "iqr"}}
    assert refused["snowflake"] == {"regex": RULES[13]["regex"]}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DELETE FROM orders", "not one SELECT"),
        ("SELECT 1; SELECT 2", "not one SELECT"),
        ("SELECT * FROM", "cannot be read"),
        ("SELECT * FROM payroll", "reads `payroll`"),
        ("SELECT * FROM hr.orders", "reads `hr.orders`"),
        ("SELECT * FROM read_csv('/etc/passwd')", "reads `READ_CSV"),
        ("SELECT * FROM '/etc/passwd'", "reads"),
        (
            "SELECT * FROM orders, (WITH payroll AS (SELECT 1 AS a) SELECT * FROM payroll) AS mine, payroll",
            "reads `payroll`",
        ),
        ("WITH payroll AS (SELECT * FROM payroll) SELECT * FROM orders, payroll", "reads `payroll`"),
        ("WITH a AS (SELECT * FROM payroll), payroll AS (SELECT 1 AS b) SELECT * FROM orders, a", "reads `payroll`"),
        ("SELECT pg_read_file('/etc/passwd') FROM orders", "`pg_read_file`"),
        ("SELECT * FROM orders USING SAMPLE 3", "sample"),
        ("SELECT row_number() OVER () AS n FROM orders", "ORDER BY"),
        ("SELECT TRY_CAST(name AS BIGINT) FROM orders", "TRY_CAST"),
        ("SELECT * FROM orders WHERE regexp_full_match(name, code)", "plain text"),
    ],
)
def test_a_query_that_reads_or_does_something_else_is_refused(query: str, why: str) -> None:
    with pytest.raises(Untranslatable, match=why.replace("(", r"\(")):
        translate(query, "postgres", TABLES)


@pytest.mark.parametrize(
    "query",
    [
        "WITH a AS (SELECT id FROM orders), b AS (SELECT * FROM a) SELECT * FROM b WHERE id IN (SELECT id FROM a)",
        "WITH a AS (SELECT 1 AS n) SELECT id FROM orders UNION ALL SELECT n FROM a",
        "WITH RECURSIVE a AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM a WHERE n < 3) SELECT * FROM orders, a",
    ],
)
def test_a_query_may_read_what_it_has_named_itself(query: str) -> None:
    assert readable(query, TABLES)


def test_names_are_spelled_as_the_tables_have_them() -> None:
    """DuckDB takes `ID` and `id` for one name; other databases do not."""
    found = translate(
        "SELECT ID, Total AS t FROM Orders, (SELECT count(*) AS TOTAL FROM users) AS Q", "snowflake", TABLES
    )
    assert found == 'SELECT "id", "total" AS "t" FROM "orders", (SELECT COUNT(*) AS "total" FROM "users") AS "q"'


def test_tables_stand_for_relations_of_the_database() -> None:
    relations = {"orders": '"sales"."orders 1"', "users": "(\nSELECT 1 AS user_id\n)"}
    one = translate_over("SELECT count(*) AS n FROM orders", "postgres", TABLES, relations)
    assert one == (
        'WITH "orders" AS NOT MATERIALIZED (SELECT * FROM "sales"."orders 1" AS t) SELECT COUNT(*) AS "n" FROM "orders"'
    )
    own = translate_over("WITH RECURSIVE q AS (SELECT 1 AS a) SELECT * FROM q, users", "bigquery", TABLES, relations)
    assert own == (
        "WITH RECURSIVE `users` AS (SELECT * FROM (\nSELECT 1 AS user_id\n) AS t), `q` AS (SELECT 1 AS `a`) SELECT * FROM `q`, `users`"
    )


def test_every_query_that_is_read_from_has_a_name_in_postgresql() -> None:
    found = translate("SELECT * FROM (SELECT 1 AS a), (SELECT 2 AS b)", "postgres", TABLES)
    assert found == 'SELECT * FROM (SELECT 1 AS "a") AS "q0", (SELECT 2 AS "b") AS "q1"'
