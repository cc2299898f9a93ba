"""The SQL of each rule, whole: what other engines translate."""

import pytest

from mlctl.runtime.checks import sql
from mlctl.types.jobs.checks import ForeignKey, Length, NotNull, Range, Regex, Schema, Set, Unique

COLUMNS = {
    "id": "bigint",
    "price": "double",
    "t": "timestamp",
    "z": "timestamp with time zone",
    'od"d': "varchar",
    "small": "float",
    "money": "decimal(18,2)",
    "day": "date",
    "flag": "boolean",
    "kind": "enum('a', 'b')",
}
TABLE = '"orders"'
PRICE = 'CASE WHEN NOT isnan("price") THEN "price" END'


def test_a_null_is_a_null_or_not_a_number() -> None:
    assert sql.offending(NotNull(columns=["id", "price"]), COLUMNS) == f'"id" IS NULL OR {PRICE} IS NULL'


def test_a_range_has_one_side_or_two() -> None:
    assert sql.offending(Range(column="id", min=0, max=2000), COLUMNS) == '"id" < 0 OR "id" > 2000'
    assert sql.offending(Range(column="price", max=1), COLUMNS) == f"{PRICE} > 1"


def test_bounds_are_compared_in_the_type_of_the_column() -> None:
    assert sql.bound(0.1, "double") == "CAST('0.1' AS DOUBLE)"
    assert sql.bound(0.1, "float") == "CAST('0.1' AS FLOAT)"
    assert sql.bound(10**30, "bigint") == str(10**30)
    assert sql.bound("2017-01-01", "timestamp") == "TIMESTAMP '2017-01-01 00:00:00'"
    assert sql.bound("2017-01-01T02:00:00+02:00", "timestamp") == "TIMESTAMP '2017-01-01 00:00:00'"
    assert sql.bound("2017-01-01T02:00:00+02:00", "timestamp with time zone") == "TIMESTAMPTZ '2017-01-01 00:00:00+00'"


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("id", [1, 2.0], '"id" NOT IN (1, 2)'),
        ("id", [1, 2.5], '"id" NOT IN (1)'),
        ("id", [2.5], '"id" IS NOT NULL'),
        ("small", [0.1], 'CASE WHEN NOT isnan("small") THEN "small" END NOT IN (CAST(\'0.1\' AS FLOAT))'),
        ("money", [1.1, 1e-7], '"money" NOT IN (1.1, 0.0000001)'),
        ('od"d', ["it's"], "\"od\"\"d\" NOT IN ('it''s')"),
        ("day", ["2024-01-01"], "\"day\" NOT IN (TIMESTAMP '2024-01-01 00:00:00')"),
        ("flag", [True], '"flag" NOT IN (TRUE)'),
    ],
)
def test_a_set_has_members_of_the_type_of_the_column(
    column: str, values: list[str | int | float | bool], expected: str
) -> None:
    assert sql.offending(Set(column=column, values=values), COLUMNS) == expected


def test_texts() -> None:
    assert sql.offending(Regex(column='od"d', pattern="a'b"), COLUMNS) == "NOT regexp_full_match(\"od\"\"d\", 'a''b')"
    assert sql.offending(Length(column="kind", min=1, max=3), COLUMNS) == (
        'length(CAST("kind" AS VARCHAR)) < 1 OR length(CAST("kind" AS VARCHAR)) > 3'
    )


def test_uniqueness_leaves_rows_with_a_null_out() -> None:
    rule = Unique(columns=["id", 'od"d'])
    whole = '"id" IS NOT NULL AND "od""d" IS NOT NULL'
    assert sql.duplicates_query(TABLE, rule, COLUMNS) == (
        'SELECT coalesce(sum(n), 0) AS failing FROM (SELECT count(*) AS n FROM "orders"'
        f' WHERE {whole} GROUP BY "id", "od""d" HAVING count(*) > 1) AS groups'
    )
    assert sql.duplicated(TABLE, rule, COLUMNS) == (
        f'{whole} AND ("id", "od""d") IN (SELECT ("id", "od""d") FROM "orders" WHERE {whole} GROUP BY "id", "od""d" HAVING count(*) > 1)'
    )
    assert sql.distinct_query(TABLE, "price", COLUMNS) == f'SELECT count(DISTINCT {PRICE}) AS n FROM "orders"'


def test_foreign_keys() -> None:
    rule = ForeignKey(column="id", references="users.user.id")
    assert (rule.dataset, rule.referenced) == ("users", "user.id")
    where = sql.orphaned(rule, COLUMNS, {"user.id": "integer"})
    assert where == '"id" IS NOT NULL AND "id" NOT IN (SELECT "user.id" FROM "users" WHERE "user.id" IS NOT NULL)'
    assert sql.failing_query(TABLE, where) == f'SELECT count(*) AS failing FROM "orders" WHERE {where}'


def test_all_counts_stand_in_one_query() -> None:
    parts = {"rows": "count(*)", "c0": sql.counted("price", COLUMNS), "f0": sql.count_if("w")}
    assert (
        sql.table_query(TABLE, parts)
        == f'SELECT count(*) AS rows, count({PRICE}) AS c0, count_if(w) AS f0 FROM "orders"'
    )


def test_a_rule_about_columns_finds_no_rows() -> None:
    with pytest.raises(TypeError):
        sql.offending(Schema(columns={"id": "bigint"}), COLUMNS)


def test_samples_are_keys_in_the_order_of_the_key_or_of_the_file() -> None:
    assert sql.sample_query(TABLE, "w", ["id", "t"], COLUMNS) == (
        'SELECT "id", CAST("t" AS VARCHAR) AS "t" FROM (SELECT "id", "t" FROM "orders" WHERE w'
        ' ORDER BY "id" NULLS LAST, "t" NULLS LAST LIMIT 5) AS sample'
    )
    numbered = '(SELECT *, row_number() OVER () AS "mlctl row" FROM "orders") AS numbered'
    assert sql.rows_query(TABLE, [0, 7], [], COLUMNS) == (
        f'SELECT "mlctl row" AS "row" FROM (SELECT "mlctl row" FROM {numbered}'
        ' WHERE "mlctl row" IN (1, 8) ORDER BY "mlctl row" NULLS LAST LIMIT 5) AS sample'
    )
