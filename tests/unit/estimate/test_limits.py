"""When a budget ends a run."""

from __future__ import annotations

import pytest

from mlctl.estimate.limits import limit
from mlctl.types.estimate import Limit, Range

HOURLY = Range(20.0, 30.0, 50.0)


@pytest.mark.parametrize(
    ("budget", "hourly", "seconds", "by"),
    [
        ({"max_hours": 2.0}, None, 7200, "max_hours"),
        ({"max_hours": 2.0, "max_usd_per_run": 50.0}, HOURLY, 3600, "max_usd_per_run"),
        ({"max_hours": 0.5, "max_usd_per_run": 50.0}, HOURLY, 1800, "max_hours"),
        ({"max_usd": 25.0, "max_usd_per_run": 50.0}, HOURLY, 1800, "max_usd"),
        ({"max_hours": None, "max_usd": 100.0}, HOURLY, 7200, "max_usd"),
    ],
)
def test_the_first_of_its_fields_to_be_used_up_ends_it_at_the_highest_price(
    budget: dict[str, float | None], hourly: Range | None, seconds: float, by: str
) -> None:
    assert limit(budget, hourly, carried=True) == Limit(seconds, by, carried=True)


@pytest.mark.parametrize(
    ("budget", "hourly"),
    [
        (None, HOURLY),
        ({}, HOURLY),
        ({"max_usd": 5.0}, None),
        ({"max_usd_per_month": 5.0}, HOURLY),
        ({"max_usd": None}, HOURLY),
        ({"max_usd": 1e308, "max_hours": 1e306}, HOURLY),  # longer than anybody can tell a cluster
    ],
)
def test_what_says_nothing_of_a_run_ends_none(budget: dict[str, float | None] | None, hourly: Range | None) -> None:
    assert limit(budget, hourly, carried=False) is None
