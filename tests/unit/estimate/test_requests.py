"""What a prediction log says of caching and batching: shares that a replay of it by hand gives, and nothing where it does not say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlctl.estimate.requests import FEWEST, batched, repeated, requests_of

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def line(number: int, seconds: float, **more: Any) -> dict[str, Any]:
    """A line of one request that was answered so many seconds after the beginning."""
    row = {"ts": (BEGIN + timedelta(seconds=seconds)).isoformat(), "request_id": f"r{number}", "latency_seconds": 0.1, "code": 200,
           "version": "1", "key": number, "features": {"x": number}}  # fmt: skip
    return row | more


def test_a_request_counts_as_repeated_when_an_equal_one_was_computed_within_the_time_to_live() -> None:
    rows = [line(number, number * 10, key=number % 10, features={"x": number % 10}) for number in range(200)]
    found = repeated(requests_of(rows), ttl=100)
    assert found is not None
    # each key comes every 100 s: computed, from the cache, computed, from the cache, ...
    assert (found.low, found.mid, found.high) == (0.5, 0.5, 0.5)
    assert found.basis == "the last 200 requests of the prediction log"
    never = repeated(requests_of(rows), ttl=99)
    assert never is not None
    assert never.high == 0


def test_the_same_key_with_other_features_is_only_perhaps_the_same_request() -> None:
    rows = [line(number, number, key=7, features={"x": number}) for number in range(100)]
    found = repeated(requests_of(rows), ttl=1000)
    assert found is not None
    assert (found.low, found.high) == (0, 0.99)


def test_another_version_a_failure_and_what_came_from_a_cache_are_no_repetition() -> None:
    same: dict[str, Any] = {"key": 1, "features": {"x": 1}}
    rows = [line(number, number, **same, version=str(number)) for number in range(FEWEST)]
    rows += [line(1000 + number, number, **same, code=500) for number in range(50)]
    rows += [line(2000 + number, number, **same, cached=True) for number in range(50)]
    requests = requests_of(rows)
    assert len(requests) == FEWEST
    found = repeated(requests, 1e6)
    assert found is not None
    assert found.high == 0


def test_requests_of_several_rows_are_one_and_equal_only_as_a_whole() -> None:
    rows = [line(number, number, key=key, features=None) for number in range(FEWEST) for key in (1, number)]
    requests = requests_of(rows)
    assert len(requests) == FEWEST
    found = repeated(requests, 1e6)
    assert found is not None
    assert found.high == 0


def test_of_a_language_model_nothing_is_surely_repeated_since_answers_may_be_drawn() -> None:
    rows = [line(number, number, prompt_digest="p", system_digest=None) for number in range(FEWEST)]
    found = repeated(requests_of(rows), 1e6)
    assert found is not None
    assert (found.low, found.high) == (0, 1 - 1 / FEWEST)


@pytest.mark.parametrize(
    "rows",
    [
        [line(number, number) for number in range(FEWEST - 1)],
        [line(number, number, key=None, features=None) for number in range(FEWEST)],
        [{"code": 200, "request_id": "r", "ts": "yesterday", "latency_seconds": 1}],
        [],
    ],
)
def test_a_log_that_says_too_little_gives_no_share(rows: list[dict[str, Any]]) -> None:
    assert repeated(requests_of(rows), 600) is None


def test_batching_saves_the_calls_that_a_replay_of_the_log_saves() -> None:
    # ten requests at the same moment, every ten seconds: the model is busy with the first while nine wait
    rows = [line(number, (number // 10) * 10 + 0.1) for number in range(200)]
    found = batched(requests_of(rows), 32)
    assert found is not None
    assert found.mid == pytest.approx(0.9)
    halved = batched(requests_of(rows), 5)
    assert halved is not None
    assert halved.mid == pytest.approx(0.8)


def test_requests_that_never_meet_share_nothing() -> None:
    found = batched(requests_of([line(number, number) for number in range(200)]), 32)
    assert found is not None
    assert (found.low, found.high) == (0, 0)
