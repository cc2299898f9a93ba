"""What is worth a look is something that a person can act on."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.providers.local.profile import remarks


def column(distinct: int, median: float, mean: float) -> dict[str, Any]:
    quantiles = {"0.25": 0.0, "0.5": median, "0.75": 1.0}
    return {
        "name": "bought", "type": "bigint", "nulls": 0, "approx_distinct": distinct, "min": 0.0, "max": 1.0, "mean": mean,
        "std": 0.5, "quantiles": quantiles, "top": [], "infinite": 0,
    }  # fmt: skip


@pytest.mark.parametrize(("distinct", "told"), [(2, []), (3, ["skew"])])
def test_of_two_values_none_is_a_tail(distinct: int, told: list[str]) -> None:
    profile = {"rows": 500, "columns": [column(distinct, median=1.0, mean=0.546)]}
    assert [item.code for item in remarks(profile)] == told


def test_a_table_without_rows_is_said_to_have_none() -> None:
    empty = {"rows": 0, "columns": [{**column(0, 0.0, 0.0), "name": name} for name in "ab"]}
    (found,) = remarks(empty)
    assert (found.column, found.code, found.text[:7]) == ("a, b", "no-rows", "no rows")


def test_a_key_that_does_not_tell_rows_apart_comes_first() -> None:
    profile = {"rows": 500, "columns": [column(2, 1.0, 0.5)], "key": {"columns": ["user_id", "at"], "repeated": 30}}
    (found,) = remarks(profile)
    assert (found.column, found.code) == ("user_id, at", "repeated-key")
    assert found.text.startswith("30 rows of 500 repeat the key")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ({"rows": 2500, "numbers": 2450, "odd": {"value": "unknown", "count": 50}}, "mostly-numbers",
         "98% are numbers; 50 rows are `unknown`"),
        ({"rows": 2500, "numbers": 2499, "odd": {"value": "?", "count": 1}}, "mostly-numbers",
         "99% are numbers; 1 row is `?`"),
        ({"rows": 100, "numbers": 95, "odd": {"value": "?", "count": 3}}, "mostly-numbers",
         "95% are numbers; 3 rows are `?` and 2 rows something else"),
        ({"rows": 10, "commas": 9}, "decimal-commas", "numbers with a decimal comma in 9 rows: read as text"),
        ({"rows": 10, "dates": {"2024-01-31": 7, "31.01.2024": 3}}, "dates-as-text",
         "dates in several forms: 7 as 2024-01-31, 3 as 31.01.2024"),
        ({"rows": 10, "folded": 2}, "spelling", "2 values differ from another only in case or in spaces around it"),
    ],
)  # fmt: skip
def test_dirty_text_is_told(text: dict[str, Any], code: str, said: str) -> None:
    values = {**column(2, 1.0, 0.5), "type": "varchar", "quantiles": None, "min": None, "text": text}
    (found,) = remarks({"rows": 2500, "columns": [values]})
    assert (found.code, found.text) == (code, said)
