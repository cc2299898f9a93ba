"""Row-level expressions: what is allowed, what they read, and how each refusal reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from mlctl.runtime.features.expression import ExpressionError, check_expressions, columns_read, type_of
from mlctl.types.diagnostic import MlctlError

COLUMNS = {"price": "double", "Quantity": "integer", "country": "varchar", "parts": "double[]", "user": "varchar"}


@pytest.mark.parametrize(
    ("expression", "read"),
    [
        ("price * quantity", ["price", "Quantity"]),
        ("price", ["price"]),
        ('"price" + 1 -- with a comment', ["price"]),
        ("CASE WHEN country = 'DE' AND price BETWEEN 1 AND 2 THEN quantity END", ["country", "price", "Quantity"]),
        ("coalesce(price, 0) > 3 OR country IN ('a', 'b') OR country LIKE 'x%'", ["price", "country"]),
        ("list_sum(list_filter(parts, lambda price: price > quantity))", ["parts", "Quantity"]),
        ("[part * 2 for part in parts]", ["parts"]),
        ("if(user IS NULL, 1, CAST(country AS INTEGER))", ["user", "country"]),
        ("date_trunc('month', TIMESTAMP '2026-01-01') + INTERVAL 3 DAY", []),
        ("nullif(price, 0) / try_cast(country AS DOUBLE)", ["price", "country"]),
    ],
)
def test_a_scalar_of_one_row_is_allowed_and_says_what_it_reads(expression: str, read: list[str]) -> None:
    assert columns_read(expression, COLUMNS) == read


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("price *", "syntax error"),
        ("", "empty"),
        (" -- nothing", "SELECT clause without selection list"),
        ("price, quantity", "one value"),
        ("price AS p", "one value"),
        ("price; SELECT 2", "one value"),
        ("price LIMIT 1", "one value"),
        ("DISTINCT price", "one value"),
        ("price FROM read_csv('/etc/passwd')", "one value"),
        ("1) FROM read_csv('/etc/passwd') --", "syntax error"),
        ("(SELECT max(price) FROM 'x.parquet')", "query"),
        ("price IN (SELECT 1)", "query"),
        ("EXISTS (FROM 'x.parquet')", "query"),
        ("sum(price)", "many rows"),
        ("count(*)", "many rows"),
        ("row_number() OVER (ORDER BY price)", "window"),
        ("lag(price) OVER ()", "window"),
        ("price + random()", "always"),
        ("price > now()", "always"),
        ("uuid()", "always"),
        ("nextval('s')", "always"),
        ("age(TIMESTAMP '2026-01-01')", "always"),
        ("current_date > DATE '2026-01-01'", "always"),
        ("getenv('HOME')", "no function `getenv`"),
        ("version()", "always"),
        ("current_setting('threads')", "always"),
        ("ago(INTERVAL 3 DAY)", "no function of a row"),
        ("unnest(parts)", "no function"),
        ("read_text('/etc/passwd')", "no function of a row"),
        ("*", "many columns"),
        ("COLUMNS('p.*')", "many columns"),
        ("#1", "place"),
        ("price > ?", "placeholder"),
        ("prize * 2", "no column `prize`"),
        ("labels.price", "no column `labels`"),
        ("list_filter(parts, lambda p: p > q)", "no column `q`"),
        ("no_such_function(price)", "no function `no_such_function`"),
    ],
)
def test_what_is_more_than_a_row_is_refused(expression: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why.replace("(", r"\(")):
        columns_read(expression, COLUMNS)


def test_a_mistyped_name_is_pointed_out() -> None:
    with pytest.raises(ExpressionError) as column:
        columns_read("contry = 'DE'", COLUMNS)
    with pytest.raises(ExpressionError) as function:
        columns_read("uper(country)", COLUMNS)
    assert (column.value.fix, function.value.fix) == ("did you mean `country`?", "did you mean `upper`?")


@pytest.fixture(name="connection")
def _connection() -> Iterator[Any]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (price DOUBLE, quantity INTEGER, country VARCHAR, bought TIMESTAMP)")
        yield connection


TYPES = {"price": "double", "quantity": "integer", "country": "varchar", "bought": "timestamp"}


def test_types_are_those_of_the_engine(connection: Any) -> None:
    assert type_of(connection, "t", "price * quantity") == "double"
    assert type_of(connection, "t", "quantity + 1") == "integer"
    assert type_of(connection, "t", "bought > TIMESTAMP '2026-01-01'") == "boolean"
    with pytest.raises(ExpressionError):
        type_of(connection, "t", "bought * 2")


def refused(connection: Any, expressions: dict[str, str], filters: dict[str, str]) -> list[tuple[str, str]]:
    with pytest.raises(MlctlError) as caught:
        check_expressions(connection, "t", TYPES, expressions, filters)
    return [(item.summary, item.why) for item in caught.value.diagnostics]


def test_every_problem_is_told_with_the_field_it_stands_in(connection: Any) -> None:
    first, second, third = refused(connection, {"worth": "prize * 2", "price": "1", "late": "bought * 2"}, {})
    assert first == ("`columns.worth` cannot be used", "there is no column `prize`")
    assert second == ("`columns.price` cannot be used", "the source has a column `price` already")
    assert third[0] == "`columns.late` cannot be used"
    assert "*(TIMESTAMP, INTEGER" in third[1]


def test_a_filter_is_true_or_false_and_may_read_expressions(connection: Any) -> None:
    worth = {"worth": "price * quantity"}
    check_expressions(connection, "t", TYPES, worth, {"where": "worth > 3 AND country = 'DE'"})
    ((summary, why),) = refused(connection, worth, {"features.spent.where": "worth + 1"})
    assert (summary, why) == ("`features.spent.where` cannot be used", "it is double, and a filter is true or false")
    ((_, why),) = refused(connection, {"worth": "price", "more": "worth + 1"}, {})
    assert why == "there is no column `worth`"  # expressions read the source, not each other
