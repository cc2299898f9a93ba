"""What runs and deployments did cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mlctl.estimate.actuals import Run, Service, by_api, hours_up, known
from mlctl.estimate.api_prices import ApiPrices
from mlctl.types.estimate import Estimate, Range
from mlctl.types.log_counts import Counts, Tokens

SINCE, NOW = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 11, tzinfo=UTC)


def counted(first: str = "", last: str = "", answered: int = 0, **groups: Tokens) -> Counts:
    tokens = {(day.replace("_", "-").lstrip("d"), 7): group for day, group in groups.items()}
    return Counts(answered, answered, first, last, tokens)


@pytest.mark.parametrize(
    ("at", "first", "last", "up", "hours"),
    [
        ("2026-11-10T00:00:00Z", "", "", True, 24),
        ("2026-10-01T00:00:00Z", "", "", True, 240),  # no more than was asked for
        ("2026-11-10T00:00:00Z", "2026-11-06T00:00:00+00:00", "2026-11-10T12:00:00+00:00", True, 120),  # changed since
        (
            "2026-11-10T00:00:00Z",
            "2026-11-06T00:00:00+00:00",
            "2026-11-08T00:00:00+00:00",
            False,
            48,
        ),  # down since its last line
        ("2026-11-02T00:00:00Z", "", "", False, None),  # it was there, and nobody says until when
        ("never", "", "", True, 0),
    ],
)
def test_a_deployment_was_there_as_long_as_something_says_so(
    at: str, first: str, last: str, up: bool, hours: float | None
) -> None:
    counts = counted(first, last) if first else None
    found = hours_up(at, counts, SINCE, NOW, up=up)[1]
    assert found == (None if hours is None else pytest.approx(hours))


def test_what_a_request_and_a_token_cost_is_what_the_hours_cost() -> None:
    counts = counted(answered=2000, d2026_11_02=Tokens(2000, 900_000, 100_000, 0))
    made = Service("deployments.a", "", 10.0, True, 2.0, counts)
    assert (made.usd, made.per_thousand, made.per_million) == (20.0, 10.0, 20.0)


def test_what_is_not_known_is_none_and_never_nothing() -> None:
    unpriced = Service("deployments.a", "", 10.0, True, None, counted(answered=5))
    assert (unpriced.usd, unpriced.per_thousand, unpriced.per_million) == (None, None, None)
    silent = Service("deployments.a", "", 10.0, True, 2.0, counted())
    assert (silent.usd, silent.per_thousand, silent.per_million) == (20.0, None, None)
    far = Service("deployments.a", "", 10.0, True, 2.0, None)
    assert (far.per_thousand, far.per_million) == (None, None)
    ended = Service("deployments.a", "", None, False, 2.0, None)
    assert (ended.usd, ended.per_thousand) == (None, None)
    assert (known([1.0, None, 2.5]), known([None, None]), known([])) == ((3.5, 1), (None, 2), (0.0, 0))


def test_a_run_is_held_against_what_was_foretold_in_dollars_else_in_time() -> None:
    foretold = Estimate("H100", 1, seconds=Range(50, 100, 200), usd=Range(1, 2, 3))
    assert Run("training.a", "k", "", foretold, 150.0, 3.0).ratio == 1.5
    assert Run("training.a", "k", "", foretold, 190.0, span=150.0).ratio == 1.5  # by the span that was foretold
    assert Run("training.a", "k", "", foretold, 190.0).ratio is None  # which nobody measured
    assert Run("training.a", "k", "", None, 150.0, 3.0).ratio is None


def test_an_api_is_paid_by_the_lengths_of_requests_and_the_prices_of_their_days() -> None:
    prices = ApiPrices("anthropic")
    each = prices.cost("claude-sonnet-4-5", 1_000_000, 1_000_000, 0, datetime(2026, 11, 2, tzinfo=UTC))
    assert all(isinstance(price, Decimal) for price in each)
    small = counted(d2026_11_02=Tokens(100, 100_000, 20_000, 0))
    found = by_api(small, prices, "claude-sonnet-4-5")
    one = prices.cost("claude-sonnet-4-5", 1000, 200, 0, datetime(2026, 11, 2, tzinfo=UTC))
    assert found.usd == pytest.approx(float(sum(price or 0 for price in one)) * 100, rel=1e-9)
    assert found.per_million == pytest.approx((found.usd or 0) / 0.12)
    twice = by_api(
        counted(d2026_11_02=Tokens(100, 100_000, 20_000), d2026_11_03=Tokens(100, 100_000, 20_000)),
        prices,
        "claude-sonnet-4-5",
    )
    assert twice.usd == pytest.approx(2 * (found.usd or 0))
    cached = by_api(counted(d2026_11_02=Tokens(100, 100_000, 20_000, 90_000)), prices, "claude-sonnet-4-5")
    assert (cached.usd or 9e9) < (found.usd or 0)


def test_tokens_that_nobody_counted_have_no_price() -> None:
    prices = ApiPrices("anthropic")
    assert by_api(counted(answered=5), prices, "claude-sonnet-4-5").usd is None
    assert by_api(None, prices, "claude-sonnet-4-5").why == "no tokens were counted"
    with pytest.raises(LookupError):
        by_api(counted(d2026_11_02=Tokens(1, 1, 1)), prices, "no-such-model")
