"""How the learning rate moves: the curves of Transformers' schedules, so that both engines take the same steps."""

from __future__ import annotations

import math

from mlctl.types.jobs.recipe import OptimizerParams


def warmup_steps(optimizer: OptimizerParams, total: int) -> int:
    """Steps over which the learning rate grows."""
    return optimizer.warmup_steps or math.ceil(optimizer.warmup_share * total)


def learning_rate(optimizer: OptimizerParams, step: int, total: int) -> float:
    """The learning rate of a step (from 0) of `total`."""
    warm = warmup_steps(optimizer, total)
    if step < warm:
        return optimizer.lr * step / warm
    if optimizer.schedule == "constant":
        return optimizer.lr
    done = (step - warm) / max(1, total - warm)
    left = 1.0 - done if optimizer.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return optimizer.lr * max(0.0, left)
