"""Jobs and datasets for tests of single steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import CausalLmModel, CheckpointParams, Layout, OptimizerParams, Recipe
from mlctl.types.jobs.tracking import TrackingTarget
from mlctl.types.jobs.train import TableInput, TextData, TrainJob


def dataset(path: Path, columns: dict[str, str] | None = None, **more: Any) -> TableInput:
    """A profiled file of JSON lines; conversations in `messages`, if nothing else is said."""
    values = {"name": path.stem, "files": [str(path)], "format": "jsonl", "digest": "d", **more}
    return TableInput(columns=columns or {"messages": "json"}, **values)


def text_data(table: TableInput, **changed: Any) -> TextData:
    """Conversations, packed, a tenth held back."""
    values: dict[str, Any] = {
        "messages": "messages", "max_length": 64, "packing": True, "loss_on": "completions", "split_by": "random",
        "test_share": 0.1,
    }  # fmt: skip
    return TextData(dataset=table, **{**values, **changed})


def recipe(base: Path, **changed: Any) -> Recipe:
    """A short training in one process."""
    values: dict[str, Any] = {
        "model": CausalLmModel(base=str(base), digest=None), "layout": Layout(strategy="single"), "precision": "fp32",
        "epochs": 1, "batch_size": 8, "optimizer": OptimizerParams(type="adamw", lr=1e-2),
        "checkpoint": CheckpointParams(every="1 epochs", keep=1), "seed": 0, "engine": "hf",
    }  # fmt: skip
    return Recipe(**{**values, **changed})


def train_job(data: TextData, made: Recipe) -> TrainJob:
    """The whole job."""
    target = TrackingTarget(
        uri="sqlite:///x.db", experiment="e", lineage="l", address="training.a", object="training.a"
    )
    return TrainJob(tracking=target, data=data, recipe=made)


@contextmanager
def refused(code: str, *said: str) -> Iterator[None]:
    """What is inside has to be refused, in words that hold all of these."""
    with pytest.raises(MlctlError) as caught:
        yield
    found = caught.value.diagnostics[0]
    assert found.code == code
    words = f"{found.summary}: {found.why}; {found.fix}"
    for part in said:
        assert part in words
