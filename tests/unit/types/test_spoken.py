from __future__ import annotations

import pytest

from mlctl.types.spoken import spoken_latency


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.00042, "0.42 ms"), (0.01234, "12.3 ms"), (0.9994, "999 ms"), (0.9997, "1 s"), (1.25, "1.25 s")],
)
def test_short_times_are_said_in_three_digits(seconds: float, words: str) -> None:
    assert spoken_latency(seconds) == words
