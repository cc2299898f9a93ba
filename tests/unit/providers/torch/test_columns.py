"""What a plan refuses of a training whose dataset is made, and what it remarks on."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError
from tests.unit.providers.torch.trainings import TABLE, TEXT, foreseen, rows, without

COLUMNS = {"i": "bigint", "plan": "varchar", "empty": "varchar", "a": "double", "b": "bigint", "y": "bigint"}
FIGURES: dict[str, Any] = {
    "empty": {"nulls": 1000, "approx_distinct": 0},
    "y": {"nulls": 0, "approx_distinct": 2, "min": 0, "max": 1},
}


def of(target: str = "y", columns: list[str] | None = None, **more: Any) -> dict[str, Any]:
    data = {"labels": "rows", "target": target, **({"columns": columns} if columns is not None else {})}
    return {**TABLE, **more, "data": {**data, "split": {"by": "random"}}}


def made(columns: dict[str, str] | None = None, **figures: Any) -> Any:
    return rows(columns=COLUMNS if columns is None else columns, statistics={**FIGURES, **figures})


def refused(ctx: Context, values: dict[str, Any], inputs: Any) -> list[tuple[str, tuple[str | int, ...], str, str]]:
    with pytest.raises(MlctlError) as failed:
        foreseen(ctx, values, inputs)
    return [(item.code, item.path, item.summary, item.fix) for item in failed.value.diagnostics]


def test_a_column_that_is_not_there_is_refused_where_it_is_named_with_the_nearest(ctx: Context) -> None:
    columns = {"i": "bigint", "churned": "bigint", "income": "double"}
    found = refused(ctx, of("churnd", ["incom"]), made(columns))
    assert found == [
        ("data.missing-column", ("data", "target"), "`rows` has no column `churnd`", "did you mean `churned`?"),
        ("data.missing-column", ("data", "columns", 0), "`rows` has no column `incom`", "did you mean `income`?"),
    ]


def test_text_and_columns_without_a_value_are_refused_at_the_first_of_them(ctx: Context) -> None:
    (found,) = refused(ctx, of(columns=["a", "plan", "empty"]), made())
    assert found[:3] == (
        "training.not-numeric",
        ("data", "columns", 1),
        "not numbers: `plan` (varchar), `empty` (no value in any row)",
    )
    (found,) = refused(ctx, of(), made())
    assert found[1] == ("data", "labels")
    assert found[3] == "list the columns to learn from: `columns: [a, b]`"
    (found,) = refused(ctx, of("plan", ["a"]), made())
    assert (found[1], found[2]) == (("data", "target"), "not numbers: `plan` (varchar)")


@pytest.mark.parametrize(
    ("figures", "more", "code", "summary"),
    [
        ({"nulls": 3, "min": 0, "max": 1}, {}, "training.target-missing", "3 of 1,000 rows of `rows` have no `y`"),
        ({"nulls": 0, "min": 0, "max": 0}, {}, "training.one-class", "all 1,000 rows have `y` = 0"),
        ({"nulls": 0, "min": 1, "max": 2}, {"task": "binary"}, "training.not-binary", "`y` is not 0 or 1 throughout"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(
    ctx: Context, figures: Any, more: Any, code: str, summary: str
) -> None:
    (found,) = refused(ctx, of(columns=["a"], **more), made(y={"approx_distinct": 2, **figures}))
    assert found[:3] == (code, ("data", "target"), summary)


def test_a_dataset_without_rows_is_refused_in_words(ctx: Context) -> None:
    empty = rows(0, columns=dict.fromkeys(COLUMNS, "varchar"))
    (found,) = refused(ctx, of(), empty)
    assert found[:3] == ("training.no-rows", ("data", "labels"), "`rows` has no rows")
    (found,) = refused(ctx, TEXT, empty)
    assert found[:3] == ("training.no-rows", ("data", "dataset"), "`rows` has no rows")
    (found,) = refused(ctx, TEXT, rows(columns={"texts": "varchar"}))
    assert found[:3] == ("data.missing-column", ("data", "text"), "`rows` has no column `text`")


def test_before_the_dataset_is_made_nothing_is_said_of_its_columns(ctx: Context) -> None:
    found = without(ctx, of("churnd", ["incom"]))
    assert found.warnings == ()


def test_a_regression_that_nobody_asked_for_is_told_and_few_whole_values_are_warned_of(ctx: Context) -> None:
    three = made(y={"nulls": 0, "approx_distinct": 3, "min": 0, "max": 2})
    found = foreseen(ctx, of(columns=["a"]), three)
    assert "task: regression (inferred)" in found.notes
    assert any("`y` has 3 whole values" in item for item in found.warnings)
    asked = foreseen(ctx, of(columns=["a"], task="regression"), three)
    assert asked.warnings == ()
    assert "task: regression (inferred)" not in asked.notes
    many = foreseen(ctx, of(columns=["a"]), made(y={"nulls": 0, "approx_distinct": 40, "min": 0, "max": 90}))
    assert "task: regression (inferred)" in many.notes
    assert many.warnings == ()
    assert "task: regression (inferred)" not in foreseen(ctx, of(columns=["a"]), made()).notes


def test_a_split_at_random_of_keys_that_repeat_is_warned_of(ctx: Context) -> None:
    inputs = rows(columns=COLUMNS, statistics=FIGURES, repeated_keys=30)
    (found,) = foreseen(ctx, of(columns=["a"]), inputs).warnings
    assert found.startswith("30 rows share the key `i` with an earlier row of `rows`: a split at random puts")


def test_the_index_of_a_data_frame_is_not_learnt_from(ctx: Context) -> None:
    indexed = {**dict.fromkeys(["a", "b"], "double"), "__index_level_0__": "varchar", "i": "bigint", "y": "bigint"}
    assert foreseen(ctx, of(), made(indexed)).memory is not None
    (found,) = refused(ctx, of(columns=["__index_level_0__"]), made(indexed))
    assert found[0] == "training.not-numeric"
