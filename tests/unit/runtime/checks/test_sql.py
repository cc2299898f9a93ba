"""The SQL of each short rule, whole."""

from mlctl.runtime.checks import sql
from mlctl.types.jobs.checks import Expectation, ForeignKey, NotNull, Range, Schema, Unique

COLUMNS = {
    "id": "bigint",
    "price": "double",
    "t": "timestamp",
    "z": "timestamp with time zone",
    'od"d': "varchar",
    "small": "float",
}
TABLE = "read_parquet(['x.parquet'])"


def test_not_null_counts_each_column_and_any_of_them() -> None:
    assert sql.aggregates(2, NotNull(columns=["id", "price"]), COLUMNS) == {
        "n2_0": 'count(*) FILTER ("id" IS NULL)',
        "n2_1": 'count(*) FILTER (CASE WHEN NOT isnan("price") THEN "price" END IS NULL)',
        "f2": 'count(*) FILTER ("id" IS NULL OR CASE WHEN NOT isnan("price") THEN "price" END IS NULL)',
    }


def test_range() -> None:
    assert sql.aggregates(0, Range(column="id", min=0, max=2000), COLUMNS) == {
        "c0": 'count("id")',
        "f0": 'count(*) FILTER ("id" < 0 OR "id" > 2000)',
    }


def test_bounds_are_compared_in_the_type_of_the_column() -> None:
    assert sql.bound(0.1, "double") == "'0.1'::DOUBLE"
    assert sql.bound(0.1, "float") == "'0.1'::FLOAT"
    assert sql.bound(10**30, "bigint") == str(10**30)
    assert sql.bound("2017-01-01", "timestamp") == "TIMESTAMP '2017-01-01 00:00:00'"
    assert sql.bound("2017-01-01T02:00:00+02:00", "timestamp") == "TIMESTAMP '2017-01-01 00:00:00'"
    assert sql.bound("2017-01-01T02:00:00+02:00", "timestamp with time zone") == "TIMESTAMPTZ '2017-01-01 00:00:00+00'"


def test_unique_leaves_rows_with_a_null_out() -> None:
    rule = Unique(columns=["id", 'od"d'])
    whole = '"id" IS NOT NULL AND "od""d" IS NOT NULL'
    assert sql.aggregates(1, rule, COLUMNS) == {"c1": f"count(*) FILTER ({whole})"}
    assert sql.duplicates_query(TABLE, rule, COLUMNS) == (
        "SELECT coalesce(sum(n), 0) AS failing FROM (SELECT count(*) AS n FROM read_parquet(['x.parquet'])"
        f' WHERE {whole} GROUP BY "id", "od""d" HAVING count(*) > 1)'
    )
    assert sql.duplicated(TABLE, rule, COLUMNS) == (
        f'{whole} AND ("id", "od""d") IN (SELECT ("id", "od""d") FROM read_parquet([\'x.parquet\']) WHERE {whole} GROUP BY "id", "od""d" HAVING count(*) > 1)'
    )


def test_foreign_key() -> None:
    rule = ForeignKey(column="id", references="users.user.id")
    assert (rule.dataset, rule.referenced) == ("users", "user.id")
    where = sql.orphaned("users_table", rule, COLUMNS, {"user.id": "integer"})
    assert where == '"id" IS NOT NULL AND "id" NOT IN (SELECT "user.id" FROM users_table WHERE "user.id" IS NOT NULL)'
    assert sql.failing_query(TABLE, where) == f"SELECT count(*) AS failing FROM {TABLE} WHERE {where}"


def test_one_pass_for_all_counts() -> None:
    parts = sql.aggregates(0, Range(column="id", min=0), COLUMNS) | sql.aggregates(1, Unique(columns=["id"]), COLUMNS)
    assert sql.table_query(TABLE, parts) == (
        'SELECT count(*) AS rows, count("id") AS c0, count(*) FILTER ("id" < 0) AS f0, count(*) FILTER ("id" IS NOT NULL) AS c1'
        " FROM read_parquet(['x.parquet'])"
    )
    assert sql.table_query(TABLE, {}) == f"SELECT count(*) AS rows FROM {TABLE}"


def test_a_schema_needs_no_query_and_an_expectation_only_its_nulls() -> None:
    assert sql.aggregates(0, Schema(columns={"id": "bigint"}), COLUMNS) == {}
    mean = Expectation(name="expect_column_mean_to_be_between", arguments={"column": "price", "min_value": 0})
    assert sql.aggregates(3, mean, COLUMNS) == {"e3_0": 'count(CASE WHEN NOT isnan("price") THEN "price" END)'}
    null = Expectation(name="expect_column_values_to_be_null", arguments={"column": "price"})
    assert sql.aggregates(3, null, COLUMNS) == {}


def test_samples_are_keys_in_file_order() -> None:
    assert sql.sample_query(TABLE, "w", ["id", "t"], COLUMNS) == (
        'SELECT "id", CAST("t" AS VARCHAR) AS "t" FROM (SELECT *, row_number() OVER () AS "mlctl row" FROM read_parquet([\'x.parquet\']))'
        ' WHERE w ORDER BY "mlctl row" LIMIT 5'
    )
    assert sql.rows_query(TABLE, [0, 7], [], COLUMNS) == (
        'SELECT "mlctl row" AS "row" FROM (SELECT *, row_number() OVER () AS "mlctl row" FROM read_parquet([\'x.parquet\']))'
        ' WHERE "mlctl row" IN (1, 8) ORDER BY "mlctl row" LIMIT 5'
    )
