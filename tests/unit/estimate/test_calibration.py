import random
import statistics
from dataclasses import replace

import pytest

from mlctl.estimate.calibration import Group, Run, calibrated, runs_of
from mlctl.types.estimate import Range

GROUP = Group("causal_lm", "lora", "single", "cpu x2", "hf", "bf16", 9)
FORMULA = Range(50.0, 100.0, 400.0)


def runs(*ratios: float, group: Group = GROUP) -> list[Run]:
    return [Run(group, ratio, ratio) for ratio in ratios]


def test_without_runs_the_formula_stands() -> None:
    assert calibrated(FORMULA, "memory", GROUP, []) is FORMULA
    other = replace(GROUP, device="H100")
    assert calibrated(FORMULA, "memory", GROUP, runs(2.0, group=other)) is FORMULA


def test_the_median_of_past_runs_puts_the_formula_right() -> None:
    found = calibrated(FORMULA, "seconds", GROUP, runs(1.5, 1.4, 9.0))
    assert found.mid == pytest.approx(150.0)
    assert found.basis == "calibrated from 3 runs"


def test_more_runs_narrow_the_range_and_none_widens_it() -> None:
    widths = []
    for count in range(1, 8):
        found = calibrated(FORMULA, "seconds", GROUP, runs(*[1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.0][:count]))
        widths.append(found.high / found.low)
    assert widths[-1] < widths[1] < 400 / 50
    wild = calibrated(FORMULA, "seconds", GROUP, runs(0.1, 1.0, 10.0))
    assert wild.low >= wild.mid * 0.5
    assert wild.high <= wild.mid * 4.0


def test_only_the_last_runs_count() -> None:
    found = calibrated(FORMULA, "seconds", GROUP, runs(*[5.0] * 20, *[1.0] * 10))
    assert found.mid == 100.0
    assert found.basis == "calibrated from 10 runs"


@pytest.mark.parametrize(
    "stored",
    [None, "x", {}, {"group": {}}, {"group": GROUP.to_json()}, {"group": {**GROUP.to_json(), "more": 1}, "ratio": {"memory": 1.0}}],
)  # fmt: skip
def test_what_is_no_record_of_a_run_is_left_out(stored: object) -> None:
    assert runs_of([{"estimate": stored}, {}, "x"]) == []


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1e9, True, "2", float("nan")])
def test_a_ratio_that_cannot_be_is_none(ratio: object) -> None:
    (run,) = runs_of([{"estimate": {"group": GROUP.to_json(), "ratio": {"memory": ratio, "seconds": 2.0}}}])
    assert (run.memory, run.seconds) == (None, 2.0)


@pytest.mark.parametrize(
    ("strategy", "predicted", "seconds"),
    [("ddp", {"memory": 1.0, "seconds": 1.0}, None), ("ddp", None, None), ("single", {"seconds": 1.0}, 2.0), ("ddp", {"start": 1.0}, 2.0)],
)  # fmt: skip
def test_the_time_of_several_devices_by_an_older_formula_without_links_does_not_count(
    strategy: str, predicted: object, seconds: float | None
) -> None:
    stored = {"group": replace(GROUP, strategy=strategy).to_json(), "ratio": {"memory": 1.5, "seconds": 2.0}}
    (run,) = runs_of([{"estimate": {**stored, "predicted": predicted}}])
    assert (run.memory, run.seconds) == (1.5, seconds)


def test_five_runs_halve_the_error_of_a_formula_that_is_off() -> None:
    """Against a made-up truth: each group of runs has its own factor, each run its own noise, and the next run is foretold."""
    draw = random.Random(7)
    before, after, covered = [], [], 0
    for _ in range(400):
        factor = draw.lognormvariate(0, 0.4)
        seen = [factor * draw.lognormvariate(0, 0.1) for _ in range(6)]
        found = calibrated(FORMULA, "seconds", GROUP, runs(*seen[:5]))
        actual = 100 * seen[5]
        before.append(abs(100 - actual) / actual)
        after.append(abs(found.mid - actual) / actual)
        covered += found.low <= actual <= found.high
    assert statistics.median(after) < statistics.median(before) / 2
    assert covered / 400 > 0.8
