from __future__ import annotations

import math
from typing import Any

import pytest

from mlctl.runtime.trainer.schedule import learning_rate, warmup_steps
from mlctl.types.jobs.recipe import OptimizerParams


def optimizer(**changed: Any) -> OptimizerParams:
    return OptimizerParams.model_validate({"type": "adamw", "lr": 0.1, **changed})


def rates(total: int, **changed: Any) -> list[float]:
    return [learning_rate(optimizer(**changed), step, total) for step in range(total)]


def test_a_constant_rate_does_not_move() -> None:
    assert rates(5) == [0.1] * 5


def test_the_rate_grows_from_0_over_the_warm_up() -> None:
    assert rates(6, warmup_steps=4) == pytest.approx([0.0, 0.025, 0.05, 0.075, 0.1, 0.1])


def test_a_linear_rate_would_be_0_after_the_last_step() -> None:
    assert rates(5, schedule="linear") == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])
    assert rates(6, schedule="linear", warmup_steps=2) == pytest.approx([0.0, 0.05, 0.1, 0.075, 0.05, 0.025])


def test_a_cosine_rate_falls_by_half_a_wave() -> None:
    found = rates(8, schedule="cosine", warmup_steps=2)
    assert found[2:] == pytest.approx([0.05 * (1 + math.cos(math.pi * part / 6)) for part in range(6)])


def test_a_share_of_the_steps_is_rounded_up() -> None:
    assert warmup_steps(optimizer(warmup_share=0.03), 50) == 2
    assert warmup_steps(optimizer(warmup_share=0.03, warmup_steps=7), 50) == 7
    assert warmup_steps(optimizer(), 50) == 0


def test_a_warm_up_longer_than_the_training_never_ends() -> None:
    assert rates(3, schedule="linear", warmup_steps=10) == pytest.approx([0.0, 0.01, 0.02])
