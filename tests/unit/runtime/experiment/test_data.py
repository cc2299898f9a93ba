"""Exposures and outcomes become sums: what is counted, and what is told and never counted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.experiment.exposures import log_files
from mlctl.stats.assignment import unit_hash
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.experiment import Metric
from tests.unit.runtime.experiment.world import BOUGHT, EXPOSURES, SPENT, TIME, Data, request, sums, when

PAIR = [["a", "control", when(0), "de"], ["b", "treatment", when(1), "fr"]]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def test_outcomes_count_from_the_first_exposure_to_the_end_of_the_window(data: Data) -> None:
    outcomes = [["a", when(0), 1], ["a", when(23.9), 2], ["a", when(24), 4], ["b", when(2), 8]]
    found = data.read(PAIR, outcomes)
    assert sums(found, "control") == {"n": 1, "y": 3, "yy": 9}
    assert sums(found, "treatment")["y"] == 8


def test_a_unit_whose_window_is_not_over_is_pending_and_not_nothing(data: Data) -> None:
    found = data.read([*PAIR, ["c", "control", when(60), "de"]], [["c", when(61), 5]])
    assert found["metrics"]["value"]["pending"] == {"control": 1, "treatment": 0}
    assert sums(found, "control") == {"n": 1, "y": 0, "yy": 0}


def test_a_unit_that_did_nothing_has_a_sum_of_nothing_and_no_mean(data: Data) -> None:
    mean = SPENT.model_copy(update={"aggregate": "mean"})
    found = data.read(PAIR, [["b", when(2), 3]], [mean])
    assert found["metrics"]["value"]["without_value"] == {"control": 1, "treatment": 0}
    assert sums(found, "control") == {}


def test_what_lies_before_the_exposure_or_after_the_end_is_told_and_not_counted(data: Data) -> None:
    outcomes = [["a", when(-5), 1], ["b", when(1 - 30 / 3600), 1], ["a", when(80), 1], ["nobody", when(3), 1]]
    found = data.read([*PAIR, ["late", "control", when(90), "de"]], outcomes)
    told = found["outcomes"]
    assert (told["before_exposure"], told["clock_skew"], told["after_the_end"], told["of_no_exposed_unit"]) == (
        1,
        1,
        1,
        1,
    )
    assert found["exposures"]["after_the_end"] == 1
    assert sums(found, "control")["y"] == sums(found, "treatment")["y"] == 0


def test_rows_that_repeat_another_count_once(data: Data) -> None:
    found = data.read(PAIR, [["a", when(2), 3], ["a", when(2), 3], ["a", when(3), 3]])
    assert found["outcomes"]["repeated"] == 1
    assert sums(found, "control")["y"] == 6


def test_a_key_says_which_rows_repeat_another(data: Data) -> None:
    data.columns, data.key = (
        (EXPOSURES, {"order": "bigint", "user": "varchar", "at": TIME, "value": "double"}),
        ["order"],
    )
    found = data.read(PAIR, [[1, "a", when(2), 3], [2, "a", when(2), 3], [2, "a", when(2), 3]])
    assert (found["outcomes"]["repeated"], sums(found, "control")["y"]) == (1, 6)


def test_no_number_is_told_and_not_counted(data: Data) -> None:
    found = data.read(PAIR, [["a", when(2), "nan"], ["a", when(3), "inf"], ["a", when(4), ""], ["a", when(5), 2]])
    assert found["metrics"]["value"]["not_numbers"] == 3
    assert sums(found, "control") == {"n": 1, "y": 2, "yy": 4}


def test_units_in_several_arms_count_in_none(data: Data) -> None:
    found = data.read([*PAIR, ["a", "treatment", when(5), "de"]], [["a", when(2), 3]])
    assert (found["exposures"]["crossed"], found["exposures"]["units"]) == (1, 2)
    assert found["days"] == {"2026-03-02": {"treatment": 1}}


def test_exposures_without_a_unit_a_time_or_a_known_arm_are_told(data: Data) -> None:
    rows = [
        *PAIR,
        ["", "control", when(1), "de"],
        ["c", "control", "", "de"],
        ["d", "blue", when(1), "de"],
        ["e", "", when(1), "de"],
    ]
    found = data.read(rows, [])["exposures"]
    assert (found["without_unit"], found["without_time"], found["other_arm"], found["units"]) == (1, 1, 2, 2)


@pytest.mark.parametrize("value", ["varchar", "json"])
def test_rewards_as_text_are_refused_by_name(data: Data, value: str) -> None:
    data.columns = (EXPOSURES, {"user": "varchar", "at": TIME, "value": value})
    with pytest.raises(MlctlError) as caught:
        data.read(PAIR, [["a", when(2), "1"]])
    (problem,) = caught.value.diagnostics
    assert problem.code == "experiment.not-a-number"
    assert problem.summary.startswith(f"`value` of `done` is {value}")


def test_a_column_that_is_not_there_is_told_with_the_one_that_was_meant(data: Data) -> None:
    with pytest.raises(MlctlError) as caught:
        data.read(PAIR, [], [SPENT.model_copy(update={"column": "valeu"})])
    assert caught.value.diagnostics[0].code == "data.missing-column"
    assert "`value`" in caught.value.diagnostics[0].fix


def test_a_number_is_no_time(data: Data) -> None:
    data.columns = ({**EXPOSURES, "at": "bigint"}, data.columns[1])
    with pytest.raises(MlctlError) as caught:
        data.read([["a", "control", 5, "de"]], [])
    assert caught.value.diagnostics[0].code == "experiment.bad-time"


def test_dates_of_outcomes_count_to_the_end_of_their_day(data: Data) -> None:
    data.columns = (EXPOSURES, {"user": "varchar", "at": "date", "value": "double"})
    found = data.read([["a", "control", when(8), "de"]], [["a", "2026-03-02", 3], ["a", "2026-03-01", 5]])
    assert sums(found, "control")["y"] == 3


def test_an_id_that_lost_its_type_to_a_missing_value_is_still_the_id(data: Data) -> None:
    data.columns = ({**EXPOSURES, "user": "double"}, {"user": "bigint", "at": TIME, "value": "double"})
    found = data.read([[7.0, "control", when(0), "de"], ["", "control", when(0), "de"]], [[7, when(1), 3]])
    assert sums(found, "control")["y"] == 3


def test_a_ratio_has_sums_of_both_and_of_their_product(data: Data) -> None:
    data.columns = (EXPOSURES, {"user": "varchar", "at": TIME, "value": "double", "visits": "bigint"})
    ratio = Metric(
        name="value",
        type="ratio",
        column="value",
        aggregate="sum",
        denominator="visits",
        window_seconds=86_400,
    )
    found = data.read(PAIR, [["a", when(1), 2, 3], ["a", when(2), 3, 4]], [ratio])
    assert sums(found, "control") == {"n": 1, "y": 5, "yy": 25, "d": 7, "dd": 49, "yd": 35}


def test_the_covariate_is_what_was_before_the_exposure(data: Data) -> None:
    cuped = SPENT.model_copy(update={"pre_seconds": 3600.0 * 48})
    found = data.read(PAIR, [["a", when(-47), 5], ["a", when(-49), 7], ["a", when(1), 2]], [cuped])
    assert sums(found, "control") == {"n": 1, "y": 2, "yy": 4, "x": 5, "xx": 25, "yx": 10}


def test_a_unit_without_a_covariate_counts_with_the_mean_of_all(data: Data) -> None:
    data.columns = ({**EXPOSURES, "before": "double"}, data.columns[1])
    cuped = SPENT.model_copy(update={"covariate": "before"})
    found = data.read(
        [["a", "control", when(0), "de", 4], ["b", "control", when(0), "de", ""]], [["a", when(1), 1]], [cuped]
    )
    assert found["metrics"]["value"]["without_covariate"] == 1
    assert sums(found, "control")["x"] == 8


def test_a_covariate_of_a_later_exposure_is_not_taken_for_one_that_is_missing(data: Data) -> None:
    """By then the arm may have changed it, and would be taken out of its own effect."""
    data.columns = ({**EXPOSURES, "before": "double"}, data.columns[1])
    cuped = SPENT.model_copy(update={"covariate": "before"})
    rows = [
        ["a", "control", when(0), "de", ""],
        ["a", "control", when(2), "de", 90],
        ["b", "control", when(0), "de", 4],
    ]
    found = data.read(rows, [["a", when(1), 1]], [cuped])
    assert found["metrics"]["value"]["without_covariate"] == 1
    assert sums(found, "control")["x"] == 8


def test_a_subgroup_is_what_was_known_at_the_first_exposure(data: Data) -> None:
    found = data.read([*PAIR, ["a", "control", when(9), "us"]], [["a", when(2), 3]], subgroups=["country"])
    assert found["segments"] == {"country": {"de": {"control": 1}, "fr": {"treatment": 1}}}
    assert found["metrics"]["value"]["subgroups"]["country"]["de"]["control"]["y"] == 3


def test_a_subgroup_of_the_outcomes_is_what_was_known_before_the_exposure(data: Data) -> None:
    data.columns = (EXPOSURES, {"user": "varchar", "at": TIME, "value": "double", "plan": "varchar"})
    outcomes = [
        ["a", when(-3), 0, "free"],
        ["a", when(-2), 0, "paid"],
        ["a", when(2), 0, "gone"],
        ["b", when(3), 0, "gone"],
    ]
    assert data.read(PAIR, outcomes, subgroups=["plan"])["segments"] == {
        "plan": {"paid": {"control": 1}, "(none)": {"treatment": 1}}
    }


def test_values_beyond_the_commonest_are_one_subgroup(data: Data) -> None:
    rows = [[f"u{n}", "control", when(0), f"c{n:02}"] for n in range(30)] + [["x", "control", when(0), "c00"]]
    found = data.read(rows, [], subgroups=["country"])["segments"]["country"]
    assert (len(found), found["c00"], found["(other)"]) == (21, {"control": 2}, {"control": 10})


def test_the_log_tells_who_was_drawn_into_which_arm(data: Data) -> None:
    lines: list[Any] = [
        request("a", 1), request("a", 5), request("b", 2, "treatment"),
        request("c", 3, role="shadow"), request("d", 3, propensity=None), request("e", -2), request("f", 3, unit=None),
        request("g", 3, "candidate"), '{"ts": "2026-03-02T0', request("h", 100),
    ]  # fmt: skip
    found = data.read_log(lines, [["a", when(2), 3], [unit_hash("b"), when(3), 4]])
    told = found["exposures"]
    assert [
        told[name]
        for name in (
            "shadow",
            "chosen_by_client",
            "before_the_start",
            "without_unit",
            "other_arm",
            "unreadable",
            "after_the_end",
        )
    ] == [1] * 7
    assert found["days"] == {"2026-03-02": {"control": 1, "treatment": 1}}
    assert (sums(found, "control")["y"], sums(found, "treatment")["y"]) == (3, 4)


def test_a_log_that_is_empty_is_refused(data: Data) -> None:
    with pytest.raises(MlctlError) as caught:
        data.read_log([], [])
    assert caught.value.diagnostics[0].code == "experiment.no-exposures"


def test_only_files_that_can_hold_a_row_are_read(tmp_path: Path) -> None:
    for name in ("2026-02-27.jsonl", "2026-03-01.jsonl", "2026-03-05.jsonl", "2026-03-07.jsonl", "notes.txt"):
        (tmp_path / name).write_text("{}\n")
    assert [path.stem for path in log_files(tmp_path, when(0), when(72))] == ["2026-03-01", "2026-03-05"]
    assert log_files(tmp_path / "nowhere", when(0), when(72)) == []


def test_errors_and_times_are_put_together_by_unit_and_not_by_request(data: Data) -> None:
    lines = [
        request("a", 1),
        request("a", 2, code=500, latency_seconds=9.0),
        request("a", 3, latency_seconds=0.3),
        request("b", 1),
    ]
    lines += [request("a", 3, latency_seconds=0.3)]  # a second row of the same request
    found = data.read_log(lines, [], operations=["error_rate", "mean_seconds"])
    assert sums(found, "control", "error_rate") == {"n": 2, "y": 1, "yy": 1, "d": 4, "dd": 10, "yd": 3}
    assert sums(found, "control", "mean_seconds")["y"] == pytest.approx(0.5)


def test_the_error_of_a_percentile_is_that_of_units(data: Data) -> None:
    import random

    chance = random.Random(4)
    lines = []
    for user in range(400):
        level = chance.lognormvariate(-2, 0.5)
        lines += [request(f"u{user}", 1 + n / 100, latency_seconds=level * chance.uniform(0.9, 1.1)) for n in range(5)]
    found = data.read_log(lines, [], operations=["p95_seconds"])["metrics"]["p95_seconds"]["estimates"]["control"]
    true = math.exp(-2 + 1.645 * 0.5)
    assert found["units"] == 400
    assert abs(found["value"] - true) < 3 * found["error"]
    # 400 units and not 2,000 requests: the error of a quantile of the levels alone is about 0.018
    assert 0.009 < found["error"] < 0.036


def test_operations_of_units_in_a_dataset_are_found_by_the_hash_of_their_id(data: Data) -> None:
    data.read_log([request("a", 1, code=500), request("a", -1, code=500), request("zz", 1)], [])
    from mlctl.types.jobs.experiment import LogExposures

    log = LogExposures(deployment="api", folder=str(data.folder / "log"), since=when(-5))
    found = data.read(PAIR, [], operations=["error_rate"], log=log)
    assert sums(found, "control", "error_rate") == {"n": 1, "y": 1, "yy": 1, "d": 1, "dd": 1, "yd": 1}


def test_a_window_without_any_exposure_has_no_first_day(data: Data) -> None:
    found = data.read([], [["a", when(1), 1]], [BOUGHT])
    assert (found["first"], found["days"], found["outcomes"]["of_no_exposed_unit"]) == (None, {}, 1)


def test_the_newest_outcome_by_the_end_of_the_data_is_told(data: Data) -> None:
    assert data.read(PAIR, [["a", when(2), 1], ["b", when(3), 1], ["b", when(500), 1]])["newest_outcome"] == when(3)
    assert data.read(PAIR, [])["newest_outcome"] is None


def test_a_proportion_of_values_that_are_neither_yes_nor_no_is_refused(data: Data) -> None:
    largest = BOUGHT.model_copy(update={"aggregate": "max"})
    assert sums(data.read(PAIR, [["a", when(2), 1], ["a", when(3), 0]], [largest]), "control")["y"] == 1
    with pytest.raises(MlctlError, match="counts 0 and 1"):
        data.read(PAIR, [["a", when(2), 1], ["b", when(3), 5]], [largest])
    assert not list(data.folder.glob("job/*.parquet"))  # of what was read, nothing stays
