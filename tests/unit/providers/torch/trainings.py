"""Trainings that the tests of estimates share, what a plan foretells of them, and what they leave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlctl.provider import Context
from mlctl.providers.torch import actuals
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.estimate import Estimate
from mlctl.types.state import Record, Use
from mlctl.types.value import Unknown

TABLE: dict[str, Any] = {
    "data": {"labels": "rows", "columns": ["a", "b"], "target": "y"},
    "model": {"type": "mlp", "hidden": [64, 32]},
    "epochs": 2,
    "batch_size": 100,
    "optimizer": {"lr": 1e-3},
}
TEXT: dict[str, Any] = {
    "data": {"dataset": "rows", "text": "text", "max_length": 512},
    "model": {"type": "causal_lm", "base": "base"},
    "precision": "bf16",
    "epochs": 1,
    "batch_size": 16,
    "optimizer": {"lr": 1e-4},
}
POD = {"type": "kubernetes", "storage": "s3://bucket/jobs", "image": "i", "cpus": "4", "memory": "16Gi"}
LLAMA_8B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14_336, "vocab_size": 128_256,
}  # fmt: skip
SMALL = {**LLAMA_8B, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 1000}  # fmt: skip


def rows(count: int = 1000, **more: Any) -> dict[str, Record]:
    outputs = {"rows": count, "files": ["rows.jsonl"], "format": "json", "columns": {**dict.fromkeys("abyi", "double"), "text": "varchar"},
               "key": ["i"], "digest": "d", **more}  # fmt: skip
    return {"datasets.rows": Record(ObjectKey.parse("datasets.rows#d"), "r", outputs=outputs)}


def foreseen(
    ctx: Context, values: Mapping[str, Any], inputs: dict[str, Record] | None = None, made: list[Record] | None = None
) -> Estimate:
    desired = make_desired(Training(), "training.m", values, ctx, rows() if inputs is None else inputs)
    return Training().estimate(desired, made or [], ctx)


def without(ctx: Context, values: Mapping[str, Any]) -> Estimate:
    """Of a training whose dataset is not made yet."""
    desired = make_desired(Training(), "training.m", values, ctx, rows())
    still = {Address("datasets", "rows"): Unknown("datasets.rows")}
    return Training().estimate(replace(desired, inputs=still, identity=Unknown("datasets.rows")), [], ctx)


def ran(
    ctx: Context, values: Mapping[str, Any], *, seconds: float, megabytes: float, ranks: int = 1, start: float = 0.0
) -> dict[str, Any]:
    """What a training puts out whose ranks took so much: the files that they and the program leave, and its outputs."""
    desired = make_desired(Training(), "training.m", values, ctx, rows())
    folder = ctx.folder(desired.key)
    folder.mkdir(parents=True, exist_ok=True)
    used = {"peak_rss_megabytes": megabytes, "gpu_megabytes": 0.0, "cpu_seconds": 1.0, "device": "cpu"}
    steps = 3 if "dataset" in values["data"] else 16
    ended = {"step": steps, "total": steps, "history": [{"epoch": 1}], "ranks": [used] * ranks}
    clock = {"lived_seconds": seconds + start, "started_seconds": start} if start else {}
    (folder / actuals.ENDED).write_text(json.dumps({**ended, **clock}))
    data: dict[str, Any] = {"type": "table", "columns": ["a", "b"], "train": 800, "validation": 200}
    if "dataset" in values["data"]:
        data = {"type": "text", "train": 40, "validation": 4, "train_tokens": 20_000}
    (folder / actuals.PLANNED).write_text(json.dumps({"data": data}))
    return actuals.with_actual({"seconds": seconds, "run_id": "r"}, desired, ctx)


def record(outputs: dict[str, Any], sequence: int = 1) -> Record:
    uses = (Use(ObjectKey.parse("datasets.rows#d"), "d"),)
    return Record(ObjectKey.parse(f"training.m#{sequence:016d}"), "r", outputs=outputs, sequence=sequence, uses=uses)
