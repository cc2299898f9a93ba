"""Rules about single values: the verdict of a parity run."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mlctl.runtime.features.values import judge
from mlctl.types.jobs.features import Key, ParityParams, ViewSource

AT = "2026-01-01T00:00:00+00:00"
PARAMS = ParityParams.model_validate(
    {
        "source": ViewSource(
            view="v", keys=[Key(name="id", type="int64")], path="v.parquet", features={"a": "float64"}, ttl_seconds=None
        ),
        "store": {
            "project": "p",
            "registry": "r",
            "online": {"type": "sqlite", "path": "o"},
            "offline": {"type": "duckdb"},
        },
        "at": AT,
        "tolerance": 1e-5,
    }
)


@pytest.mark.parametrize(
    ("offline", "online", "passed"),
    [
        (1.0, 1.0, True),
        (None, None, True),
        (1.0, 1.0 + 9e-6, True),
        (1.0, 1.0 + 2e-5, False),
        (-100.0, -100.01, False),
        (0.0, 1e-15, True),
        (0.0, 1e-12, False),
        (None, 0.0, False),
        (0.0, None, False),
        (1.0, math.nan, False),
        (None, math.nan, True),
        (1.0, math.inf, False),
        (3, 3.0, True),
    ],
)
def test_the_verdict_on_one_value(offline: Any, online: Any, passed: bool) -> None:
    found = judge(PARAMS, [(1, {"a": offline}, {"a": online})], AT)
    assert found.passed is passed
    assert (found.keys, found.values) == (1, 1)
    assert found.mismatched + found.null_mismatches == (0 if passed else 1)


def test_the_worst_difference_is_named() -> None:
    rows: list[Any] = [(1, {"a": 1.0}, {"a": 1.1}), (2, {"a": 1.0}, {"a": 1.5}), (3, {"a": 1.0}, {"a": 1.2})]
    found = judge(PARAMS, rows, AT)
    assert found.worst is not None
    assert (found.worst.key, found.worst.offline, found.worst.online) == (2, 1.0, 1.5)
    assert (found.mismatched, found.max_relative) == (3, 0.5)


def test_a_missing_value_is_worse_than_any_figure() -> None:
    found = judge(PARAMS, [(1, {"a": 1.0}, {"a": None}), (2, {"a": 1.0}, {"a": 900.0})], AT)
    assert found.worst is not None
    assert (found.worst.key, found.worst.relative) == (1, None)
    assert (found.null_mismatches, found.mismatched, found.max_relative) == (1, 1, 899.0)
