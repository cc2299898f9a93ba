from __future__ import annotations

import pytest

from mlctl.types.jobs.bench import Load, Point, Spread
from mlctl.types.requirement import parse_requirement

QUICK = Spread(mean=0.01, p50=0.009, p95=0.02, p99=0.05, max=0.1)
POINT = Point(
    load=Load(kind="open", value=100),
    requests=1000,
    errors=1,
    seconds=10,
    rate=99.9,
    latency=QUICK,
    tokens_per_second=None,
)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("p99 < 50ms at 100 qps", False),
        ("p99 <= 50ms at 100 qps", True),
        ("p99 < 51ms", True),
        ("mean < 0.5s", True),
        ("error_rate <= 0.1%", True),
        ("error_rate < 0.1%", False),
        ("error_rate < 0.002", True),
        ("qps > 99 at 8 clients", True),
        ("qps>=100", False),
        ("ttft_p95 < 10s", False),
        ("tokens_per_second > 0", False),
    ],
)
def test_a_bound_is_met_or_not_and_what_was_not_measured_meets_none(text: str, met: bool) -> None:
    assert parse_requirement(text).met(POINT) is met


def test_a_load_is_open_or_closed() -> None:
    assert parse_requirement("p99 < 50ms at 100 qps").load == Load(kind="open", value=100)
    assert parse_requirement("p99 < 50ms at 1 client").load == Load(kind="closed", value=1)
    assert parse_requirement("P99<50ms").load is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fast", "is not a requirement"),
        ("p98 < 5ms", "did you mean `p99`?"),
        ("p99 < 50", "is not a duration"),
        ("p99 < 50ms at 1.5 clients", "whole number of clients"),
        ("p99 < 50ms at 0 qps", "above 0"),
        ("qps > 5ms", "is not a number"),
        ("error_rate < 101%", "is not a share"),
        ("p99 < 50ms at 100 qps; rm", "is not a requirement"),
    ],
)
def test_what_is_no_requirement_is_told_why(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
        parse_requirement(text)
