"""How figures of datasets are written: as short as they can be without saying what is not so."""

import pytest

from mlctl.views.html import profile as html
from mlctl.views.human import data as human
from mlctl.views.human.data import difference, moments, share, sparkline
from mlctl.views.human.style import figure
from mlctl.views.human.table import table


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0"), (19_999, "19,999"), (2.0, "2"), (9999.5, "10,000"), (66.6234, "66.62"), (0.000123, "0.000123"), (3e12, "3e+12"), (1234.5, "1,234")],
)  # fmt: skip
def test_figures(number: float, written: str) -> None:
    assert figure(number) == written


def test_one_null_of_a_million_is_seen() -> None:
    assert (share(0, 10), share(1, 1_000_000), share(1, 8), share(8, 8)) == ("", "<0.1 %", "12.5 %", "100.0 %")


def test_times_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    assert moments(["2024-01-01T10:00:00", None, "2024-02-01T10:00:00"]) == ["2024-01-01", "", "2024-02-01"]
    assert moments(["2024-01-01T10:00:00", "2024-01-01T11:30:00"]) == ["2024-01-01 10:00:00", "2024-01-01 11:30:00"]
    assert moments(["2024-01-01", "2024-01-01T12:00:00"]) == ["2024-01-01", "2024-01-01"]  # the mean of a date column
    assert moments(["-5000-01-01T00:00:00", 1.5]) == ["-5000-01-01T00:00:0".replace("T", " "), "1.5"]


def test_a_sparkline_shows_the_least_bar_and_leaves_an_empty_one_out() -> None:
    shown = {"histogram": {"counts": [1000, 0, 1, 500]}, "top": [], "nulls": 0}
    assert sparkline(shown, 1501) == "█ ▁▄"


def test_frequent_values_are_shares_of_all_values_that_are_not_null() -> None:
    top = [{"value": "a", "count": 3}, {"value": "b", "count": 1}]
    assert sparkline({"histogram": None, "top": top, "nulls": 90}, 100) == "a 30 %, b 10 %"
    assert sparkline({"histogram": None, "top": [], "nulls": 5}, 5) == ""


def test_tables_align_wide_characters_and_steer_no_terminal() -> None:
    lines = table(["NAME", "N"], [["東京", "1"], ["\x1b[31mred", "20"]], right=("N",)).splitlines()
    assert lines == ["NAME          N", "東京          1", "\\x1b[31mred  20"]


def test_datasets_without_a_common_column_are_not_called_the_same() -> None:
    side = {"key": "datasets.a#1", "at": "", "rows": 1}
    found = {"a": side, "b": side, "added": [{"name": "x", "type": "bigint"}], "removed": [], "retyped": [], "keys": None, "notes": []}  # fmt: skip
    assert "No column stands in both" in difference({**found, "columns": []}, color=False)
    assert "same figures" in difference({**found, "columns": [{"changed": False}]}, color=False)


@pytest.mark.parametrize("view", ["terminal", "page"])
def test_an_estimate_of_distinct_values_is_not_written_as_if_it_were_exact_and_one_row_is_one(view: str) -> None:
    column = {"name": "id", "type": "bigint", "nulls": 0, "approx_distinct": 3001, "min": None, "max": None, "mean": None, "std": None,
              "quantiles": None, "quantile_rows": None, "top": [], "bins": None, "histogram": None, "infinite": 0}  # fmt: skip
    shown = {"rows": 1, "columns": [column], "quantile_rows": 1}
    said = (
        human.profile(shown, "d", [], color=False)
        if view == "terminal"
        else html.render(shown, [], title="d", version="v", at="")
    )
    assert "~3,000" in said
    assert "1 row, 1 column" in said


def test_one_row_that_was_judged_is_one() -> None:
    rule = {"rule": "outliers", "columns": ["b"], "passed": True, "checked_rows": 1}
    assert "outliers b (1 row)" in human.verdicts("data_checks.one", [rule], None, color=False)
