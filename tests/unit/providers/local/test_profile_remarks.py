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
