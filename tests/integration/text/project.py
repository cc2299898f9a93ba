"""A project folder with a tiny language model and conversations to train it on, and records as the other kinds would leave them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.provider import Desired
from mlctl.providers.mlflow.evaluation import Evaluation
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_context, make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record
from tests.integration.text.tiny import conversation, make_model, write_chats


class TextProject:
    """Trains and evaluates as the engine would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ctx = make_context(root)
        self.training, self.evaluation = Training(), Evaluation()
        self.inputs: dict[str, Record] = {}
        make_model(root / "base")
        self.add_chats("chats", range(200))
        self.add_chats("holdout", range(200, 230))

    def add_chats(self, name: str, numbers: Sequence[int]) -> None:
        """A dataset of conversations."""
        write_chats(self.root / f"{name}.jsonl", [conversation(number) for number in numbers])
        self.add_dataset(name, {"messages": "json"}, len(numbers))

    def add_rows(self, name: str, rows: Sequence[Mapping[str, Any]], columns: dict[str, str], **more: Any) -> None:
        """A dataset of any rows."""
        (self.root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.add_dataset(name, columns, len(rows), **more)

    def add_dataset(self, name: str, columns: dict[str, str], rows: int, **more: Any) -> None:
        """The record of a dataset whose file is there."""
        digest = self.ctx.digests.file(self.root / f"{name}.jsonl")
        outputs = {
            "path": f"{name}.jsonl", "files": [f"{name}.jsonl"], "format": "jsonl", "digest": digest, "rows": rows,
            "columns": columns, "statistics": {}, "timestamp": None, "key": [], **more,
        }  # fmt: skip
        self.inputs[f"datasets.{name}"] = Record(
            ObjectKey.parse(f"datasets.{name}#{digest[:8]}"), name, outputs=outputs
        )

    def desired(self, address: str, **changed: Any) -> Desired:
        """A training block that takes seconds; `changed` replaces its fields."""
        block = {
            "data": {"dataset": "chats", "messages": "messages", "max_length": 64, "split": {"by": "random", "test": "10%"}},
            "model": {"type": "causal_lm", "base": "base"}, "engine": "hf", "epochs": 3, "batch_size": 8,
            "optimizer": {"type": "adamw", "lr": 0.01}, "seed": 3,
        }  # fmt: skip
        values = {**block, **changed}
        inputs = {f"datasets.{values['data']['dataset']}": self.inputs[f"datasets.{values['data']['dataset']}"]}
        return make_desired(self.training, address, values, self.ctx, inputs)

    def train(self, address: str, **changed: Any) -> Record:
        """Train to the end, and make the record known to evaluations."""
        desired = self.desired(address, **changed)
        record = make_record(desired, self.training.apply(desired, None, self.ctx))
        self.inputs[address] = record
        return record

    def evaluate(self, address: str, training: str, dataset: str, require: dict[str, Any], **more: Any) -> Record:
        """Evaluate the model of a training."""
        values = {"model": f"${{{training}.model}}", "dataset": dataset, "require": require, **more}
        inputs = {name: self.inputs[name] for name in (training, f"datasets.{dataset}")}
        desired = make_desired(self.evaluation, address, values, self.ctx, inputs)
        return make_record(desired, self.evaluation.apply(desired, None, self.ctx))
