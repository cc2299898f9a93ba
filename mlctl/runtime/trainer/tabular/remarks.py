"""What of a trained model, and of the rows it learnt from, is too good or too bad to be what was meant. Nothing of it stops a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.files import atomic
from mlctl.runtime.evaluate.metrics import roc_auc
from mlctl.runtime.trainer.tabular.table import Rows
from mlctl.types.jobs import learnable
from mlctl.types.jobs.train import TableData

REMARKS_FILE = "remarks.json"
_LEAKING_AREA = 0.995  # under the ROC curve of one column
_LEAKING_R2 = 0.999
_FEW_ROWS, _FEW_OF_CLASS = 20, 5  # below them one column tells classes apart by chance
_LOOKED_AT = 50_000  # rows
_NAMED = 5

Remark = dict[str, str]  # `code`; `short`, for a line of status; `text`


def of_rows(data: TableData, rows: Rows, task: str, target: Any, train: Any, validation: Any) -> list[Remark]:
    """What is known before the training: of the task, and of rows that stand on both sides of the split."""
    found = []
    values = np.unique(target) if task == "regression" and data.task is None else np.empty(0)
    if learnable.may_be_classes(len(values), rows.count) and bool((values == np.floor(values)).all()):
        text = learnable.few_classes(data.target, len(values))
        found.append({"code": "few-values", "short": f"{len(values)} whole values as amounts", "text": text})
    shared = _shared(rows, train, validation) if data.split_by == "random" and rows.keys else 0
    if shared:
        key = ", ".join(f"`{name}`" for name in rows.keys)
        text = (
            f"{shared:,} of {len(validation):,} validation rows have a key {key} that was trained on: the split is drawn at random, "
            "the key is not unique, and the figures look better than they are"
        )
        found.append({"code": "repeated-keys", "short": "keys on both sides of the split", "text": text})
    return found


def keep(place: Path, remarks: Sequence[Remark]) -> None:
    """Put down what was found before the training, for when it is over."""
    atomic.write_json(place / REMARKS_FILE, {"remarks": list(remarks)})


def kept(place: Path) -> list[Remark]:
    """What was put down; nothing where an earlier version prepared the rows."""
    stored = atomic.read_object(place / REMARKS_FILE) or {}
    return list(stored.get("remarks", ()))


def leaking(columns: Sequence[str], features: Any, target: Any, task: str, means: Sequence[float]) -> list[Remark]:
    """Columns each of which alone foretells the target of the validation rows."""
    target = np.asarray(target[:_LOOKED_AT], dtype=np.float64)
    if not _tells(target, task):
        return []
    found = {}
    for index, name in enumerate(columns):
        values = np.array(features[: len(target), index], dtype=np.float64)
        values[~np.isfinite(values)] = means[index]  # as the model reads it
        strength = _strength(values, target, task)
        if strength is not None:
            found[name] = strength
    if not found:
        return []
    ranked = sorted(found, key=lambda name: -found[name])
    rest = f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else ""
    names = ", ".join(f"`{name}`" for name in ranked[:_NAMED]) + rest
    measure = "a roc_auc" if task == "binary" else "an r2"
    alone = "each of them alone foretells" if len(ranked) > 1 else "it alone foretells"
    text = (
        f"target leakage: {names}; {alone} the target, with {measure} of {found[ranked[0]]:.4f}. "
        "Take out what is known only once the target is"
    )
    return [{"code": "target-leakage", "short": f"target leakage: {names}", "text": text}]


def one_class(target: str, task: str, score: Any, actual: Any, rows: str = "validation rows") -> list[Remark]:
    """A classifier that says the same of every row."""
    guess = np.asarray(score) >= learnable.THRESHOLD
    if task != "binary" or len(guess) < _FEW_ROWS or guess.min() != guess.max():
        return []
    text = (
        f"predicts one class for all rows: each of the {len(guess):,} {rows} gets `{target}` = {int(guess[0])} at the threshold of "
        f"{learnable.THRESHOLD:g}, and the most frequent class is {base_rate(actual):.3f} of them"
    )
    return [{"code": "one-class-predicted", "short": "predicts one class for all rows", "text": text}]


def base_rate(actual: Any) -> float:
    """The share of the most frequent class: the accuracy of who always says the same."""
    share = float(np.mean(np.asarray(actual) == 1))
    return max(share, 1 - share)


def _tells(target: Any, task: str) -> bool:
    """Whether there are rows enough for a perfect order to mean something."""
    if task == "binary":
        return min(int((target == 1).sum()), int((target != 1).sum())) >= _FEW_OF_CLASS and len(target) >= _FEW_ROWS
    return len(target) >= _FEW_ROWS and float(target.std()) > 0


def _strength(values: Any, target: Any, task: str) -> float | None:
    """How well a column alone foretells the target, where that is too well."""
    if task == "binary":
        area = roc_auc(target, values)
        area = 0.0 if area is None else max(area, 1 - area)
        return area if area >= _LEAKING_AREA else None
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(values.std())
        if not spread or not np.isfinite(spread):
            return None
        square = float(np.corrcoef(values, target)[0, 1]) ** 2
    return square if square >= _LEAKING_R2 else None


def _shared(rows: Rows, train: Any, validation: Any) -> int:
    """Validation rows whose key, without its time, is among those of the training rows."""
    import pyarrow.parquet as parquet

    frame = parquet.read_table(rows.path, columns=rows.keys).to_pandas()
    groups = frame.groupby(rows.keys, dropna=False).ngroup().to_numpy()
    return int(np.isin(groups[validation], groups[train]).sum())
