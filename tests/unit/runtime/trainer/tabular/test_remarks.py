"""What is too good, or too bad, to be what was meant."""

from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from mlctl.runtime.trainer.tabular import remarks
from mlctl.runtime.trainer.tabular.table import Rows
from mlctl.types.jobs.train import TableData, TableInput

Y = np.array([0, 1] * 100, dtype=np.float64)
NOISE = np.random.default_rng(0).normal(size=200)


def data(**more: object) -> TableData:
    labels = TableInput(name="y", files=["y.csv"], format="csv", digest="0", columns={"y": "bigint"}, key=["id"])
    values = {"views": [], "view_digests": {}, "store": None, "columns": None, "target": "y", "task": None}
    return TableData(labels=labels, **{**values, "split_by": "random", "test_share": 0.2, **more})


def rows(folder: Path, keys: list[int]) -> Rows:
    path = folder / "table.parquet"
    parquet.write_table(arrow.table({"id": keys}), path)
    return Rows(path, len(keys), ["id"], False, ["x"], "y")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_column_that_alone_tells_the_classes_apart_is_named(sign: int) -> None:
    leak = np.where(Y == 1, sign * 3.0, np.nan)  # known only where the target is 1
    x = np.column_stack([NOISE, leak, Y * 0.5 + NOISE]).astype(np.float32)
    (found,) = remarks.leaking(["noise", "reason", "good"], x, Y, "binary", [0.0, 0.0, 0.0])
    assert (found["code"], found["short"]) == ("target-leakage", "target leakage: `reason`")
    assert "roc_auc of 1.0000" in found["text"]


def test_a_good_column_is_no_leak_and_few_rows_say_nothing() -> None:
    good = (Y + NOISE)[:, None]
    assert remarks.leaking(["good"], good, Y, "binary", [0.0]) == []
    assert remarks.leaking(["y"], Y[:10, None], Y[:10], "binary", [0.0]) == []
    assert remarks.leaking(["one"], np.ones((200, 1)), NOISE, "regression", [0.0]) == []


def test_a_column_that_is_the_amount_in_other_units_is_named() -> None:
    (found,) = remarks.leaking(["noise", "cents"], np.column_stack([Y, 3 + NOISE * 100]), NOISE, "regression", [0, 0])
    assert found["short"] == "target leakage: `cents`"
    assert "r2 of 1.0000" in found["text"]


def test_a_model_that_says_the_same_of_every_row_is_told_beside_the_base_rate() -> None:
    actual = np.array([1.0] * 19 + [0.0] * 181)
    (found,) = remarks.one_class("churned", "binary", np.full(200, 0.1), actual)
    assert found["short"] == "predicts one class for all rows"
    assert "each of the 200 validation rows gets `churned` = 0" in found["text"]
    assert "0.905" in found["text"]
    assert remarks.base_rate(actual) == pytest.approx(0.905)
    assert remarks.one_class("churned", "binary", actual, actual) == []
    assert remarks.one_class("churned", "regression", np.full(200, 0.1), actual) == []


def test_keys_on_both_sides_of_a_split_at_random_are_counted(tmp_path: Path) -> None:
    made = rows(tmp_path, [1, 1, 2, 3, 4, 4])
    train, validation = np.array([0, 2, 4]), np.array([1, 3, 5])
    (found,) = remarks.of_rows(data(), made, "binary", Y[:6], train, validation)
    assert found["text"].startswith("2 of 3 validation rows have a key `id` that was trained on")
    assert remarks.of_rows(data(split_by="time"), made, "binary", Y[:6], train, validation) == []


def test_classes_that_were_taken_for_amounts_are_told(tmp_path: Path) -> None:
    made, sides = rows(tmp_path, list(range(30))), (np.arange(20), np.arange(20, 30))
    classes = np.array([0.0, 1.0, 2.0] * 10)
    (found,) = remarks.of_rows(data(), made, "regression", classes, *sides)
    assert found["text"].startswith("`y` has 3 whole values, and `task: regression (inferred)`")
    assert remarks.of_rows(data(task="regression"), made, "regression", classes, *sides) == []
    assert remarks.of_rows(data(), made, "regression", classes + 0.5, *sides) == []
    assert remarks.of_rows(data(), made, "regression", np.arange(30.0), *sides) == []


def test_what_was_found_before_the_training_is_there_after_it(tmp_path: Path) -> None:
    assert remarks.kept(tmp_path) == []
    remarks.keep(tmp_path, [{"code": "c", "short": "s", "text": "t"}])
    assert remarks.kept(tmp_path) == [{"code": "c", "short": "s", "text": "t"}]
