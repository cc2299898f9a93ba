from typing import Any

import pytest

from mlctl.runtime.checks.gx import judge, load_columns
from mlctl.runtime.checks.verdict import Verdict, failed, missing_column, of_rows, share
from mlctl.types.jobs.checks import Expectation


def test_a_rule_about_rows() -> None:
    bad = of_rows("range", ["price"], 1000, 12, 0.01, "lie outside 0 to 5")
    assert (bad.passed, bad.failing_rows, bad.ratio) == (False, 12, 0.012)
    bad.sample = [{"id": 3}, {"id": 9}]
    assert (
        bad.line()
        == "range price: 12 of 1,000 rows (1.20 %) lie outside 0 to 5, at most 1.00 % may be; for example id=3; id=9"
    )
    bad.severity = "warn"
    assert bad.line().startswith("range price [warn]: ")
    assert not bad.closes
    good = of_rows("range", ["price"], 1000, 10, 0.01, "lie outside 0 to 5")
    assert (good.passed, good.reason, good.failing_rows) == (True, "", 10)


def test_no_checked_row_never_passes() -> None:
    empty = of_rows("range", ["price"], 0, 0, 1.0, "")
    assert not empty.passed
    assert "no values" in empty.reason


def test_json_leaves_out_what_does_not_apply() -> None:
    assert failed("unique", ["a"], "why").to_json() == {
        "rule": "unique",
        "columns": ["a"],
        "passed": False,
        "reason": "why",
        "severity": "error",
        "sample": [],
    }
    assert Verdict("x", [], True, observed=0.0).to_json()["observed"] == 0.0
    assert Verdict("x", [], True, failing_rows=0).to_json()["failing_rows"] == 0


@pytest.mark.parametrize(
    ("ratio", "text"), [(0, "0.00 %"), (1, "100.00 %"), (0.5, "50.00 %"), (1e-4, "0.01 %"), (1e-6, "0.0001 %")]
)
def test_a_share_never_reads_zero_when_it_is_not(ratio: float, text: str) -> None:
    assert share(ratio) == text


def test_missing_columns_suggest() -> None:
    assert missing_column("pric", {"price": "double"}) == "the dataset has no column `pric`; did you mean `price`?"


def item(success: bool, result: dict[str, Any], info: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"success": success, "result": result, "exception_info": info or {"raised_exception": False}}


IN_SET = Expectation(
    name="expect_column_values_to_be_in_set",
    arguments={"column": "a", "value_set": [1], "mostly": 0.9, "severity": "warning"},
)


def test_a_row_expectation_counts_rows() -> None:
    bad = judge(IN_SET, item(False, {"element_count": 10, "missing_count": 2, "unexpected_count": 4}))
    assert (bad.passed, bad.checked_rows, bad.failing_rows, bad.ratio) == (False, 8, 4, 0.5)
    assert (
        bad.line()
        == "expect_column_values_to_be_in_set a: 4 of 8 rows (50.00 %) do not meet it, at most 10.00 % may be"
    )
    good = judge(IN_SET, item(True, {"element_count": 10, "missing_count": 0, "unexpected_count": 1}))
    assert (good.passed, good.reason) == (True, "")


@pytest.mark.parametrize(
    "result",
    [
        {"element_count": 5, "missing_count": 5, "unexpected_count": 0},
        {"element_count": 0, "missing_count": 0, "unexpected_count": 0},
    ],
)
def test_an_expectation_that_looked_at_nothing_fails(result: dict[str, Any]) -> None:
    verdict = judge(IN_SET, item(True, result))
    assert not verdict.passed
    assert "no values" in verdict.reason


def test_a_column_expectation_gives_what_it_observed() -> None:
    rule = Expectation(name="expect_column_mean_to_be_between", arguments={"column": "a", "max_value": 0.9})
    bad = judge(rule, item(False, {"observed_value": 0.95}))
    assert (bad.passed, bad.observed, bad.reason) == (False, 0.95, "observed 0.95, expected max_value 0.9")
    assert (
        judge(rule, item(False, {"observed_value": float("nan")})).reason
        == "nothing was observed, expected max_value 0.9"
    )


def test_a_set_expectation_tells_counts_and_no_values() -> None:
    rule = Expectation(name="expect_column_distinct_values_to_equal_set", arguments={"column": "a", "value_set": [1]})
    bad = judge(
        rule,
        item(
            False,
            {"observed_value": None, "unexpected_count": 2, "missing_count": 1, "partial_unexpected_list": ["secret"]},
        ),
    )
    assert bad.reason == "2 values outside the set, 1 values missing"


def test_an_exception_is_a_failure_with_its_message() -> None:
    info = {"MetricConfigurationID(x)": {"exception_message": "boom", "raised_exception": True}}
    assert judge(IN_SET, item(False, {}, info)).reason == "it could not be evaluated: boom"
    flat = {"raised_exception": True, "exception_message": "flat"}
    assert judge(IN_SET, item(False, {}, flat)).reason == "it could not be evaluated: flat"


def test_only_columns_that_are_read_are_loaded() -> None:
    columns = dict.fromkeys(["z", "a", "b", "bb", "c"], "bigint")
    rules = [
        Expectation(name="expect_column_values_to_be_unique", arguments={"column": "a", "row_condition": "bb > 3"}),
        Expectation(name="expect_table_columns_to_match_ordered_list", arguments={"column_list": ["c"]}),
        Expectation(name="expect_compound_columns_to_be_unique", arguments={"column_list": ["a", "z"]}),
    ]
    assert load_columns(rules, columns) == ["z", "a", "bb"]
