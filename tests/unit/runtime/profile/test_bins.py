"""Where columns are cut, and the SQL that counts them. That the SQL counts right is shown in tests/integration/data."""

import math

import pytest

from mlctl.runtime.profile.bins import comparable, count_parts, edges, read_counts
from mlctl.types.jobs.contract import CategoricalBins, NumericBins

DECILES = [float(step * 10) for step in range(10)]


def test_few_values_have_a_bin_each_and_many_are_cut_at_the_deciles() -> None:
    assert edges(DECILES, [0.0, 1.0, 5.0], 5.0, "bigint") == [0.0, 1.0, 5.0, 6.0]
    assert edges(DECILES, [], 99.0, "bigint") == [*DECILES, 100.0]
    assert edges(DECILES, [float(i) for i in range(21)], 99.0, "integer") == [*DECILES, 100.0]


def test_deciles_do_not_repeat() -> None:
    assert edges([0.0] * 8 + [1.0, 2.0], [], 3.0, "bigint") == [0.0, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("found", "high", "above"),
    [
        ("bigint", 7.0, 8.0),
        ("double", 7.0, math.nextafter(7.0, 8)),
        ("decimal(9,2)", 7.5, math.nextafter(7.5, 8)),
        ("date", 86_400.0, 172_800.0),
        ("timestamp", 1.5, 1.500001),
        ("bigint", 2.0**60, math.nextafter(2.0**60, math.inf)),
    ],
)
def test_the_highest_edge_is_just_above_the_maximum(found: str, high: float, above: float) -> None:
    """So that the last bin, which is open, is empty at first, as the first is."""
    assert edges([0.0], [], high, found) == [0.0, above]


def test_edges_that_cannot_be_written_are_left_out() -> None:
    assert edges([0.0], [], 1.7976931348623157e308, "double") == [0.0]  # nothing finite lies above it
    assert edges([-1e14, 0.0], [], 1e13, "timestamp") == [0.0]  # years far outside of 1 to 9999


def test_numbers_are_counted_below_each_edge() -> None:
    bins = NumericBins(edges=[0.0, 2.5], counts=[], nulls=0)
    assert count_parts("x", 'a"b', "double", bins) == {
        "x_n": "count(*)",
        "x_c": 'count(CASE WHEN NOT isnan("a""b") THEN "a""b" END)',
        "x_0": 'count_if("a""b" < 0.0e0)',
        "x_1": 'count_if("a""b" < 2.5e0)',
    }
    assert (
        count_parts("x", "a", "bigint", NumericBins(edges=[1e22], counts=[], nulls=0))["x_0"] == 'count_if("a" < 1e+22)'
    )


@pytest.mark.parametrize(
    ("found", "part"),
    [
        ("timestamp", "count_if(\"t\" < CAST('2024-01-01 00:00:00.250000' AS TIMESTAMP))"),
        ("date", "count_if(CAST(\"t\" AS TIMESTAMP) < CAST('2024-01-01 00:00:00.250000' AS TIMESTAMP))"),
        ("timestamp with time zone", "count_if(\"t\" < CAST('2024-01-01 00:00:00.250000+00:00' AS TIMESTAMPTZ))"),
    ],
)
def test_times_are_held_against_a_time(found: str, part: str) -> None:
    bins = NumericBins(edges=[1704067200.25], counts=[], nulls=0)
    assert count_parts("x", "t", found, bins)["x_0"] == part


def test_texts_and_booleans_are_counted_by_value() -> None:
    bins = CategoricalBins(values=["it's", "true"], counts=[], other=0, nulls=0)
    assert count_parts("x", "s", "varchar", bins)["x_0"] == "count_if(\"s\" = 'it''s')"
    assert count_parts("x", "b", "boolean", bins)["x_1"] == "count_if(CAST(\"b\" AS VARCHAR) = 'true')"


def test_counts_are_read_back_into_the_same_bins() -> None:
    bins = NumericBins(edges=[0.0, 1.0], counts=[9, 9, 9], nulls=9)
    row = {"x_n": 10, "x_c": 7, "x_0": 2, "x_1": 3}
    assert read_counts(row, "x", bins) == NumericBins(edges=[0.0, 1.0], counts=[2, 1, 4], nulls=3)
    named = CategoricalBins(values=["a", "b"], counts=[9, 9], other=9, nulls=9)
    assert read_counts(row, "x", named) == CategoricalBins(values=["a", "b"], counts=[2, 3], other=2, nulls=3)


def test_an_aggregate_over_no_rows_counts_none() -> None:
    row = {"x_n": 0, "x_c": 0, "x_0": None}
    assert read_counts(row, "x", NumericBins(edges=[0.0], counts=[], nulls=0)).counts == [0, 0]


def test_a_column_that_became_text_has_no_place_in_numeric_bins() -> None:
    bins = NumericBins(edges=[0.0], counts=[], nulls=0)
    assert not comparable("varchar", bins)
    with pytest.raises(ValueError, match="varchar"):
        count_parts("x", "a", "varchar", bins)
    assert comparable("decimal(3,1)", bins)
    assert comparable("date", bins)
    assert not comparable("double", CategoricalBins(values=[], counts=[], other=0, nulls=0))
