"""The project's own datasets: made by its function, and looked at before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlctl.runtime.trainer.custom.model import opened
from mlctl.runtime.trainer.project import load_function
from mlctl.types.jobs.recipe import PythonModel

SPLITS = ("train", "validation")


def load_dataset(code: Path, asked: PythonModel, params: dict[str, Any], files: Sequence[str], split: str) -> Any:
    """The dataset of a split. Raises TypeError when it is not one of (input, target) by row number."""
    if asked.dataset is None:
        raise TypeError("the model has no `dataset`")
    name = asked.dataset.function
    made = load_function(code, asked.dataset)(list(files), split, **opened(params))
    if not hasattr(made, "__getitem__") or not hasattr(made, "__len__"):
        raise TypeError(
            f"`{name}` gave {type(made).__name__} for `{split}`, not a torch Dataset with a length and rows by number"
        )
    return made


def check_dataset(dataset: Any, name: str, split: str) -> None:
    """Look at the first and the last row. Raises TypeError or ValueError when they cannot be learnt from."""
    if not len(dataset):
        raise ValueError(f"`{name}` gave no rows for `{split}`")
    for row in (0, len(dataset) - 1):
        pair = dataset[row]
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise TypeError(f"row {row} of `{split}` from `{name}` is {_shown(pair)}, not a pair (input, target)")


def _shown(value: Any) -> str:
    text = type(value).__name__
    return f"{text} of {len(value)}" if isinstance(value, tuple | list) else text
