"""Where the links between devices take the time of a training, a plan says so, and right-sizing looks elsewhere."""

from __future__ import annotations

import json
import os
from datetime import date
from typing import Any

import pytest

from mlctl.estimate.fit import Fit
from mlctl.estimate.options import options
from mlctl.estimate.prices import PriceRow
from mlctl.estimate.sizing import size
from mlctl.provider import Context
from mlctl.providers.torch.training import Training
from mlctl.providers.torch.workload import TrainingWorkload
from mlctl.testing.harness import make_desired
from tests.unit.providers.torch.trainings import LLAMA_8B, TEXT, foreseen, rows

SHARED: dict[str, Any] = {
    **TEXT,
    "data": {"dataset": "rows", "text": "text", "max_length": 2048, "packing": True},
    "micro_batch_size": 1,
    "batch_size": 8,
    "memory": {"gradient_checkpointing": True},
    "strategy": {"type": "zero3", "processes": 8},
}
SAID = "the links decide ("


@pytest.fixture
def large(ctx: Context) -> Context:
    (ctx.root / "base" / "config.json").write_text(json.dumps(LLAMA_8B))
    os.truncate(ctx.root / "rows.jsonl", 200_000_000)  # whose size alone is read
    return ctx


def rented(gpu: str) -> dict[str, Any]:
    return {**SHARED, "executor": {"type": "skypilot", "gpu": gpu, "gpus": 8, "storage": "s3://bucket/jobs"}}


def test_a_plan_says_that_the_links_decide(large: Context) -> None:
    cards, joined = (foreseen(large, rented(gpu)) for gpu in ("L40S", "A100-80GB"))
    assert [note for note in cards.notes if note.startswith(SAID) and note.endswith("8 L40S exchange by PCIe")]
    assert not [note for note in joined.notes if SAID in note]
    assert cards.seconds is not None
    assert joined.seconds is not None
    # 8 L40S do 1.16 times what 8 A100 do, by their sheets
    assert cards.seconds.mid > 1.5 * joined.seconds.mid


def test_right_sizing_prefers_what_is_joined_and_says_why(large: Context) -> None:
    workload = Training().workload(
        make_desired(Training(), "training.m", rented("A100-80GB"), large, rows()), [], large
    )
    assert isinstance(workload, TrainingWorkload)
    # for an hour the cards cost less; for the training they do not
    prices = [
        PriceRow(gpu, "A", "on_demand", usd, date(2026, 11, 1), "a test") for gpu, usd in (("L40S", 1.5), ("A100-80GB", 2.0))
    ]  # fmt: skip
    found = size(workload, options(prices, counts=(8,)))
    assert found.chosen is not None
    assert found.chosen.option.device.name == "A100-80GB"
    (other,) = found.others
    assert other.outlook.fit is Fit.FITS
    assert other.why.count(SAID) == 1
