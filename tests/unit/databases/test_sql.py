from typing import Any

import pytest

from mlctl.databases import look, sql, versions
from mlctl.databases.warehouses import bigquery_type, snowflake_type
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import DatabaseCopy


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orders", '"orders"'),
        ("shop.Orders", '"shop"."Orders"'),
        ('"my.schema"."a""b"', '"my.schema"."a""b"'),
        ("été.ñ", '"été"."ñ"'),
        ('x"; DROP TABLE y; --', None),
        ('"open', None),
        ("a..b", None),
        ("", None),
    ],
)
def test_a_tables_name_is_quoted_part_by_part(name: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="does not name a table"):
            sql.table("postgres", name)
    else:
        assert sql.table("postgres", name) == expected


def test_each_database_has_its_own_quotes() -> None:
    assert sql.table("bigquery", "data.or`ders") == "`data`.`or\\`ders`"
    assert sql.literal("postgres", "it's") == "'it''s'"
    assert sql.literal("bigquery", "it's \\") == "'it\\'s \\\\'"
    assert sql.literal("snowflake", "it's \\") == "'it''s \\\\'"


def test_a_query_is_a_relation_and_cannot_close_its_brackets_by_a_comment() -> None:
    assert sql.query("SELECT 1 -- one") == "(\nSELECT 1 -- one\n)"
    assert sql.query(" SELECT 1;\n") == "(\nSELECT 1\n)"


def test_the_version_of_all_rows_is_one_query_of_each_database() -> None:
    assert sql.snapshot("postgres", '"t"') == (
        "SELECT count(*), sum(hashtextextended(t::text, 0)::numeric)::text, sum(hashtextextended(t::text, 1)::numeric)::text"
        ' FROM "t" AS t'
    )
    assert sql.snapshot("bigquery", "`t`") == (
        "SELECT count(*), CAST(SUM(CAST(FARM_FINGERPRINT(TO_JSON_STRING(t)) AS BIGNUMERIC)) AS STRING),"
        " CAST(BIT_XOR(FARM_FINGERPRINT(CONCAT('1', TO_JSON_STRING(t)))) AS STRING) FROM `t` AS t"
    )
    assert sql.snapshot("snowflake", '"T"') == 'SELECT count(*), HASH_AGG(*), NULL FROM "T" AS t'


def test_a_watermark_is_one_query_of_each_database() -> None:
    assert sql.watermark("postgres", '"t"', "at") == (
        'SELECT count(*), count("at"), CAST(max("at") AS text) FROM "t" AS t'
    )
    assert sql.watermark("bigquery", "`t`", "at") == (
        "SELECT count(*), count(`at`), CAST(max(`at`) AS STRING) FROM `t` AS t"
    )
    assert sql.watermark("snowflake", '"T"', "AT", ' WHERE "AT" <= 5') == (
        'SELECT count(*), count("AT"), CAST(max("AT") AS VARCHAR) FROM "T" AS t WHERE "AT" <= 5'
    )


def test_rows_are_read_in_the_order_of_the_key() -> None:
    assert sql.rows("postgres", '"t"', ["a", "b"], ' WHERE "at" <= 5') == (
        'SELECT * FROM "t" AS t WHERE "at" <= 5 ORDER BY "a", "b"'
    )
    assert sql.rows("bigquery", "`t`", []) == "SELECT * FROM `t` AS t"


def test_a_version_tells_rows_and_is_short() -> None:
    answers: list[list[Any]] = [[3, "5", "7"], [3, "5", "8"], [0, None, None]]
    first, second, empty = (versions.of_snapshot("postgres", "t", lambda query, row=row: row) for row in answers)
    assert first.startswith("3 rows, ")
    assert first != second
    assert empty.startswith("0 rows, ")
    assert [versions.count(item) for item in (first, empty)] == [3, 0]


def test_a_watermark_version_says_up_to_where() -> None:
    version = versions.of_watermark("postgres", "t", "at", lambda query: [3, 3, "2026-01-05 10:00:00+00"])
    assert version == "3 rows up to 2026-01-05 10:00:00+00"
    assert (versions.highest(version), versions.count(version)) == ("2026-01-05 10:00:00+00", 3)
    empty = versions.of_watermark("postgres", "t", "at", lambda query: [0, 0, None])
    assert (empty, versions.highest(empty), versions.count(empty)) == ("no rows", None, 0)


def test_rows_without_a_watermark_are_refused() -> None:
    with pytest.raises(MlctlError, match="2 rows have no `at`"):
        versions.of_watermark("postgres", "t", "at", lambda query: [3, 1, "x"])


@pytest.mark.parametrize(
    ("version", "found", "expected"),
    [
        ("3 rows up to 2026-01-05", "timestamp", " WHERE \"at\" <= '2026-01-05'"),
        ("3 rows up to 17", "bigint", ' WHERE "at" <= 17'),
        ("no rows", "bigint", " WHERE false"),
    ],
)
def test_only_the_rows_that_the_plan_saw_are_read(version: str, found: str, expected: str) -> None:
    source = DatabaseCopy(type="postgres", connection={}, relation='"t"', watermark="at", version=version)
    assert look.condition(source, {"at": found}) == expected


def test_an_answer_of_the_asking_program_is_read_back() -> None:
    assert look.answered('{"columns": {"a": "bigint"}, "version": "1 rows, x"}') == look.Look(
        {"a": "bigint"}, "1 rows, x"
    )
    with pytest.raises(MlctlError, match="it is down"):
        look.answered('{"problems": [["data.database-failed", "it is down", "", ""]]}')


def test_types_of_the_warehouses() -> None:
    kinds = [
        bigquery_type(name, "NULLABLE") for name in ("INTEGER", "NUMERIC", "DATETIME", "TIMESTAMP", "STRUCT", "STRING")
    ]
    assert kinds == ["bigint", "decimal(38,9)", "timestamp", "timestamp with time zone", "varchar", "varchar"]
    assert bigquery_type("INTEGER", "REPEATED") == "varchar"
    found = [
        snowflake_type(code, *rest)
        for code, *rest in ((0, 10, 0), (0, 38, 0), (0, 12, 2), (1, None, None), (8, 0, 9), (5, None, None))
    ]
    assert found == ["bigint", "decimal(38,0)", "decimal(12,2)", "double", "timestamp", "varchar"]
