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


def test_outcomes_that_end_before_the_data_do_are_told_since_their_units_count_as_if_they_did_nothing() -> None:
    old = {**NOTHING, "newest_outcome": "2026-01-14T12:00:00+00:00", "until": "2026-01-31T00:00:00+00:00"}
    (found,) = marks(old, FINE)
    assert found.startswith("the newest outcome is of 2026-01-14 12:00 UTC, 16.5 days before the end of the data")
    assert marks({**old, "until": "2026-01-15T11:00:00+00:00"}, FINE) == []
    assert marks({**old, "newest_outcome": None}, FINE) == []


def test_units_that_an_earlier_look_had_and_the_data_have_no_more_are_told() -> None:
    outputs = {
        **FINE,
        "looks": [{"counts": {"control": 7, "treatment": 5}}, {"counts": {"control": 6, "treatment": 3}}],
    }
    assert marks(NOTHING, outputs) == [
        "3 units of an earlier look are gone: were days of the prediction log, or rows of the exposures, removed?"
    ]
    crossed = {**NOTHING, "exposures": {"rows": 9, "units": 900, "crossed": 3}}
    assert len(marks(crossed, outputs)) == 1  # they were seen in a second arm since, and that is told


def test_requests_without_a_split_are_not_said_to_have_chosen_their_arm() -> None:
    [told] = marks({**NOTHING, "exposures": {"units": 9, "crossed": 0, "chosen_by_client": 1506}}, FINE)
    assert told == "1,506 requests were not drawn: they chose their arm by a header, or no gateway split them"
