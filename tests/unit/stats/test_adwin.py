"""ADWIN decides as river's does, row by row."""

import numpy as np
import pytest
from river.drift import ADWIN

from mlctl.stats.adwin import Adwin


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("risen", [0.05, 0.15, 0.3])
def test_it_drops_its_window_at_the_same_row_and_keeps_as_much(seed: int, risen: float) -> None:
    random = np.random.default_rng(seed)
    stream = np.concatenate([random.random(1500) < 0.1, random.random(1500) < risen]).astype(float)
    oracle, found = ADWIN(), None
    for row, value in enumerate(stream.tolist(), 1):
        before = oracle.estimation
        oracle.update(value)
        if oracle.drift_detected and oracle.estimation > before:
            found = (row, int(oracle.width))
            break
    ours = Adwin()
    ours.feed(stream.tolist())
    assert (None if ours.risen is None or ours.start is None else (ours.risen, ours.risen - ours.start)) == found
    assert (found is not None) == (risen > 0.1)


def test_it_remembers_little_of_a_long_stream() -> None:
    ours = Adwin()
    ours.feed([0.0, 1.0] * 20_000)
    assert ours.rows == ours.width == 40_000
    assert ours.mean == 0.5
    assert sum(len(level) for level in ours.memory()["levels"]) < 80
