"""What is told of text columns is told of values that were seen."""

from mlctl.runtime.profile import dirt


def _counted(rows: int, **found: int) -> dict[str, int]:
    dates = {f"d0_{place}": 0 for place in range(len(dirt._DATES))}
    return {"r0": rows, "n0": 0, "c0": 0, "f0": 0, **dates, **found}


def test_nothing_is_told_of_a_column_whose_values_are_all_beyond_the_rows_that_are_looked_at() -> None:
    assert dirt._told(_counted(0), 0, folded=True) == {"rows": 0}


def test_what_most_values_are_is_told() -> None:
    assert dirt._told(_counted(10, n0=9), 0, folded=False) == {"rows": 10, "numbers": 9}
    assert dirt._told(_counted(10, n0=8), 0, folded=False) == {"rows": 10}
