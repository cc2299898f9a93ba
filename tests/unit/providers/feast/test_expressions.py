"""The shape of expressions, told without data: what is refused here is refused by the worker, and nothing else is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlctl.providers.feast.expressions import expression_problems, shape_problem
from mlctl.providers.feast.spec import FeatureViewSpec
from mlctl.runtime.features.expression import ExpressionError, columns_read

COLUMNS = ["price", "quantity", "country", "parts", "user"]
GOOD = [
    "price * quantity",
    '"price" + 1 -- with a comment',
    "CASE WHEN country = 'DE' AND price BETWEEN 1 AND 2 THEN quantity END",
    "coalesce(price, 0) > 3 OR country IN ('a', 'b') OR country LIKE 'x%'",
    "list_sum(list_filter(parts, lambda part: part > quantity))",
    "[part * 2 for part in parts]",
    "if(user IS NULL, 1, CAST(country AS INTEGER))",
    "date_trunc('month', TIMESTAMP '2026-01-01') + INTERVAL 3 DAY > DATE '2026-01-01'",
    "nullif(price, 0) // try_cast(country AS DOUBLE) ** 2",
    "greatest(price, least(quantity, 3)) % 2 = 1",
    "regexp_matches(country, '^D') AND NOT isnan(price)",
    "round(price, 2)::DECIMAL(18, 2)",
    "parts[1] IS DISTINCT FROM 3 AND len(parts) > 0 AND {'a': price}.a > 1",
    "extract(dow FROM TIMESTAMP '2026-01-01') IN (0, 6)",
    "country || '-' || upper(country[1:2]) <> ''",
    "epoch(TIMESTAMP '2026-01-01') ^@ 'a'",
]
BAD = [
    "price *", "price, quantity", "price AS p", "price; SELECT 2", "price LIMIT 1", "price FROM t", "1) FROM t --",
    "(SELECT max(price) FROM t)", "price IN (SELECT 1)", "EXISTS (SELECT 1)", "sum(price)", "count(*)",
    "row_number() OVER (ORDER BY price)", "lag(price) OVER ()", "price + random()", "uuid()", "current_date > DATE '2026-01-01'",
    "*", "DISTINCT price",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_scalar_of_one_row_passes_here_and_in_the_worker(text: str) -> None:
    assert shape_problem(text) is None
    columns_read(text, COLUMNS)


@pytest.mark.parametrize("text", BAD)
def test_what_is_refused_here_is_refused_by_the_worker(text: str) -> None:
    assert shape_problem(text)
    with pytest.raises(ExpressionError):
        columns_read(text, COLUMNS)


def test_the_field_is_named() -> None:
    spec = FeatureViewSpec.model_validate(
        {
            "entity": "user", "source": "trips", "where": "price >", "columns": {"worth": "sum(price)", "good": "price + 1"},
            "features": {"n": {"aggregate": "count", "window": "7d", "where": "(SELECT 1)"}},
        }
    )  # fmt: skip
    found = list(expression_problems(spec))
    assert [item.path for item in found] == [("columns", "worth"), ("where",), ("features", "n", "where")]
    assert {item.code for item in found} == {"features.bad-expression"}


def test_a_view_without_expressions_does_not_pay_for_a_parser() -> None:
    program = (
        "import sys\n"
        "from mlctl.providers.feast.expressions import expression_problems\n"
        "from mlctl.providers.feast.spec import FeatureViewSpec\n"
        "view = {'entity': 'user', 'source': 'trips', 'features': {'n': {'aggregate': 'count', 'window': '7d'}}}\n"
        "assert not list(expression_problems(FeatureViewSpec.model_validate(view)))\n"
        "assert 'sqlglot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
