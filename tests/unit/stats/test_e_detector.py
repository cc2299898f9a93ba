"""The detector of concept drift: how long it runs without drift, how soon it sees some, and what it remembers."""

import json
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.stats.adwin import Adwin
from mlctl.stats.e_detector import EDetector


def until_alarm(random: np.random.Generator, rate: float, baseline: float, run_length: float) -> int:
    detector = EDetector(baseline, run_length)
    while detector.crossing is None:
        detector.feed((random.random(500) < rate).astype(float).tolist())
    return detector.crossing.row


@given(
    st.floats(0.01, 0.9),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=6),
)
def test_whatever_the_losses_statistics_grow_by_at_most_one_a_row_while_the_mean_keeps_to_the_baseline(
    baseline: float, parts: list[tuple[float, float]]
) -> None:
    weights = [weight for _, weight in parts]
    losses = [loss for loss, _ in parts]
    mean = sum(loss * weight for loss, weight in parts) / sum(weights)
    losses = (
        [loss * min(1.0, baseline / mean) for loss in losses] if mean else losses
    )  # a law whose mean is no more than the baseline
    expected = [0.0] * 6
    for loss, weight in zip(losses, weights, strict=True):
        detector = EDetector(baseline, 1e9, statistics=[3.0] * 6)
        detector.feed([loss])
        expected = [
            total + weight / sum(weights) * value for total, value in zip(expected, detector.statistics, strict=True)
        ]
    assert all(value <= 4.0 * (1 + 1e-9) for value in expected)


def test_without_drift_it_runs_at_least_as_long_as_it_says() -> None:
    random = np.random.default_rng(11)
    runs = [until_alarm(random, 0.1, 0.1, 150) for _ in range(200)]
    error = statistics.stdev(runs) / len(runs) ** 0.5
    assert (
        statistics.mean(runs) > 150 + 3 * error
    )  # far from the bound, which holds for the worst law and not for this one
    slack = [until_alarm(random, 0.08, 0.1, 150) for _ in range(60)]
    assert statistics.mean(slack) > statistics.mean(runs)  # a model that is better than its bound alarms later still


def test_a_rise_is_seen_in_half_the_labels_that_adwin_takes_and_its_beginning_is_told() -> None:
    random = np.random.default_rng(5)
    delays: dict[str, list[int]] = {"ours": [], "adwin": []}
    starts = []
    for _ in range(15):
        stream = [*(random.random(3000) < 0.1).astype(float), *(random.random(1500) < 0.2).astype(float)]
        detector, peer = EDetector(0.1, 50_000), Adwin()
        detector.feed(stream)
        peer.feed(stream)
        assert detector.crossing is not None
        assert peer.risen is not None
        delays["ours"].append(detector.crossing.row - 3000)
        delays["adwin"].append(peer.risen - 3000)
        starts.append(detector.crossing.start)
    assert statistics.median(delays["ours"]) < statistics.median(delays["adwin"]) / 1.8
    assert abs(statistics.median(starts) - 3000) < 40


@pytest.mark.parametrize("detector", [EDetector(0.1, 1000), Adwin()], ids=["e_detector", "adwin"])
def test_what_is_remembered_goes_on_as_if_it_had_never_stopped(detector: EDetector | Adwin) -> None:
    random = np.random.default_rng(3)
    stream = [*(random.random(900) < 0.1).astype(float), *(random.random(700) < 0.4).astype(float)]
    whole, parts = type(detector)(**_made(detector)), detector
    whole.feed(stream)
    for start in range(0, len(stream), 137):
        parts.feed(stream[start : start + 137])
        memory = json.loads(json.dumps(parts.memory()))
        parts = (
            EDetector.remembered(0.1, 1000, memory) if isinstance(parts, EDetector) else Adwin.remembered(0.002, memory)
        )
    assert parts.memory() == whole.memory()
    assert (whole.crossing if isinstance(whole, EDetector) else whole.risen) is not None


def _made(detector: EDetector | Adwin) -> dict[str, float]:
    return {"baseline": 0.1, "run_length": 1000.0} if isinstance(detector, EDetector) else {"delta": 0.002}


def test_losses_between_zero_and_one_are_as_good_as_errors() -> None:
    random = np.random.default_rng(8)
    calm, risen = random.beta(1, 9, 4000), random.beta(2, 8, 1000)  # means 0.1 and 0.2
    detector = EDetector(0.102, 50_000)
    detector.feed(calm.tolist())
    assert detector.crossing is None
    detector.feed(risen.tolist())
    assert detector.crossing is not None
    assert detector.crossing.row < 4300


@pytest.mark.parametrize("loss", [-0.1, 1.1, float("nan")])
def test_what_is_no_loss_is_refused(loss: float) -> None:
    with pytest.raises(ValueError, match="a loss lies between 0 and 1"):
        EDetector(0.1, 1000).feed([loss])


def test_another_mixture_is_not_taken_for_its_own() -> None:
    memory = EDetector(0.1, 1000).memory()
    with pytest.raises(ValueError, match="another mixture"):
        EDetector.remembered(0.1, 1000, {**memory, "sums": [0.0]})


@pytest.mark.parametrize(("baseline", "run_length"), [(0.0, 100), (1.0, 100), (0.1, 1)])
def test_a_detector_that_can_keep_nothing_is_refused(baseline: float, run_length: float) -> None:
    with pytest.raises(ValueError, match=r"baseline|run length"):
        EDetector(baseline, run_length)
