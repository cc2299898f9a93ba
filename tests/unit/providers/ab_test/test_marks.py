"""What is not counted is told, each with its number."""

from __future__ import annotations

from typing import Any

from mlctl.providers.ab_test.marks import marks

NOTHING: dict[str, Any] = {"exposures": {"rows": 9, "units": 9, "crossed": 0}, "outcomes": {"rows": 5}, "metrics": {}}
FINE: dict[str, Any] = {"units": {"control": 5, "treatment": 4}, "missing": []}


def test_of_good_data_nothing_is_told() -> None:
    assert marks(NOTHING, FINE) == []


def test_everything_that_was_left_out_is_told_with_its_number() -> None:
    exposures = {"units": 1000, "crossed": 20, "unreadable": 1, "shadow": 2, "chosen_by_client": 3, "before_the_start": 4, "without_time": 5,
                 "without_unit": 6, "other_arm": 7, "after_the_end": 8}  # fmt: skip
    outcomes = {"repeated": 11, "without_unit": 12, "without_time": 13, "after_the_end": 14, "of_no_exposed_unit": 15, "clock_skew": 16,
                "before_exposure": 17}  # fmt: skip
    metric = {"pending": {"control": 21}, "without_value": {"control": 22}, "not_numbers": 23, "without_covariate": 24}
    found = marks({"exposures": exposures, "outcomes": outcomes, "metrics": {"bought": metric}}, FINE)
    numbers = [*range(1, 9), *range(11, 18), *range(21, 25)]
    for number in numbers:
        assert sum(f" {number} " in f" {line} " for line in found) == 1, number
    assert (
        found[0]
        == "20 of 1,000 units were in more than one arm, and count in none (many: is the same salt used everywhere, and was it changed?)"
    )
    assert len(found) == len(numbers) + 1


def test_an_empty_arm_is_told_once_and_not_for_each_metric() -> None:
    outputs = {
        "units": {"control": 5, "treatment": 0, "b": 3},
        "missing": [{"metric": "m", "arm": "treatment"}, {"metric": "m", "arm": "b"}],
    }
    assert marks(NOTHING, outputs) == ["no unit was exposed to treatment", "`m` has too few values to compare b"]
